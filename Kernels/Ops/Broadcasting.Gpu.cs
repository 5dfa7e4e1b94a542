namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void SumMiddle(DeviceBuffer full, Broadcast layout, float scale, GradientTarget small)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void Spread(DeviceBuffer small, Broadcast layout, float scale, GradientTarget full)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void Affine(DeviceBuffer x, float scale, float offset, GradientTarget y)
        => throw new NotSupportedException("Pending.");
}
