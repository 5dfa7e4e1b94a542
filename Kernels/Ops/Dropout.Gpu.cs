namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void Dropout(DeviceBuffer x, float rate, int run, RandomStream random, GradientTarget y)
        => throw new NotSupportedException("Pending.");
}
