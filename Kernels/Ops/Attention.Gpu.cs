using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <summary>Sequences and heads that share a bias gradient and are worth a group of their own.</summary>
    private const int LeastSharing = 4;

    /// <inheritdoc/>
    public void Attention(
        in AttentionShape shape, DeviceBuffer query, DeviceBuffer key, DeviceBuffer value, DeviceBuffer keyMask, DeviceBuffer bias, DeviceBuffer output, DeviceBuffer statistics)
    {
        if (TryTensorCoreAttention(shape, query, key, value, keyMask, bias, output, statistics)) return;
        AttentionInputs inputs = Inputs(shape, query, key, value, keyMask, bias);
        bool isAligned = IsAligned(query, shape.HeadSize) && IsAligned(key, shape.HeadSize) && IsAligned(value, shape.ValueHeadSize);
        if (isAligned) Attention<AlignedAccess>(shape, inputs, output, statistics);
        else Attention<ScalarAccess>(shape, inputs, output, statistics);
    }

    /// <inheritdoc/>
    public void AttentionBackward(
        in AttentionShape shape, DeviceBuffer query, DeviceBuffer key, DeviceBuffer value, DeviceBuffer keyMask, DeviceBuffer bias,
        DeviceBuffer output, DeviceBuffer statistics, DeviceBuffer outputGradient, in AttentionGradients gradients)
    {
        if (TryTensorCoreAttentionBackward(shape, query, key, value, keyMask, bias, output, statistics, outputGradient, gradients)) return;
        int rows = shape.Batch * shape.Heads * shape.QueryLength;
        DeviceBuffer dot = Rent(rows);
        Launch(
            new AttentionDotKernel(Input(output), Input(outputGradient), Output(dot), shape.Heads, shape.QueryLength, shape.ValueHeadSize),
            GroupCount(rows, AttentionDotKernel.Rows));
        AttentionBackwardInputs inputs = new(Inputs(shape, query, key, value, keyMask, bias), Input(statistics), Input(outputGradient), Input(dot));
        bool isAligned = IsAligned(query, shape.HeadSize) && IsAligned(key, shape.HeadSize) && IsAligned(value, shape.ValueHeadSize) && IsAligned(outputGradient, 0);
        if (isAligned) AttentionBackward<AlignedAccess>(shape, inputs, gradients);
        else AttentionBackward<ScalarAccess>(shape, inputs, gradients);
        Return(dot);
    }

    private void Attention<TAccess>(in AttentionShape shape, in AttentionInputs inputs, DeviceBuffer output, DeviceBuffer statistics)
        where TAccess : struct, IFloat4Access
    {
        int columnGroups = Math.Max(1, GroupCount(shape.ValueHeadSize, 128)), groups = checked(shape.Batch * shape.Heads * inputs.QueryTiles * columnGroups);
        if (shape.ValueHeadSize <= 64) Launch(new AttentionKernel<TAccess, HeadWidth64>(inputs, Output(output), Output(statistics), columnGroups), groups);
        else Launch(new AttentionKernel<TAccess, HeadWidth128>(inputs, Output(output), Output(statistics), columnGroups), groups);
    }

    private void AttentionBackward<TAccess>(in AttentionShape shape, in AttentionBackwardInputs inputs, in AttentionGradients gradients)
        where TAccess : struct, IFloat4Access
    {
        int width = Math.Max(shape.HeadSize, shape.ValueHeadSize);
        if (width <= 64) AttentionOperandGradients<TAccess, HeadWidth64>(shape, inputs, gradients, 1);
        else AttentionOperandGradients<TAccess, HeadWidth128>(shape, inputs, gradients, GroupCount(width, 128));
        if (gradients.Bias.IsNeeded) AttentionBiasGradient<TAccess>(shape, inputs, gradients.Bias);
    }

    private void AttentionOperandGradients<TAccess, TWidth>(in AttentionShape shape, in AttentionBackwardInputs inputs, in AttentionGradients gradients, int columnGroups)
        where TAccess : struct, IFloat4Access
        where TWidth : struct, IHeadWidth
    {
        if (gradients.Query.IsNeeded)
        {
            Launch(
                new AttentionQueryGradientKernel<TAccess, TWidth>(inputs, Target(gradients.Query), columnGroups),
                checked(shape.Batch * shape.Heads * inputs.Inputs.QueryTiles * columnGroups));
        }

        if (gradients.Key.IsNeeded || gradients.Value.IsNeeded)
        {
            Launch(
                new AttentionKeyGradientKernel<TAccess, TWidth>(inputs, Target(gradients.Key), Target(gradients.Value), columnGroups),
                checked(shape.Batch * shape.KeyValueHeads * inputs.Inputs.KeyTiles * columnGroups));
        }
    }

    /// <summary>Where many sequences or heads share few tiles of a bias, they are divided into parts whose gradients are summed in order.</summary>
    private void AttentionBiasGradient<TAccess>(in AttentionShape shape, in AttentionBackwardInputs inputs, GradientTarget target)
        where TAccess : struct, IFloat4Access
    {
        int batches = shape.BiasBatchStride == 0 ? 1 : shape.Batch, heads = shape.BiasHeadStride == 0 ? 1 : shape.Heads, length = target.Buffer.Length;
        int sharing = (shape.BiasBatchStride == 0 ? shape.Batch : 1) * (shape.BiasHeadStride == 0 ? shape.Heads : 1);
        int groups = checked(batches * heads * inputs.Inputs.QueryTiles * inputs.Inputs.KeyTiles);
        if (groups == 0) return;
        int parts = Math.Clamp(Math.Min(FillingGroups / groups, sharing / LeastSharing), 1, FillingGroups), partSharing = Math.Max(1, GroupCount(sharing, parts));
        parts = Math.Max(1, GroupCount(sharing, partSharing));
        if (parts == 1)
        {
            Launch(new AttentionBiasGradientKernel<TAccess>(inputs, Target(target), batches, heads, sharing, partSharing, length), groups);
            return;
        }

        DeviceBuffer partial = Rent(checked(parts * length));
        Launch(
            new AttentionBiasGradientKernel<TAccess>(inputs, Target(new(partial, Accumulate: false)), batches, heads, sharing, partSharing, length), groups * parts);
        Launch(new BiasGradientKernel(Input(partial), parts, length, parts, Target(target)), GroupCount(length, BiasGradientColumns));
        Return(partial);
    }
}
