namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void Rope(DeviceBuffer x, DeviceBuffer positions, RopeArgs args, float direction, GradientTarget y)
        => throw new NotSupportedException("Pending.");
}
