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

    /// <summary>sin x and cos x, accurate to about two units in the last place for |x| below 100,000: reduced to |r| ≤ π/4, then polynomials.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void SinCos(float x, out float sine, out float cosine)
    {
        float n = SimdScalar.Round(new SimdScalar(x * 0.636619747f)).Value;
        float r = MathF.FusedMultiplyAdd(n, -1.57079637f, x);      // π/2 in three parts: the first difference is exact
        r = MathF.FusedMultiplyAdd(n, 4.37113883e-8f, r);
        r = MathF.FusedMultiplyAdd(n, 1.71512451e-15f, r);
        float square = r * r, s = 2.72498642e-6f, c = 2.45478914e-5f;
        s = MathF.FusedMultiplyAdd(s, square, -1.98400856e-4f);
        s = MathF.FusedMultiplyAdd(s, square, 8.33333191e-3f);
        s = MathF.FusedMultiplyAdd(s, square, -0.166666672f);
        s = MathF.FusedMultiplyAdd(s * square, r, r);
        c = MathF.FusedMultiplyAdd(c, square, -1.38883025e-3f);
        c = MathF.FusedMultiplyAdd(c, square, 4.16666642e-2f);
        c = MathF.FusedMultiplyAdd(c, square, -0.5f);
        c = MathF.FusedMultiplyAdd(c, square, 1f);
        int quadrant = (int)n;
        bool isExchanged = (quadrant & 1) != 0;
        sine = isExchanged ? c : s;
        cosine = isExchanged ? s : c;
        if ((quadrant & 2) != 0) sine = -sine;
        if (((quadrant + 1) & 2) != 0) cosine = -cosine;
    }

    /// <summary>The product rounded to a float, which no compiler may fuse with the sum that follows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float RoundedProduct(float x, float y) => MathF.FusedMultiplyAdd(x, y, -0f);

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
