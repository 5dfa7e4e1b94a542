namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void MatMul(in MatMulArgs args, DeviceBuffer a, DeviceBuffer b, DeviceBuffer c, DeviceBuffer bias = default, DeviceBuffer residual = default)
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void MatMul<TActivation>( in MatMulArgs args, DeviceBuffer a, DeviceBuffer b, DeviceBuffer c, DeviceBuffer bias, DeviceBuffer residual, DeviceBuffer preActivation)
        where TActivation : struct, IUnaryOp
        => throw new NotSupportedException("Pending.");

    /// <inheritdoc/>
    public void BiasGradient(DeviceBuffer x, int columns, GradientTarget sums)
        => throw new NotSupportedException("Pending.");
}
