namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void PairLoss<TLoss>(DeviceBuffer x, DeviceBuffer t, float beta, Reduction reduction, DeviceBuffer loss)
        where TLoss : struct, IPairLoss
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void PairLossBackward<TLoss>(DeviceBuffer x, DeviceBuffer t, float beta, Reduction reduction, DeviceBuffer dloss, GradientTarget dx, GradientTarget dt)
        where TLoss : struct, IPairLoss
        => throw new NotSupportedException("Pending.");
}
