using ILGPU;
using MiniVlp.Kernels.Gpu;
using MiniVlp.Kernels.Gpu.Cuda;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <summary>Whether attention goes by wgmma where the device has it; for tests, and to measure it against mma.sync.</summary>
    internal bool UsesWarpgroupAttention { get; set; } = true;

    /// <summary>Groups that an attention by wgmma has at most; where there are more tiles of queries, groups take one after the other.</summary>
    internal int MostAttentionGroups { get; set; } = int.MaxValue;

    /// <summary>Computes an attention by wgmma, or returns false for mma.sync to do it: biases are its.</summary>
    private bool TryWarpgroupAttention(in TensorCoreAttentionOperands operands, DeviceBuffer output)
    {
        if (!UsesWarpgroupAttention || Level < CudaLevel.Sm90a || operands.Bias.Length > 0) return false;
        bool hasMask = operands.KeyMask.Length > 0;
        switch (operands.Shape.HeadSize)
        {
            case 64 when hasMask: return TryWarpgroupAttention<Head64, MaskedScores>(operands, output);
            case 64: return TryWarpgroupAttention<Head64, PlainScores>(operands, output);
            case 128 when hasMask: return TryWarpgroupAttention<Head128, MaskedScores>(operands, output);
            case 128: return TryWarpgroupAttention<Head128, PlainScores>(operands, output);
            default: return false;
        }
    }

    private bool TryWarpgroupAttention<THead, TRules>(in TensorCoreAttentionOperands operands, DeviceBuffer output)
        where THead : struct, IHeadSize
        where TRules : struct, IScoreRules
    {
        if (SharedBytesPerGroup < WarpgroupAttentionKernel<THead, TRules>.DynamicSharedBytes) return false;
        AttentionShape shape = operands.Shape;
        AttentionCopies copies = operands.Copies;
        int items = checked(GroupCount(shape.QueryLength, WarpgroupAttentionKernel<THead, TRules>.Queries) * shape.Heads * shape.Batch);
        Launch(
            new WarpgroupAttentionKernel<THead, TRules>(
                HeadMap<Box128>(copies.Query, shape, shape.QueryLength, shape.Heads), HeadMap<Box128>(copies.Key, shape, shape.KeyLength, shape.KeyValueHeads),
                HeadMap<Box128>(copies.Value, shape, shape.KeyLength, shape.KeyValueHeads), operands.KeyMask, Output(output),
                CopyAhead(output, copies.Sources.Query, copies.Sources.Key, copies.Sources.Value), operands.Statistics, AttentionSizes.From(shape), shape.Batch),
            Math.Min(items, MostAttentionGroups));
        return true;
    }

    /// <summary>Whether the gradients of an attention go by wgmma too; for tests, and to measure it against mma.sync.</summary>
    internal bool UsesWarpgroupGradients { get; set; } = true;

    /// <summary>Computes the gradients of an attention by wgmma, or returns false for mma.sync to do it: those with a bias are its.</summary>
    private bool TryWarpgroupAttentionBackward(in TensorCoreAttentionOperands operands, ArrayView<float> shifts, in AttentionGradients gradients)
    {
        if (!UsesWarpgroupAttention || !UsesWarpgroupGradients || Level < CudaLevel.Sm90a || operands.Bias.Length > 0) return false;
        bool hasMask = operands.KeyMask.Length > 0;
        switch (operands.Shape.HeadSize)
        {
            case 64 when hasMask: return TryWarpgroupAttentionBackward<Head64, MaskedScores>(operands, shifts, gradients);
            case 64: return TryWarpgroupAttentionBackward<Head64, PlainScores>(operands, shifts, gradients);
            case 128 when hasMask: return TryWarpgroupAttentionBackward<Head128, MaskedScores>(operands, shifts, gradients);
            case 128: return TryWarpgroupAttentionBackward<Head128, PlainScores>(operands, shifts, gradients);
            default: return false;
        }
    }

    private bool TryWarpgroupAttentionBackward<THead, TRules>(in TensorCoreAttentionOperands operands, ArrayView<float> shifts, in AttentionGradients gradients)
        where THead : struct, IHeadSize
        where TRules : struct, IScoreRules
    {
        if (SharedBytesPerGroup < GradientTiles<THead>.Bytes) return false;
        AttentionShape shape = operands.Shape;
        AttentionSizes sizes = AttentionSizes.From(shape);
        AttentionCopies copies = operands.Copies;
        ArrayView<float> query = HeadMap<Box64>(copies.Query, shape, shape.QueryLength, shape.Heads);
        ArrayView<float> key = HeadMap<Box64>(copies.Key, shape, shape.KeyLength, shape.KeyValueHeads);
        ArrayView<float> value = HeadMap<Box64>(copies.Value, shape, shape.KeyLength, shape.KeyValueHeads);
        ArrayView<float> outputGradient = HeadMap<Box64>(copies.OutputGradient, shape, shape.QueryLength, shape.Heads);
        if (gradients.Query.IsNeeded)
        {
            Launch(
                new WarpgroupQueryGradientKernel<THead, TRules>(query, key, value, outputGradient, operands.KeyMask, shifts, Target(gradients.Query), CopyAhead(gradients.Query, copies), sizes),
                GroupCount(shape.QueryLength, WarpgroupQueryGradientKernel<THead, TRules>.Queries), shape.Heads, shape.Batch);
        }

        if (gradients.Key.IsNeeded || gradients.Value.IsNeeded)
        {
            // Keys that are their own values have one gradient, of which a copy beside either part would be half.
            bool areOne = gradients.Key.Buffer.Memory == gradients.Value.Buffer.Memory;
            Launch(
                new WarpgroupKeyGradientKernel<THead, TRules>(
                    query, key, value, outputGradient, operands.KeyMask, shifts, Target(gradients.Key), Target(gradients.Value),
                    areOne ? default : CopyAhead(gradients.Key, copies), areOne ? default : CopyAhead(gradients.Value, copies), sizes),
                GroupCount(shape.KeyLength, WarpgroupKeyGradientKernel<THead, TRules>.Keys), shape.KeyValueHeads, shape.Batch);
        }

        return true;
    }

    /// <summary>Room for a copy of a gradient that is not added to another.</summary>
    private ArrayView<float> CopyAhead(GradientTarget gradient, in AttentionCopies copies)
        => !gradient.IsNeeded || gradient.Accumulate
            ? default
            : CopyAhead(gradient.Buffer, copies.Sources.Query, copies.Sources.Key, copies.Sources.Value, copies.Sources.OutputGradient);

    /// <summary>The tensor map of an operand of an attention, by heads.</summary>
    private ArrayView<float> HeadMap<TBox>(DeviceBuffer copy, in AttentionShape shape, int rows, int heads)
        where TBox : struct, IBoxSize
        => Maps.Get(HeadBoxes<TBox>.Map(Input(copy), shape.Batch, rows, heads, shape.HeadSize));

    /// <summary>Heads that make whole boxes of 64 columns.</summary>
    internal sealed class WarpgroupHeadsAttribute() : CatalogueAttribute(typeof(Head64), typeof(Head128));

    /// <summary>Scores without a bias.</summary>
    internal sealed class UnbiasedRulesAttribute() : CatalogueAttribute(typeof(PlainScores), typeof(MaskedScores));
}
