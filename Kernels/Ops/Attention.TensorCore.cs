using ILGPU;
using MiniVlp.Kernels.Gpu;
using MiniVlp.Kernels.Gpu.Cuda;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <summary>Computes an attention on tensor cores, or returns false for the portable kernels to do it.</summary>
    private bool TryTensorCoreAttention(
        in AttentionShape shape, DeviceBuffer query, DeviceBuffer key, DeviceBuffer value, DeviceBuffer keyMask, DeviceBuffer bias, DeviceBuffer output, DeviceBuffer statistics)
    {
        if (!IsForTensorCores(shape) || output.Offset % 2 != 0) return false;
        AttentionCopies copies = Copy(shape, query, key, value, default);
        TensorCoreAttentionOperands operands = new(shape, copies, IntInput(keyMask), Input(bias), Output(statistics));
        if (!TryWarpgroupAttention(operands, output)) TensorCoreAttention(operands, output);
        Return(copies);
        return true;
    }

    /// <summary>
    /// Computes the gradients of an attention on tensor cores, or returns false for the portable kernels to do it: those of a bias are theirs.
    /// </summary>
    private bool TryTensorCoreAttentionBackward(
        in AttentionShape shape, DeviceBuffer query, DeviceBuffer key, DeviceBuffer value, DeviceBuffer keyMask, DeviceBuffer bias,
        DeviceBuffer output, DeviceBuffer statistics, DeviceBuffer outputGradient, in AttentionGradients gradients)
    {
        if (!IsForTensorCores(shape) || gradients.Bias.IsNeeded) return false;
        if ((gradients.Query.Buffer.Offset | gradients.Key.Buffer.Offset | gradients.Value.Buffer.Offset) % 2 != 0) return false;
        int rows = shape.Batch * shape.Heads * shape.QueryLength;
        DeviceBuffer shifts = Rent(checked(2 * rows));
        Launch(
            new TensorCoreShiftKernel(
                Input(output), Input(outputGradient), Input(statistics), Output(shifts), shape.QueryLength, shape.Heads, shape.HeadSize,
                Float4.IsAligned(output) && Float4.IsAligned(outputGradient) ? 1 : 0, bias.IsNull ? 0 : 1),
            GroupCount(rows, TensorCoreShiftKernel.Rows));
        AttentionCopies copies = Copy(shape, query, key, value, outputGradient);
        TensorCoreAttentionOperands operands = new(shape, copies, IntInput(keyMask), Input(bias), Input(statistics));
        if (!TryWarpgroupAttentionBackward(operands, Input(shifts), gradients)) TensorCoreAttentionBackward(operands, Input(shifts), gradients);
        Return(copies);
        Return(shifts);
        return true;
    }

    /// <summary>Whether there are kernels for such an attention, and enough of it for their tiles.</summary>
    private bool IsForTensorCores(in AttentionShape shape)
        => Precision == MatMulPrecision.BFloat16 && Level >= CudaLevel.Sm80
            && shape.HeadSize is 32 or 64 or 80 or 128 && shape.ValueHeadSize == shape.HeadSize && shape.Scale > 0f
            && shape.Batch is > 0 and <= MostGroupsZ && shape.Heads <= MostGroupsZ && Math.Min(shape.QueryLength, shape.KeyLength) >= LeastTensorCoreSize
            && SharedBytesPerGroup >= LargestSharedBytes(shape.HeadSize);

    /// <summary>Shared memory of the hungriest of the kernels for a head size.</summary>
    private static int LargestSharedBytes(int headSize) => headSize switch
    {
        32 => TensorCoreKeyGradientKernel<Head32, BiasedScores>.DynamicSharedBytes,
        64 => TensorCoreKeyGradientKernel<Head64, BiasedScores>.DynamicSharedBytes,
        80 => TensorCoreKeyGradientKernel<Head80, BiasedScores>.DynamicSharedBytes,
        _ => TensorCoreKeyGradientKernel<Head128, BiasedScores>.DynamicSharedBytes,
    };

    private void TensorCoreAttention(in TensorCoreAttentionOperands operands, DeviceBuffer output)
    {
        switch (operands.Shape.HeadSize)
        {
            case 32: TensorCoreAttention<Head32>(operands, output); break;
            case 64: TensorCoreAttention<Head64>(operands, output); break;
            case 80: TensorCoreAttention<Head80>(operands, output); break;
            default: TensorCoreAttention<Head128>(operands, output); break;
        }
    }

    private void TensorCoreAttention<THead>(in TensorCoreAttentionOperands operands, DeviceBuffer output)
        where THead : struct, IHeadSize
    {
        if (operands.Bias.Length > 0) TensorCoreAttention<THead, BiasedScores>(operands, output);
        else if (operands.KeyMask.Length > 0) TensorCoreAttention<THead, MaskedScores>(operands, output);
        else TensorCoreAttention<THead, PlainScores>(operands, output);
    }

    private void TensorCoreAttention<THead, TRules>(in TensorCoreAttentionOperands operands, DeviceBuffer output)
        where THead : struct, IHeadSize
        where TRules : struct, IScoreRules
    {
        AttentionShape shape = operands.Shape;
        Launch(
            new TensorCoreAttentionKernel<THead, TRules>(
                Input(operands.Copies.Query), Input(operands.Copies.Key), Input(operands.Copies.Value), operands.KeyMask, operands.Bias, Output(output), CopyAhead(output, operands.Copies.Sources.Query, operands.Copies.Sources.Key, operands.Copies.Sources.Value),
                operands.Statistics,
                AttentionSizes.From(shape)),
            GroupCount(shape.QueryLength, TensorCoreAttentionKernel<THead, TRules>.Queries), shape.Heads, shape.Batch);
    }

    private void TensorCoreAttentionBackward(in TensorCoreAttentionOperands operands, ArrayView<float> shifts, in AttentionGradients gradients)
    {
        switch (operands.Shape.HeadSize)
        {
            case 32: TensorCoreAttentionBackward<Head32>(operands, shifts, gradients); break;
            case 64: TensorCoreAttentionBackward<Head64>(operands, shifts, gradients); break;
            case 80: TensorCoreAttentionBackward<Head80>(operands, shifts, gradients); break;
            default: TensorCoreAttentionBackward<Head128>(operands, shifts, gradients); break;
        }
    }

    private void TensorCoreAttentionBackward<THead>(in TensorCoreAttentionOperands operands, ArrayView<float> shifts, in AttentionGradients gradients)
        where THead : struct, IHeadSize
    {
        if (operands.Bias.Length > 0) TensorCoreAttentionBackward<THead, BiasedScores>(operands, shifts, gradients);
        else if (operands.KeyMask.Length > 0) TensorCoreAttentionBackward<THead, MaskedScores>(operands, shifts, gradients);
        else TensorCoreAttentionBackward<THead, PlainScores>(operands, shifts, gradients);
    }

    private void TensorCoreAttentionBackward<THead, TRules>(in TensorCoreAttentionOperands operands, ArrayView<float> shifts, in AttentionGradients gradients)
        where THead : struct, IHeadSize
        where TRules : struct, IScoreRules
    {
        AttentionShape shape = operands.Shape;
        AttentionSizes sizes = AttentionSizes.From(shape);
        ArrayView<float> query = Input(operands.Copies.Query), key = Input(operands.Copies.Key), value = Input(operands.Copies.Value);
        ArrayView<float> outputGradient = Input(operands.Copies.OutputGradient);
        if (gradients.Query.IsNeeded)
        {
            Launch(
                new TensorCoreQueryGradientKernel<THead, TRules>(
                    query, key, value, outputGradient, operands.KeyMask, operands.Bias, operands.Statistics, shifts, Target(gradients.Query), sizes),
                GroupCount(shape.QueryLength, HeadTile.Rows), shape.Heads, shape.Batch);
        }

        if (gradients.Key.IsNeeded || gradients.Value.IsNeeded)
        {
            Launch(
                new TensorCoreKeyGradientKernel<THead, TRules>(
                    query, key, value, outputGradient, operands.KeyMask, operands.Bias, operands.Statistics, shifts, Target(gradients.Key), Target(gradients.Value), sizes),
                GroupCount(shape.KeyLength, HeadTile.Rows), shape.KeyValueHeads, shape.Batch);
        }
    }

    /// <summary>The operands in bfloat16; those that share memory do not push each other's copies out while they are in use.</summary>
    private AttentionCopies Copy(in AttentionShape shape, DeviceBuffer query, DeviceBuffer key, DeviceBuffer value, DeviceBuffer outputGradient)
    {
        int queryColumns = shape.Heads * shape.HeadSize, keyColumns = shape.KeyValueHeads * shape.HeadSize;
        DeviceBuffer queryCopy = BFloat16(query, queryColumns), keyCopy = BFloat16(key, keyColumns, queryCopy);
        DeviceBuffer valueCopy = BFloat16(value, keyColumns, value.Memory == query.Memory ? queryCopy : keyCopy), gradientCopy = default;
        if (!outputGradient.IsNull)
        {
            DeviceBuffer inUse = outputGradient.Memory == query.Memory ? queryCopy : outputGradient.Memory == key.Memory ? keyCopy : valueCopy;
            gradientCopy = BFloat16(outputGradient, queryColumns, inUse);
        }

        return new(new(query, key, value, outputGradient), queryCopy, keyCopy, valueCopy, gradientCopy);
    }

    private void Return(in AttentionCopies copies)
    {
        ReturnUnkept(copies.Sources.Query, copies.Query);
        ReturnUnkept(copies.Sources.Key, copies.Key);
        ReturnUnkept(copies.Sources.Value, copies.Value);
        if (!copies.OutputGradient.IsNull) ReturnUnkept(copies.Sources.OutputGradient, copies.OutputGradient);
    }

    /// <summary>Operands in bfloat16, two elements in each float, and what they were made from.</summary>
    private readonly record struct AttentionCopies(AttentionSources Sources, DeviceBuffer Query, DeviceBuffer Key, DeviceBuffer Value, DeviceBuffer OutputGradient);

    private readonly record struct AttentionSources(DeviceBuffer Query, DeviceBuffer Key, DeviceBuffer Value, DeviceBuffer OutputGradient);

    /// <summary>What the kernels of one attention have in common.</summary>
    private readonly record struct TensorCoreAttentionOperands(
        AttentionShape Shape, AttentionCopies Copies, ArrayView<int> KeyMask, ArrayView<float> Bias, ArrayView<float> Statistics);
}
