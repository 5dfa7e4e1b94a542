namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void Adam(in AdamStep step, DeviceBuffer parameters, DeviceBuffer gradient, DeviceBuffer firstMoment, DeviceBuffer secondMoment)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void Lamb(in AdamStep step, DeviceBuffer parameters, DeviceBuffer gradient, DeviceBuffer firstMoment, DeviceBuffer secondMoment)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void Sgd(in SgdStep step, DeviceBuffer parameters, DeviceBuffer gradient, DeviceBuffer velocity)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void Lerp(DeviceBuffer target, DeviceBuffer source, double weight)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public double SumOfSquares(DeviceBuffer x)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void ScaleInPlace(DeviceBuffer x, float factor)
        => throw new NotSupportedException("Pending.");
}
