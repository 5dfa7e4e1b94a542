using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    public void Unary<TOp>(DeviceBuffer x, DeviceBuffer y)
        where TOp : struct, IUnaryOp
    {
        int quads = Float4.CountIn(x.Length, x, y);
        LaunchElements(new UnaryKernel<TOp>(Input(x), Output(y), quads), quads > 0 ? quads : x.Length);
    }

    /// <inheritdoc/>
    public void UnaryBackward<TOp>(DeviceBuffer x, DeviceBuffer y, DeviceBuffer dy, GradientTarget dx)
        where TOp : struct, IUnaryOp
    {
        if (!dx.IsNeeded) return;
        int quads = Float4.CountIn(x.Length, x, y, dy, dx.Buffer);
        LaunchElements(new UnaryBackwardKernel<TOp>(Input(x), Input(y), Input(dy), Target(dx), quads > 0 ? CopyAhead(dx.Buffer) : default, quads), quads > 0 ? quads : x.Length);
    }

    internal readonly record struct UnaryKernel<TOp>(ArrayView<float> X, ArrayView<float> Y, int Quads) : IGpuKernel
        where TOp : struct, IUnaryOp
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            long first = Grid.GlobalLinearIndex, step = Grid.DimX * GroupSize;
            for (long quad = first; quad < Quads; quad += step)
            {
                Float4 x = Float4.Load(X, quad);
                Y.Cast<Float4>()[quad] = new Float4(GpuMath.Forward<TOp>(x.X), GpuMath.Forward<TOp>(x.Y), GpuMath.Forward<TOp>(x.Z), GpuMath.Forward<TOp>(x.W));
            }

            for (long i = ((long)Quads * Float4.Length) + first; i < X.Length; i += step) Y[i] = GpuMath.Forward<TOp>(X[i]);
        }
    }

    internal readonly record struct UnaryBackwardKernel<TOp>(ArrayView<float> X, ArrayView<float> Y, ArrayView<float> DY, GpuTarget DX, ArrayView<float> Copy, int Quads) : IGpuKernel
        where TOp : struct, IUnaryOp
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            long first = Grid.GlobalLinearIndex, step = Grid.DimX * GroupSize;
            for (long quad = first; quad < Quads; quad += step)
            {
                Float4 x = Float4.Load(X, quad), y = Float4.Load(Y, quad), dy = Float4.Load(DY, quad);
                Float4 gradient = Float4.Put(DX, quad, new Float4(
                    dy.X * GpuMath.Derivative<TOp>(x.X, y.X),
                    dy.Y * GpuMath.Derivative<TOp>(x.Y, y.Y),
                    dy.Z * GpuMath.Derivative<TOp>(x.Z, y.Z),
                    dy.W * GpuMath.Derivative<TOp>(x.W, y.W)));
                if (Copy.Length > 0) BFloat16Quad.Store(Copy, quad, gradient);
            }

            for (long i = ((long)Quads * Float4.Length) + first; i < X.Length; i += step) DX.Put(i, DY[i] * GpuMath.Derivative<TOp>(X[i], Y[i]));
        }
    }
}
