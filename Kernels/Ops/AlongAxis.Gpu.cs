namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void MaxMiddle(DeviceBuffer x, Broadcast layout, DeviceBuffer y, DeviceBuffer positions)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void MaxMiddleBackward(DeviceBuffer positions, DeviceBuffer dy, Broadcast layout, GradientTarget dx)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void CumulativeSum(DeviceBuffer x, Broadcast layout, bool reversed, GradientTarget y)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void TopK(DeviceBuffer x, int width, int k, DeviceBuffer values, DeviceBuffer positions)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void TopKBackward(DeviceBuffer positions, DeviceBuffer dy, int width, int k, GradientTarget dx)
        => throw new NotSupportedException("Pending.");
}
