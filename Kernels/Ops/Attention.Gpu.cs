namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void Attention(
        in AttentionShape shape, DeviceBuffer query, DeviceBuffer key, DeviceBuffer value, DeviceBuffer keyMask, DeviceBuffer bias, DeviceBuffer output, DeviceBuffer statistics)
    {
        if (TryTensorCoreAttention(shape, query, key, value, keyMask, bias, output, statistics)) return;
        throw new NotSupportedException("Pending.");
    }

    /// <inheritdoc/>
    public void AttentionBackward(
        in AttentionShape shape, DeviceBuffer query, DeviceBuffer key, DeviceBuffer value, DeviceBuffer keyMask, DeviceBuffer bias,
        DeviceBuffer output, DeviceBuffer statistics, DeviceBuffer outputGradient, in AttentionGradients gradients)
    {
        if (TryTensorCoreAttentionBackward(shape, query, key, value, keyMask, bias, output, statistics, outputGradient, gradients)) return;
        throw new NotSupportedException("Pending.");
    }
}
