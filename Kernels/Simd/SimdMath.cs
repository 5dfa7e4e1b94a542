using System.Runtime.CompilerServices;

namespace MiniVlp.Kernels.Simd;

/// <summary>Elementary functions over vectors, accurate to about two units in the last place.</summary>
public static class SimdMath
{
    /// <summary>
    /// eˣ = 2ⁿ · eʳ with n = round(x / ln 2) and |r| ≤ ln 2 / 2; eʳ by a polynomial of degree 6.
    /// Below -103.97 the result is 0, above 88.72 it is +∞; NaN stays NaN.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Exp<V>(V x)
        where V : unmanaged, ISimd<V>
    {
        V clamped = V.Min(V.Max(x, V.Create(-104f)), V.Create(89f));
        V n = V.Round(clamped * V.Create(1.44269504f));
        V r = V.FusedMultiplyAdd(n, V.Create(-0.693145752f), clamped);      // ln 2 in two parts: the first has few bits, n · it is exact
        r = V.FusedMultiplyAdd(n, V.Create(-1.42860677e-6f), r);
        V p = V.Create(1f / 720f);
        p = V.FusedMultiplyAdd(p, r, V.Create(1f / 120f));
        p = V.FusedMultiplyAdd(p, r, V.Create(1f / 24f));
        p = V.FusedMultiplyAdd(p, r, V.Create(1f / 6f));
        p = V.FusedMultiplyAdd(p, r, V.Create(0.5f));
        p = V.FusedMultiplyAdd(p, r, V.Create(1f));
        p = V.FusedMultiplyAdd(p, r, V.Create(1f));
        V result = V.ScaleByPowerOf2(p, n);
        return V.Select(V.Equal(x, x), result, x);
    }
}
