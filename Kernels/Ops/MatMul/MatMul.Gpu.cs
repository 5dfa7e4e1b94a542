namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void MatMul(in MatMulArgs args, DeviceBuffer a, DeviceBuffer b, DeviceBuffer c, DeviceBuffer bias = default, DeviceBuffer residual = default)
        => MatMul<NoActivation>(args, a, b, c, bias, residual, default);

    /// <inheritdoc/>
    public void MatMul<TActivation>(
        in MatMulArgs args, DeviceBuffer a, DeviceBuffer b, DeviceBuffer c, DeviceBuffer bias, DeviceBuffer residual, DeviceBuffer preActivation)
        where TActivation : struct, IUnaryOp
    {
        if (TryTensorCoreMatMul<TActivation>(args, a, b, c, bias, residual, preActivation)) return;
        throw new NotSupportedException("Pending.");
    }

    /// <inheritdoc/>
    public void BiasGradient(DeviceBuffer x, int columns, GradientTarget sums)
        => throw new NotSupportedException("Pending.");

    /// <summary>f(z) = z: a product without an activation.</summary>
    internal readonly struct NoActivation : IUnaryOp
    {
        public static float Forward(float x) => x;

        public static float Derivative(float x, float y) => 1f;
    }
}
