using System.Runtime.CompilerServices;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

/// <summary>y = max(x, 0); the derivative at 0 is 0.</summary>
public readonly struct Relu : IUnaryOp
{
    /// <inheritdoc/>
    public static bool IsVectorized => true;

    /// <inheritdoc/>
    public static float Forward(float x) => x > 0f ? x : 0f;

    /// <inheritdoc/>
    public static float Derivative(float x, float y) => x > 0f ? 1f : 0f;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Forward<V>(V x)
        where V : unmanaged, ISimd<V>
        => V.Max(x, V.Zero);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<V>(V x, V y)
        where V : unmanaged, ISimd<V>
        => V.Select(V.LessThan(V.Zero, x), V.Create(1f), V.Zero);
}

/// <summary>y = min(max(x, 0), 6) (Howard et al., arXiv:1704.04861); the derivative at 0 and 6 is 0.</summary>
public readonly struct Relu6 : IUnaryOp
{
    /// <inheritdoc/>
    public static bool IsVectorized => true;

    /// <inheritdoc/>
    public static float Forward(float x) => MathF.Min(MathF.Max(x, 0f), 6f);

    /// <inheritdoc/>
    public static float Derivative(float x, float y) => x > 0f && x < 6f ? 1f : 0f;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Forward<V>(V x)
        where V : unmanaged, ISimd<V>
        => V.Min(V.Max(x, V.Zero), V.Create(6f));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<V>(V x, V y)
        where V : unmanaged, ISimd<V>
    {
        V rising = V.Select(V.LessThan(x, V.Create(6f)), V.Create(1f), V.Zero);
        return V.Select(V.LessThan(V.Zero, x), rising, V.Zero);
    }
}

