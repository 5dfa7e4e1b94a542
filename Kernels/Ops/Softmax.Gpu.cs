namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void Softmax(DeviceBuffer x, int width, DeviceBuffer y)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void SoftmaxBackward(DeviceBuffer y, DeviceBuffer dy, int width, GradientTarget dx)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void LogSoftmax(DeviceBuffer x, int width, DeviceBuffer y)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void LogSoftmaxBackward(DeviceBuffer y, DeviceBuffer dy, int width, GradientTarget dx)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void LogSumExp(DeviceBuffer x, int width, DeviceBuffer y)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void LogSumExpBackward(DeviceBuffer x, DeviceBuffer y, DeviceBuffer dy, int width, GradientTarget dx)
        => throw new NotSupportedException("Pending.");
}
