namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void SigmoidContrastive(int rows, int width, in SigmoidContrastiveOperands operands, DeviceBuffer losses)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void SigmoidContrastiveBackward( int rows, int width, in SigmoidContrastiveOperands operands, float weight, DeviceBuffer dloss, GradientTarget drows, GradientTarget dcolumns, GradientTarget dscale, GradientTarget dbias)
        => throw new NotSupportedException("Pending.");
}