/// <summary>y = x · Φ(x) with Φ the standard normal distribution function (Hendrycks and Gimpel, arXiv:1606.08415); y′ = Φ(x) + x · φ(x).</summary>
public readonly struct Gelu : IUnaryOp
{
    /// <inheritdoc/>
    public static bool IsVectorized => true;

    /// <inheritdoc/>
    public static float Forward(float x) => 0.5f * x * (1f + Erf.Forward(0.707106781f * x));

    /// <inheritdoc/>
    public static float Derivative(float x, float y) => (0.5f * (1f + Erf.Forward(0.707106781f * x))) + (x * 0.398942280f * MathF.Exp(-0.5f * x * x));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Forward<V>(V x)
        where V : unmanaged, ISimd<V>
    {
        V s = Magnitude(x);
        return V.Max(x, V.Zero) - SimdMath.TimesBell(s * SimdMath.NormalTailOverBell(s), s);
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<V>(V x, V y)
        where V : unmanaged, ISimd<V>
    {
        V s = Magnitude(x), ofNegative = SimdMath.TimesBell(V.FusedMultiplyAdd(V.Create(-0.398942280f), s, SimdMath.NormalTailOverBell(s)), s);
        return V.Select(V.LessThan(x, V.Zero), ofNegative, V.Create(1f) - ofNegative);
    }

    /// <summary>|x| where it matters: at 12, Φ(-12) · 12 is 1e-32.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Magnitude<V>(V x)
        where V : unmanaged, ISimd<V>
        => V.Min(V.Create(12f), V.Abs(x));
}

/// <summary>y = x · σ(2u) = 0.5 x (1 + tanh u), u = √(2/π) (x + 0.044715 x³): GELU as GPT-2 and BLIP-2 approximate it (arXiv:1606.08415).</summary>
public readonly struct GeluTanh : IUnaryOp
{
    /// <inheritdoc/>
    public static bool IsVectorized => true;

    /// <inheritdoc/>
    public static float Forward(float x) => x * Sigmoid.Forward(x * (1.59576912f + (0.0713548163f * x * x)));

    /// <inheritdoc/>
    public static float Derivative(float x, float y)
    {
        float square = x * x, sigmoid = Sigmoid.Forward(x * (1.59576912f + (0.0713548163f * square)));
        return sigmoid + (x * sigmoid * (1f - sigmoid) * (1.59576912f + (0.214064449f * square)));
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Forward<V>(V x)
        where V : unmanaged, ISimd<V>
        => x * SimdMath.Sigmoid(x * V.FusedMultiplyAdd(V.Create(0.0713548163f), x * x, V.Create(1.59576912f)));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<V>(V x, V y)
        where V : unmanaged, ISimd<V>
    {
        V square = x * x, linear = V.Create(1.59576912f);
        V sigmoid = SimdMath.Sigmoid(x * V.FusedMultiplyAdd(V.Create(0.0713548163f), square, linear));
        V slope = sigmoid * (V.Create(1f) - sigmoid) * V.FusedMultiplyAdd(V.Create(0.214064449f), square, linear);
        return V.FusedMultiplyAdd(x, slope, sigmoid);
    }
}

/// <summary>y = x · σ(1.702 x), the approximation of GELU that OpenAI's CLIP was trained with (Hendrycks and Gimpel, arXiv:1606.08415).</summary>
public readonly struct QuickGelu : IUnaryOp
{
    /// <inheritdoc/>
    public static bool IsVectorized => true;

    /// <inheritdoc/>
    public static float Forward(float x) => x * Sigmoid.Forward(1.702f * x);

    /// <inheritdoc/>
    public static float Derivative(float x, float y)
    {
        float sigmoid = Sigmoid.Forward(1.702f * x);
        return sigmoid + (1.702f * x * sigmoid * (1f - sigmoid));
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Forward<V>(V x)
        where V : unmanaged, ISimd<V>
        => x * SimdMath.Sigmoid(V.Create(1.702f) * x);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<V>(V x, V y)
        where V : unmanaged, ISimd<V>
    {
        V scaled = V.Create(1.702f) * x, sigmoid = SimdMath.Sigmoid(scaled);
        return V.FusedMultiplyAdd(scaled * sigmoid, V.Create(1f) - sigmoid, sigmoid);
    }
}

/// <summary>y = x · σ(x), also called swish (Elfwing et al., arXiv:1702.03118).</summary>
public readonly struct Silu : IUnaryOp
{
    /// <inheritdoc/>
    public static bool IsVectorized => true;

    /// <inheritdoc/>
    public static float Forward(float x) => x * Sigmoid.Forward(x);

    /// <inheritdoc/>
    public static float Derivative(float x, float y)
    {
        float sigmoid = Sigmoid.Forward(x);
        return sigmoid + (x * sigmoid * (1f - sigmoid));
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Forward<V>(V x)
        where V : unmanaged, ISimd<V>
        => x * SimdMath.Sigmoid(x);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<V>(V x, V y)
        where V : unmanaged, ISimd<V>
    {
        V sigmoid = SimdMath.Sigmoid(x);
        return V.FusedMultiplyAdd(x * sigmoid, V.Create(1f) - sigmoid, sigmoid);
    }
}

/// <summary>y = σ(x) = 1 / (1 + e^(-x)); y′ = σ(x) σ(-x).</summary>
public readonly struct Sigmoid : IUnaryOp
{
    /// <inheritdoc/>
    public static bool IsVectorized => true;

    /// <inheritdoc/>
    public static float Forward(float x) => 1f / (1f + MathF.Exp(-x));

    /// <inheritdoc/>
    public static float Derivative(float x, float y) => y * (1f - y);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Forward<V>(V x)
        where V : unmanaged, ISimd<V>
        => SimdMath.Sigmoid(x);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<V>(V x, V y)
        where V : unmanaged, ISimd<V>
        => y * (V.Create(1f) - y);
}

/// <summary>y = ln σ(x) = -softplus(-x), without overflow for either sign.</summary>
public readonly struct LogSigmoid : IUnaryOp
{
    /// <inheritdoc/>
    public static bool IsVectorized => true;

    /// <inheritdoc/>
    public static float Forward(float x) => MathF.Min(x, 0f) - Softplus.Tail(x);

    /// <inheritdoc/>
    public static float Derivative(float x, float y) => Sigmoid.Forward(-x);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Forward<V>(V x)
        where V : unmanaged, ISimd<V>
        => V.Min(x, V.Zero) - SimdMath.LogOnePlus(SimdMath.ExpNonPositive(-V.Abs(x)));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<V>(V x, V y)
        where V : unmanaged, ISimd<V>
        => SimdMath.Sigmoid(-x);
}

/// <summary>y = ln(1 + eˣ) = max(x, 0) + ln(1 + e^(-|x|)), without overflow; y′ = σ(x).</summary>
public readonly struct Softplus : IUnaryOp
{
    /// <inheritdoc/>
    public static bool IsVectorized => true;

    /// <inheritdoc/>
    public static float Forward(float x) => MathF.Max(x, 0f) + Tail(x);

    /// <inheritdoc/>
    public static float Derivative(float x, float y) => Sigmoid.Forward(x);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Forward<V>(V x)
        where V : unmanaged, ISimd<V>
        => V.Max(x, V.Zero) + SimdMath.LogOnePlus(SimdMath.ExpNonPositive(-V.Abs(x)));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<V>(V x, V y)
        where V : unmanaged, ISimd<V>
        => SimdMath.Sigmoid(x);

    /// <summary>ln(1 + e^(-|x|)).</summary>
    internal static float Tail(float x) => SimdMath.LogOnePlus(new SimdScalar(MathF.Exp(-MathF.Abs(x)))).Value;
}

/// <summary>y = x · tanh(ln(1 + eˣ)), smooth and not monotonic (Misra, arXiv:1908.08681).</summary>
public readonly struct Mish : IUnaryOp
{
    /// <inheritdoc/>
    public static bool IsVectorized => true;

    /// <inheritdoc/>
    public static float Forward(float x) => x * Tanh.Forward(Softplus.Forward(x));

    /// <inheritdoc/>
    public static float Derivative(float x, float y)
    {
        float tanh = Tanh.Forward(Softplus.Forward(x));
        return tanh + (x * (1f - (tanh * tanh)) * Sigmoid.Forward(x));
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Forward<V>(V x)
        where V : unmanaged, ISimd<V>
        => x * Tanh.Forward(Softplus.Forward(x));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<V>(V x, V y)
        where V : unmanaged, ISimd<V>
    {
        V tanh = Tanh.Forward(Softplus.Forward(x));
        return V.FusedMultiplyAdd(x * (V.Create(1f) - (tanh * tanh)), Sigmoid.Forward(x), tanh);
    }
}

/// <summary>y = tanh x; y′ = 1 - y².</summary>
public readonly struct Tanh : IUnaryOp
{
    /// <inheritdoc/>
    public static bool IsVectorized => true;

    /// <inheritdoc/>
    public static float Forward(float x) => MathF.Tanh(x);

    /// <inheritdoc/>
    public static float Derivative(float x, float y) => 1f - (y * y);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Forward<V>(V x)
        where V : unmanaged, ISimd<V>
        => SimdMath.Tanh(x);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<V>(V x, V y)
        where V : unmanaged, ISimd<V>
        => V.FusedMultiplyAdd(-y, y, V.Create(1f));
}
