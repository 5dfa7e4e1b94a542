namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void CrossEntropy(in CrossEntropyShape shape, in CrossEntropyOperands operands, DeviceBuffer loss)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void CrossEntropyBackward(in CrossEntropyShape shape, in CrossEntropyOperands operands, DeviceBuffer dloss, GradientTarget dlogits)
        => throw new NotSupportedException("Pending.");
}
