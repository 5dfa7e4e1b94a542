namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void L2Normalize(DeviceBuffer x, float epsilon, int width, DeviceBuffer y, DeviceBuffer norms)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void L2NormalizeBackward(DeviceBuffer y, DeviceBuffer norms, DeviceBuffer dy, float epsilon, int width, GradientTarget dx)
        => throw new NotSupportedException("Pending.");
}
