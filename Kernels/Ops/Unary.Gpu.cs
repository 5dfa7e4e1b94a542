using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void Unary<TOp>(DeviceBuffer x, DeviceBuffer y)
        where TOp : struct, IUnaryOp
        => LaunchElements(new UnaryKernel<TOp>(Input(x), Output(y)), x.Length);

    /// <inheritdoc/>
    public void UnaryBackward<TOp>(DeviceBuffer x, DeviceBuffer y, DeviceBuffer dy, GradientTarget dx)
        where TOp : struct, IUnaryOp
    {
        if (dx.IsNeeded) LaunchElements(new UnaryBackwardKernel<TOp>(Input(x), Input(y), Input(dy), Target(dx)), x.Length);
    }

    internal readonly record struct UnaryKernel<TOp>(ArrayView<float> X, ArrayView<float> Y) : IGpuKernel
        where TOp : struct, IUnaryOp
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            for (long i = Grid.GlobalLinearIndex; i < X.Length; i += Grid.DimX * GroupSize) Y[i] = GpuMath.Forward<TOp>(X[i]);
        }
    }

    internal readonly record struct UnaryBackwardKernel<TOp>(ArrayView<float> X, ArrayView<float> Y, ArrayView<float> DY, GpuTarget DX) : IGpuKernel
        where TOp : struct, IUnaryOp
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            for (long i = Grid.GlobalLinearIndex; i < X.Length; i += Grid.DimX * GroupSize) DX.Put(i, DY[i] * GpuMath.Derivative<TOp>(X[i], Y[i]));
        }
    }
}
