using System.Runtime.CompilerServices;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

/// <summary>y = left + right.</summary>
public readonly struct Addition : IBinaryOp
{
    /// <inheritdoc/>
    public static bool IsVectorized => true;

    /// <inheritdoc/>
    public static float Forward(float left, float right) => left + right;

    /// <inheritdoc/>
    public static float LeftDerivative(float left, float right, float y) => 1f;

    /// <inheritdoc/>
    public static float RightDerivative(float left, float right, float y) => 1f;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Forward<V>(V left, V right)
        where V : unmanaged, ISimd<V>
        => left + right;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V LeftDerivative<V>(V left, V right, V y)
        where V : unmanaged, ISimd<V>
        => V.Create(1f);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V RightDerivative<V>(V left, V right, V y)
        where V : unmanaged, ISimd<V>
        => V.Create(1f);
}

/// <summary>y = left - right.</summary>
public readonly struct Subtraction : IBinaryOp
{
    /// <inheritdoc/>
    public static bool IsVectorized => true;

    /// <inheritdoc/>
    public static float Forward(float left, float right) => left - right;

    /// <inheritdoc/>
    public static float LeftDerivative(float left, float right, float y) => 1f;

    /// <inheritdoc/>
    public static float RightDerivative(float left, float right, float y) => -1f;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Forward<V>(V left, V right)
        where V : unmanaged, ISimd<V>
        => left - right;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V LeftDerivative<V>(V left, V right, V y)
        where V : unmanaged, ISimd<V>
        => V.Create(1f);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V RightDerivative<V>(V left, V right, V y)
        where V : unmanaged, ISimd<V>
        => V.Create(-1f);
}

/// <summary>y = left · right.</summary>
public readonly struct Multiplication : IBinaryOp
{
    /// <inheritdoc/>
    public static bool IsVectorized => true;

    /// <inheritdoc/>
    public static float Forward(float left, float right) => left * right;

    /// <inheritdoc/>
    public static float LeftDerivative(float left, float right, float y) => right;

    /// <inheritdoc/>
    public static float RightDerivative(float left, float right, float y) => left;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Forward<V>(V left, V right)
        where V : unmanaged, ISimd<V>
        => left * right;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V LeftDerivative<V>(V left, V right, V y)
        where V : unmanaged, ISimd<V>
        => right;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V RightDerivative<V>(V left, V right, V y)
        where V : unmanaged, ISimd<V>
        => left;
}

/// <summary>y = left / right; ∂y/∂right = -y / right.</summary>
public readonly struct Division : IBinaryOp
{
    /// <inheritdoc/>
    public static bool IsVectorized => true;

    /// <inheritdoc/>
    public static float Forward(float left, float right) => left / right;

    /// <inheritdoc/>
    public static float LeftDerivative(float left, float right, float y) => 1f / right;

    /// <inheritdoc/>
    public static float RightDerivative(float left, float right, float y) => -y / right;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Forward<V>(V left, V right)
        where V : unmanaged, ISimd<V>
        => left / right;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V LeftDerivative<V>(V left, V right, V y)
        where V : unmanaged, ISimd<V>
        => V.Create(1f) / right;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V RightDerivative<V>(V left, V right, V y)
        where V : unmanaged, ISimd<V>
        => -y / right;
}

/// <summary>y = max(left, right); the gradient goes to the larger, halves to both when they are equal.</summary>
public readonly struct Maximum : IBinaryOp
{
    /// <inheritdoc/>
    public static bool IsVectorized => true;

    /// <inheritdoc/>
    public static float Forward(float left, float right) => left > right ? left : right;

    /// <inheritdoc/>
    public static float LeftDerivative(float left, float right, float y) => left > right ? 1f : left == right ? 0.5f : 0f;

    /// <inheritdoc/>
    public static float RightDerivative(float left, float right, float y) => right > left ? 1f : left == right ? 0.5f : 0f;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Forward<V>(V left, V right)
        where V : unmanaged, ISimd<V>
        => V.Max(left, right);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V LeftDerivative<V>(V left, V right, V y)
        where V : unmanaged, ISimd<V>
        => V.Select(V.LessThan(right, left), V.Create(1f), V.Select(V.Equal(left, right), V.Create(0.5f), V.Zero));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V RightDerivative<V>(V left, V right, V y)
        where V : unmanaged, ISimd<V>
        => V.Select(V.LessThan(left, right), V.Create(1f), V.Select(V.Equal(left, right), V.Create(0.5f), V.Zero));
}

/// <summary>y = min(left, right); the gradient goes to the smaller, halves to both when they are equal.</summary>
public readonly struct Minimum : IBinaryOp
{
    /// <inheritdoc/>
    public static bool IsVectorized => true;

    /// <inheritdoc/>
    public static float Forward(float left, float right) => left < right ? left : right;

    /// <inheritdoc/>
    public static float LeftDerivative(float left, float right, float y) => left < right ? 1f : left == right ? 0.5f : 0f;

    /// <inheritdoc/>
    public static float RightDerivative(float left, float right, float y) => right < left ? 1f : left == right ? 0.5f : 0f;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Forward<V>(V left, V right)
        where V : unmanaged, ISimd<V>
        => V.Min(left, right);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V LeftDerivative<V>(V left, V right, V y)
        where V : unmanaged, ISimd<V>
        => V.Select(V.LessThan(left, right), V.Create(1f), V.Select(V.Equal(left, right), V.Create(0.5f), V.Zero));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V RightDerivative<V>(V left, V right, V y)
        where V : unmanaged, ISimd<V>
        => V.Select(V.LessThan(right, left), V.Create(1f), V.Select(V.Equal(left, right), V.Create(0.5f), V.Zero));
}

/// <summary>y = f(right, left): the operation with its arguments exchanged, for a left operand that is broadcast.</summary>
/// <typeparam name="TOp">The operation f.</typeparam>
public readonly struct Exchanged<TOp> : IBinaryOp
    where TOp : struct, IBinaryOp
{
    /// <inheritdoc/>
    public static bool IsVectorized => TOp.IsVectorized;

    /// <inheritdoc/>
    public static float Forward(float left, float right) => TOp.Forward(right, left);

    /// <inheritdoc/>
    public static float LeftDerivative(float left, float right, float y) => TOp.RightDerivative(right, left, y);

    /// <inheritdoc/>
    public static float RightDerivative(float left, float right, float y) => TOp.LeftDerivative(right, left, y);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Forward<V>(V left, V right)
        where V : unmanaged, ISimd<V>
        => TOp.Forward(right, left);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V LeftDerivative<V>(V left, V right, V y)
        where V : unmanaged, ISimd<V>
        => TOp.RightDerivative(right, left, y);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V RightDerivative<V>(V left, V right, V y)
        where V : unmanaged, ISimd<V>
        => TOp.LeftDerivative(right, left, y);
}
