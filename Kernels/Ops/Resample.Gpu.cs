namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void Resample(DeviceBuffer x, DeviceBuffer table, ResampleArgs args, GradientTarget y)
        => throw new NotSupportedException("Pending.");
}
