using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

/// <summary>
/// An element-wise function of one argument, as a type: the same struct is the loop body on every device. A user adds an activation by
/// writing one. The scalar methods are enough; the vector methods make it fast on the CPU.
/// </summary>
public interface IUnaryOp
{
    /// <summary>y = f(x).</summary>
    static abstract float Forward(float x);

    /// <summary>f′(x), given both x and y = f(x).</summary>
    static abstract float Derivative(float x, float y);

    /// <summary>Whether the vector methods are there; without them they give NaN and nobody calls them (kernels may not throw).</summary>
    static virtual bool IsVectorized => false;

    /// <summary>y = f(x), a vector at a time.</summary>
    static virtual V Forward<V>(V x)
        where V : unmanaged, ISimd<V>
        => V.Create(float.NaN);

    /// <summary>f′(x), a vector at a time.</summary>
    static virtual V Derivative<V>(V x, V y)
        where V : unmanaged, ISimd<V>
        => V.Create(float.NaN);
}

public partial interface IBackend
{
    /// <summary>y[i] = f(x[i]). Writes y; x and y may be the same buffer.</summary>
    void Unary<TOp>(DeviceBuffer x, DeviceBuffer y)
        where TOp : struct, IUnaryOp;

    /// <summary>dx[i] = dy[i] · f′(x[i]), written or accumulated as the target says.</summary>
    void UnaryBackward<TOp>(DeviceBuffer x, DeviceBuffer y, DeviceBuffer dy, GradientTarget dx)
        where TOp : struct, IUnaryOp;
}

public sealed unsafe partial class CpuBackend
{
    /// <summary>Elements in one chunk of an element-wise kernel: 64 KiB of floats, so that two operands fit the second-level cache.</summary>
    private const int ElementwiseGrain = 16 * 1024;

    /// <inheritdoc/>
    public void Unary<TOp>(DeviceBuffer x, DeviceBuffer y)
        where TOp : struct, IUnaryOp
        => Run(
            new UnaryKernel<TOp>(Floats(x), Floats(y), x.Length, Floats(x) != Floats(y) && NonTemporal.Pays(Floats(y), y.Length)),
            ChunkCount(x.Length, ElementwiseGrain));

    /// <inheritdoc/>
    public void UnaryBackward<TOp>(DeviceBuffer x, DeviceBuffer y, DeviceBuffer dy, GradientTarget dx)
        where TOp : struct, IUnaryOp
    {
        if (!dx.IsNeeded) return;
        Run(
            new UnaryBackwardKernel<TOp>(
                Floats(x), Floats(y), Floats(dy), Floats(dx.Buffer), x.Length, dx.Accumulate, !dx.Accumulate && NonTemporal.Pays(Floats(dx.Buffer), x.Length)),
            ChunkCount(x.Length, ElementwiseGrain));
    }

    private readonly record struct UnaryKernel<TOp>(Pointer X, Pointer Y, int Length, bool IsStreamed) : ICpuKernel
        where TOp : struct, IUnaryOp
    {
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int start = chunk * ElementwiseGrain, end = Math.Min(Length, start + ElementwiseGrain), i = start;
            float* x = X, y = Y;
            if (TOp.IsVectorized && V.Width > 1)
            {
                if (IsStreamed)
                {
                    for (; i <= end - V.Width; i += V.Width) V.StoreNonTemporal(TOp.Forward(V.Load(x + i)), y + i);
                    NonTemporal.Fence();
                }

                for (; i <= end - V.Width; i += V.Width) V.Store(TOp.Forward(V.Load(x + i)), y + i);

                // The same formula for the rest: what an element gets does not depend on where it stands.
                for (; i < end; i++) y[i] = TOp.Forward(new SimdScalar(x[i])).Value;
            }

            for (; i < end; i++) y[i] = TOp.Forward(x[i]);
        }
    }

    private readonly record struct UnaryBackwardKernel<TOp>(Pointer X, Pointer Y, Pointer DY, Pointer DX, int Length, bool Accumulate, bool IsStreamed) : ICpuKernel
        where TOp : struct, IUnaryOp
    {
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int start = chunk * ElementwiseGrain, end = Math.Min(Length, start + ElementwiseGrain), i = start;
            float* x = X, y = Y, dy = DY, dx = DX;
            if (TOp.IsVectorized && V.Width > 1)
            {
                if (IsStreamed)
                {
                    for (; i <= end - V.Width; i += V.Width) V.StoreNonTemporal(V.Load(dy + i) * TOp.Derivative(V.Load(x + i), V.Load(y + i)), dx + i);
                    NonTemporal.Fence();
                }

                for (; i <= end - V.Width; i += V.Width)
                {
                    V gradient = V.Load(dy + i) * TOp.Derivative(V.Load(x + i), V.Load(y + i));
                    V.Store(Accumulate ? V.Load(dx + i) + gradient : gradient, dx + i);
                }

                for (; i < end; i++)
                {
                    float gradient = dy[i] * TOp.Derivative(new SimdScalar(x[i]), new SimdScalar(y[i])).Value;
                    dx[i] = Accumulate ? dx[i] + gradient : gradient;
                }
            }

            for (; i < end; i++)
            {
                float gradient = dy[i] * TOp.Derivative(x[i], y[i]);
                dx[i] = Accumulate ? dx[i] + gradient : gradient;
            }
        }
    }
}
