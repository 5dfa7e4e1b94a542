namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void ContrastiveScores(in ContrastiveBlock block, in ContrastiveOperands operands, DeviceBuffer rowSums, bool continuesRows, DeviceBuffer columnSums)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void ContrastiveLosses(in ContrastiveTargets targets, DeviceBuffer scale, DeviceBuffer sums, DeviceBuffer losses, DeviceBuffer statistics)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void ContrastiveScoresBackward( in ContrastiveBlock block, in ContrastiveOperands operands, in ContrastiveTargets targets, in ContrastiveLossWeights weights, DeviceBuffer dloss, GradientTarget drows, GradientTarget dcolumns, GradientTarget dscale)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void MeanLoss(DeviceBuffer losses, float weight, DeviceBuffer result)
        => throw new NotSupportedException("Pending.");
}
