namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <summary>Computes an attention on tensor cores, or returns false for the portable kernels to do it.</summary>
    private static bool TryTensorCoreAttention(
        in AttentionShape shape, DeviceBuffer query, DeviceBuffer key, DeviceBuffer value, DeviceBuffer keyMask, DeviceBuffer bias, DeviceBuffer output, DeviceBuffer statistics)
        => false;

    /// <summary>Computes the gradients of an attention on tensor cores, or returns false for the portable kernels to do it.</summary>
    private static bool TryTensorCoreAttentionBackward(
        in AttentionShape shape, DeviceBuffer query, DeviceBuffer key, DeviceBuffer value, DeviceBuffer keyMask, DeviceBuffer bias,
        DeviceBuffer output, DeviceBuffer statistics, DeviceBuffer outputGradient, in AttentionGradients gradients)
        => false;
}
