using System.Runtime.CompilerServices;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

/// <summary>y = eˣ.</summary>
public readonly struct Exp : IUnaryOp
{
    /// <inheritdoc/>
    public static bool IsVectorized => true;

    /// <inheritdoc/>
    public static float Forward(float x) => MathF.Exp(x);

    /// <inheritdoc/>
    public static float Derivative(float x, float y) => y;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Forward<V>(V x)
        where V : unmanaged, ISimd<V>
        => SimdMath.Exp(x);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<V>(V x, V y)
        where V : unmanaged, ISimd<V>
        => y;
}

/// <summary>y = ln x; -∞ at 0, NaN below.</summary>
public readonly struct Log : IUnaryOp
{
    /// <inheritdoc/>
    public static bool IsVectorized => true;

    /// <inheritdoc/>
    public static float Forward(float x) => MathF.Log(x);

    /// <inheritdoc/>
    public static float Derivative(float x, float y) => 1f / x;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Forward<V>(V x)
        where V : unmanaged, ISimd<V>
        => SimdMath.Log(x);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<V>(V x, V y)
        where V : unmanaged, ISimd<V>
        => V.Create(1f) / x;
}

/// <summary>y = √x; NaN below 0.</summary>
public readonly struct Sqrt : IUnaryOp
{
    /// <inheritdoc/>
    public static bool IsVectorized => true;

    /// <inheritdoc/>
    public static float Forward(float x) => MathF.Sqrt(x);

    /// <inheritdoc/>
    public static float Derivative(float x, float y) => 0.5f / y;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Forward<V>(V x)
        where V : unmanaged, ISimd<V>
        => V.Sqrt(x);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<V>(V x, V y)
        where V : unmanaged, ISimd<V>
        => V.Create(0.5f) / y;
}

/// <summary>y = x².</summary>
public readonly struct Square : IUnaryOp
{
    /// <inheritdoc/>
    public static bool IsVectorized => true;

    /// <inheritdoc/>
    public static float Forward(float x) => x * x;

    /// <inheritdoc/>
    public static float Derivative(float x, float y) => 2f * x;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Forward<V>(V x)
        where V : unmanaged, ISimd<V>
        => x * x;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<V>(V x, V y)
        where V : unmanaged, ISimd<V>
        => x + x;
}

/// <summary>y = |x|; the derivative at 0 is 0.</summary>
public readonly struct Abs : IUnaryOp
{
    /// <inheritdoc/>
    public static bool IsVectorized => true;

    /// <inheritdoc/>
    public static float Forward(float x) => MathF.Abs(x);

    /// <inheritdoc/>
    public static float Derivative(float x, float y) => x > 0f ? 1f : x < 0f ? -1f : 0f;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Forward<V>(V x)
        where V : unmanaged, ISimd<V>
        => V.Abs(x);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<V>(V x, V y)
        where V : unmanaged, ISimd<V>
    {
        V one = V.Create(1f);
        return V.Select(V.LessThan(V.Zero, x), one, V.Select(V.LessThan(x, V.Zero), -one, V.Zero));
    }
}

/// <summary>y = -x.</summary>
public readonly struct Negate : IUnaryOp
{
    /// <inheritdoc/>
    public static bool IsVectorized => true;

    /// <inheritdoc/>
    public static float Forward(float x) => -x;

    /// <inheritdoc/>
    public static float Derivative(float x, float y) => -1f;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Forward<V>(V x)
        where V : unmanaged, ISimd<V>
        => -x;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<V>(V x, V y)
        where V : unmanaged, ISimd<V>
        => V.Create(-1f);
}

/// <summary>y = 1 / x.</summary>
public readonly struct Reciprocal : IUnaryOp
{
    /// <inheritdoc/>
    public static bool IsVectorized => true;

    /// <inheritdoc/>
    public static float Forward(float x) => 1f / x;

    /// <inheritdoc/>
    public static float Derivative(float x, float y) => -y * y;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Forward<V>(V x)
        where V : unmanaged, ISimd<V>
        => V.Create(1f) / x;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<V>(V x, V y)
        where V : unmanaged, ISimd<V>
        => -y * y;
}

/// <summary>y = erf(x) = 2/√π ∫₀ˣ e^(-t²) dt; y′ = 2/√π · e^(-x²).</summary>
public readonly struct Erf : IUnaryOp
{
    /// <inheritdoc/>
    public static bool IsVectorized => true;

    /// <inheritdoc/>
    public static float Forward(float x) => SimdMath.Erf(new SimdScalar(x)).Value;

    /// <inheritdoc/>
    public static float Derivative(float x, float y) => 1.12837917f * MathF.Exp(-x * x);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Forward<V>(V x)
        where V : unmanaged, ISimd<V>
        => SimdMath.Erf(x);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Derivative<V>(V x, V y)
        where V : unmanaged, ISimd<V>
        => V.Create(1.12837917f) * SimdMath.ExpNonPositive(-x * x);
}
