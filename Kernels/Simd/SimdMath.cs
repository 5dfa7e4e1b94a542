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
        // With the constant in front, Min and Max hand a NaN on.
        V clamped = V.Min(V.Create(89f), V.Max(V.Create(-104f), x));
        V n = V.Round(clamped * V.Create(1.44269504f));
        V r = V.FusedMultiplyAdd(n, V.Create(-0.693145752f), clamped);      // ln 2 in two parts: the first has few bits, n · it is exact
        r = V.FusedMultiplyAdd(n, V.Create(-1.42860677e-6f), r);
        return V.ScaleByPowerOf2(ExpOfRemainder(r), n);
    }

    /// <summary>
    /// eˣ for x ≤ 0, as a softmax needs it, in half the operations of <see cref="Exp"/>: one multiply-add leaves n + 127 in the lowest bits of a
    /// float, from where a shift makes them the exponent of 2ⁿ. Below -87.68 the result is exactly 0; NaN stays NaN. It holds up to x = 88.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V ExpNonPositive<V>(V x)
        where V : unmanaged, ISimd<V>
    {
        V shift = V.Create(12583039f);                                      // 1.5 · 2²³ + 127: here neighbouring floats differ by 1
        V clamped = V.Max(V.Create(-88.03f), x);                            // -127 ln 2: the exponent field becomes 0, and so 2ⁿ
        V shifted = V.FusedMultiplyAdd(clamped, V.Create(1.44269504f), shift), n = shifted - shift;
        V r = V.FusedMultiplyAdd(n, V.Create(-0.693145752f), clamped);
        r = V.FusedMultiplyAdd(n, V.Create(-1.42860677e-6f), r);
        return ExpOfRemainder(r) * V.LowBitsToExponent(shifted);
    }

    /// <summary>eʳ for |r| ≤ ln 2 / 2.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V ExpOfRemainder<V>(V r)
        where V : unmanaged, ISimd<V>
    {
        V p = V.Create(0.00139261761f);
        p = V.FusedMultiplyAdd(p, r, V.Create(0.00836317307f));
        p = V.FusedMultiplyAdd(p, r, V.Create(0.0416665547f));
        p = V.FusedMultiplyAdd(p, r, V.Create(0.16666577f));
        p = V.FusedMultiplyAdd(p, r, V.Create(0.5f));
        p = V.FusedMultiplyAdd(p, r, V.Create(1f));
        p = V.FusedMultiplyAdd(p, r, V.Create(1f));
        return p;
    }

    /// <summary>ln x = ln m + n ln 2 for x = m · 2ⁿ, m in [√½, √2), by a polynomial in m - 1; -∞ at 0, NaN below.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Log<V>(V x)
        where V : unmanaged, ISimd<V>
    {
        V one = V.Create(1f), zero = V.Zero, infinity = V.Create(float.PositiveInfinity);
        V isSubnormal = V.LessThan(x, V.Create(1.17549435e-38f));
        V.SplitExponent(V.Select(isSubnormal, x * V.Create(8388608f), x), out V mantissa, out V exponent);
        exponent = V.Select(isSubnormal, exponent - V.Create(23f), exponent);
        V isLow = V.LessThan(mantissa, V.Create(0.707106781f));
        exponent = V.Select(isLow, exponent - one, exponent);
        V z = V.Select(isLow, mantissa + mantissa, mantissa) - one;
        V p = V.Create(0.0697161147f);
        p = V.FusedMultiplyAdd(p, z, V.Create(-0.114797338f));
        p = V.FusedMultiplyAdd(p, z, V.Create(0.116854199f));
        p = V.FusedMultiplyAdd(p, z, V.Create(-0.124256873f));
        p = V.FusedMultiplyAdd(p, z, V.Create(0.142490576f));
        p = V.FusedMultiplyAdd(p, z, V.Create(-0.166678023f));
        p = V.FusedMultiplyAdd(p, z, V.Create(0.200007157f));
        p = V.FusedMultiplyAdd(p, z, V.Create(-0.24999997f));
        p = V.FusedMultiplyAdd(p, z, V.Create(0.333333312f));
        V square = z * z;
        V tail = V.FusedMultiplyAdd(p * z, square, exponent * V.Create(-2.12194442e-4f));      // ln 2 in two parts
        V result = V.FusedMultiplyAdd(V.Create(-0.5f), square, tail) + z;
        result = V.FusedMultiplyAdd(exponent, V.Create(0.693359375f), result);
        result = V.Select(V.Equal(x, infinity), infinity, result);
        result = V.Select(V.Equal(x, zero), -infinity, result);
        result = V.Select(V.LessThan(x, zero), V.Create(float.NaN), result);
        return V.Select(V.Equal(x, x), result, x);
    }

    /// <summary>ln(1 + x) for x ≥ 0, exact to the last places also where 1 + x loses most of x.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V LogOnePlus<V>(V x)
        where V : unmanaged, ISimd<V>
    {
        V one = V.Create(1f), sum = one + x;
        V lost = x - (sum - one);
        return Log(sum) + (lost / sum);
    }

    /// <summary>σ(x) = 1 / (1 + e^(-x)), for negative x as eˣ / (1 + eˣ).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Sigmoid<V>(V x)
        where V : unmanaged, ISimd<V>
    {
        V one = V.Create(1f), small = ExpNonPositive(-V.Abs(x));
        return V.Select(V.LessThan(x, V.Zero), small, one) / (one + small);
    }

    /// <summary>tanh x: a polynomial below 0.625, else (1 - e^(-2|x|)) / (1 + e^(-2|x|)) with the sign of x.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Tanh<V>(V x)
        where V : unmanaged, ISimd<V>
    {
        V one = V.Create(1f), magnitude = V.Abs(x), square = x * x;
        V p = V.Create(-0.0060451651f);
        p = V.FusedMultiplyAdd(p, square, V.Create(0.0209613291f));
        p = V.FusedMultiplyAdd(p, square, V.Create(-0.0538432632f));
        p = V.FusedMultiplyAdd(p, square, V.Create(0.133327188f));
        p = V.FusedMultiplyAdd(p, square, V.Create(-0.333333284f));
        V small = V.FusedMultiplyAdd(p * square, x, x);
        V e = ExpNonPositive(V.Create(-2f) * magnitude), large = (one - e) / (one + e);
        large = V.Select(V.LessThan(x, V.Zero), -large, large);
        return V.Select(V.LessThan(magnitude, V.Create(0.625f)), small, large);
    }

    /// <summary>erf(x): x times a polynomial in x² below 1, else ±(1 - e^(p(|x|))) where p approximates ln erfc.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Erf<V>(V x)
        where V : unmanaged, ISimd<V>
    {
        V square = x * x, magnitude = V.Min(V.Create(4f), V.Abs(x));
        V p = V.Create(7.87587506e-5f);
        p = V.FusedMultiplyAdd(p, square, V.Create(-0.000801686429f));
        p = V.FusedMultiplyAdd(p, square, V.Create(0.00518908742f));
        p = V.FusedMultiplyAdd(p, square, V.Create(-0.026854212f));
        p = V.FusedMultiplyAdd(p, square, V.Create(0.112835947f));
        p = V.FusedMultiplyAdd(p, square, V.Create(-0.376126267f));
        p = V.FusedMultiplyAdd(p, square, V.Create(0.128379166f));
        V small = V.FusedMultiplyAdd(p, x, x);

        V q = V.Create(1.63993802e-6f);
        q = V.FusedMultiplyAdd(q, magnitude, V.Create(-4.61129139e-5f));
        q = V.FusedMultiplyAdd(q, magnitude, V.Create(0.000597264433f));
        q = V.FusedMultiplyAdd(q, magnitude, V.Create(-0.00476171724f));
        q = V.FusedMultiplyAdd(q, magnitude, V.Create(0.0264270438f));
        q = V.FusedMultiplyAdd(q, magnitude, V.Create(-0.110090197f));
        q = V.FusedMultiplyAdd(q, magnitude, V.Create(-0.6318157f));
        q = V.FusedMultiplyAdd(q, magnitude, V.Create(-0.130239201f));
        q = V.FusedMultiplyAdd(q, magnitude, V.Create(0.000321471026f)) - magnitude;
        V large = V.Create(1f) - ExpNonPositive(q);
        large = V.Select(V.LessThan(x, V.Zero), -large, large);
        return V.Select(V.LessThan(magnitude, V.Create(1f)), small, large);
    }

    /// <summary>
    /// factor · e^(-s²/2) for 0 ≤ s ≤ 12, with a relative error of 1e-7 + 3e-8 s². The factor times 2ⁿ is ready before eʳ is, so that only one
    /// product follows the polynomial: the chain of dependent steps is what limits such a loop.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static V TimesBell<V>(V factor, V s)
        where V : unmanaged, ISimd<V>
    {
        V square = s * s, shift = V.Create(12583039f);
        V shifted = V.FusedMultiplyAdd(square, V.Create(-0.72134752f), shift), n = shifted - shift;
        V r = V.FusedMultiplyAdd(n, V.Create(-0.693147182f), V.Create(-0.5f) * square);
        return ExpOfRemainder(r) * (factor * V.LowBitsToExponent(shifted));
    }

    /// <summary>
    /// e^(s²/2) Φ(-s) = p(1 / (1 + 0.395 s)) for 0 ≤ s ≤ 12: the form of Hastings (Approximations for Digital Computers, 1955), one degree
    /// higher. Times the bell, its absolute error is 1.4e-7 and its relative error 4e-5.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static V NormalTailOverBell<V>(V s)
        where V : unmanaged, ISimd<V>
    {
        V one = V.Create(1f), t = one / V.FusedMultiplyAdd(V.Create(0.395f), s, one);
        V p = V.Create(0.0561149950f);
        p = V.FusedMultiplyAdd(p, t, V.Create(-0.261847297f));
        p = V.FusedMultiplyAdd(p, t, V.Create(0.368853645f));
        p = V.FusedMultiplyAdd(p, t, V.Create(-0.0145421800f));
        p = V.FusedMultiplyAdd(p, t, V.Create(0.199685836f));
        p = V.FusedMultiplyAdd(p, t, V.Create(0.151368932f));
        p = V.FusedMultiplyAdd(p, t, V.Create(3.66038022e-4f));
        return p;
    }
}
