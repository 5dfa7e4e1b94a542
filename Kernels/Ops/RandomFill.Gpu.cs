namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void RandomUniform(DeviceBuffer y, float low, float high, RandomStream random)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void RandomNormal(DeviceBuffer y, float mean, float standardDeviation, RandomStream random)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void RandomTruncatedNormal(DeviceBuffer y, float mean, float standardDeviation, float limit, RandomStream random)
        => throw new NotSupportedException("Pending.");
}
