namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void LayerNorm(DeviceBuffer x, DeviceBuffer weight, DeviceBuffer bias, float epsilon, int width, DeviceBuffer y, DeviceBuffer statistics)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void LayerNormBackward( DeviceBuffer x, DeviceBuffer weight, DeviceBuffer statistics, DeviceBuffer dy, int width, GradientTarget dx, GradientTarget dweight, GradientTarget dbias)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void RmsNorm(DeviceBuffer x, DeviceBuffer weight, float epsilon, int width, DeviceBuffer y, DeviceBuffer statistics)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void RmsNormBackward( DeviceBuffer x, DeviceBuffer weight, DeviceBuffer statistics, DeviceBuffer dy, int width, GradientTarget dx, GradientTarget dweight)
        => throw new NotSupportedException("Pending.");
}
