using System.Runtime.CompilerServices;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

/// <summary>An element-wise function of two arguments, as a type; see <see cref="IUnaryOp"/>.</summary>
public interface IBinaryOp
{
    /// <summary>y = f(left, right).</summary>
    static abstract float Forward(float left, float right);

    /// <summary>∂f/∂left, given the arguments and y = f(left, right).</summary>
    static abstract float LeftDerivative(float left, float right, float y);

    /// <summary>∂f/∂right, given the arguments and y = f(left, right).</summary>
    static abstract float RightDerivative(float left, float right, float y);

    /// <summary>Whether the vector methods are there; without them they give NaN and nobody calls them (kernels may not throw).</summary>
    static virtual bool IsVectorized => false;

    /// <summary>y = f(left, right), a vector at a time.</summary>
    static virtual V Forward<V>(V left, V right)
        where V : unmanaged, ISimd<V>
        => V.Create(float.NaN);

    /// <summary>∂f/∂left, a vector at a time.</summary>
    static virtual V LeftDerivative<V>(V left, V right, V y)
        where V : unmanaged, ISimd<V>
        => V.Create(float.NaN);

    /// <summary>∂f/∂right, a vector at a time.</summary>
    static virtual V RightDerivative<V>(V left, V right, V y)
        where V : unmanaged, ISimd<V>
        => V.Create(float.NaN);
}

public partial interface IBackend
{
    /// <summary>y[o, r, j] = f(full[o, r, j], small[o, j]). Writes y; y may be the buffer of the full operand.</summary>
    void Binary<TOp>(DeviceBuffer full, DeviceBuffer small, DeviceBuffer y, Broadcast layout)
        where TOp : struct, IBinaryOp;

    /// <summary>dfull = dy · ∂f/∂full; dsmall[o, j] = Σᵣ dy · ∂f/∂small in a fixed order; written or accumulated as the targets say.</summary>
    void BinaryBackward<TOp>(
        DeviceBuffer full, DeviceBuffer small, DeviceBuffer y, DeviceBuffer dy, Broadcast layout, GradientTarget dfull, GradientTarget dsmall)
        where TOp : struct, IBinaryOp;
}

public sealed unsafe partial class CpuBackend
{
    /// <inheritdoc/>
    public void Binary<TOp>(DeviceBuffer full, DeviceBuffer small, DeviceBuffer y, Broadcast layout)
        where TOp : struct, IBinaryOp
        => Map(new BinaryTerm<TOp>(Floats(full)), Floats(small), layout, new GradientTarget(y, false));

    /// <inheritdoc/>
    public void BinaryBackward<TOp>(
        DeviceBuffer full, DeviceBuffer small, DeviceBuffer y, DeviceBuffer dy, Broadcast layout, GradientTarget dfull, GradientTarget dsmall)
        where TOp : struct, IBinaryOp
    {
        if (dfull.IsNeeded) Map(new BinaryFullGradient<TOp>(Floats(full), Floats(y), Floats(dy)), Floats(small), layout, dfull);
        if (!dsmall.IsNeeded) return;
        BinarySmallGradient<TOp> gradient = new(Floats(full), Floats(y), Floats(dy));
        if (layout.Repeat == 1) Map(gradient, Floats(small), layout, dsmall);
        else Reduce(gradient, Floats(small), layout, dsmall);
    }

    private readonly record struct BinaryTerm<TOp>(Pointer Full) : IElementTerm
        where TOp : struct, IBinaryOp
    {
        public static bool UsesSmall => true;

        public static bool IsVectorized => TOp.IsVectorized;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public V At<V>(int index, V small)
            where V : unmanaged, ISimd<V>
        {
            V full = V.Load(Full + index);
            return TOp.IsVectorized ? TOp.Forward(full, small) : V.Create(TOp.Forward(V.Sum(full), V.Sum(small)));
        }
    }

    private readonly record struct BinaryFullGradient<TOp>(Pointer Full, Pointer Y, Pointer DY) : IElementTerm
        where TOp : struct, IBinaryOp
    {
        public static bool UsesSmall => true;

        public static bool IsVectorized => TOp.IsVectorized;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public V At<V>(int index, V small)
            where V : unmanaged, ISimd<V>
        {
            V full = V.Load(Full + index), y = V.Load(Y + index);
            V slope = TOp.IsVectorized ? TOp.LeftDerivative(full, small, y) : V.Create(TOp.LeftDerivative(V.Sum(full), V.Sum(small), V.Sum(y)));
            return V.Load(DY + index) * slope;
        }
    }

    private readonly record struct BinarySmallGradient<TOp>(Pointer Full, Pointer Y, Pointer DY) : IElementTerm
        where TOp : struct, IBinaryOp
    {
        public static bool UsesSmall => true;

        public static bool IsVectorized => TOp.IsVectorized;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public V At<V>(int index, V small)
            where V : unmanaged, ISimd<V>
        {
            V full = V.Load(Full + index), y = V.Load(Y + index);
            V slope = TOp.IsVectorized ? TOp.RightDerivative(full, small, y) : V.Create(TOp.RightDerivative(V.Sum(full), V.Sum(small), V.Sum(y)));
            return V.Load(DY + index) * slope;
        }
    }
}
