using System.Runtime.CompilerServices;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels.Gpu;

/// <summary>
/// Elementary functions for kernels, by the formulas that the CPU uses (<see cref="SimdMath"/>): accurate, and the same on every device.
/// MathF.Exp and its like are faster and less accurate on CUDA, where they become approximate instructions.
/// </summary>
internal static class GpuMath
{
    /// <summary>eˣ.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Exp(float x) => SimdMath.Exp(new SimdScalar(x)).Value;

    /// <summary>ln x.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Log(float x) => SimdMath.Log(new SimdScalar(x)).Value;

    /// <summary>f(x) of an element-wise operation, in its vector form where it has one, as the CPU computes it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Forward<TOp>(float x)
        where TOp : struct, IUnaryOp
        => TOp.IsVectorized ? TOp.Forward(new SimdScalar(x)).Value : TOp.Forward(x);

    /// <summary>f′(x) of an element-wise operation.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Derivative<TOp>(float x, float y)
        where TOp : struct, IUnaryOp
        => TOp.IsVectorized ? TOp.Derivative(new SimdScalar(x), new SimdScalar(y)).Value : TOp.Derivative(x, y);
}
