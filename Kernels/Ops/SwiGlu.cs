using System.Runtime.CompilerServices;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

/// <summary>y = silu(gate) · up, the gated unit of Llama's MLP (Shazeer, arXiv:2002.05202); left is the gate, right is up.</summary>
public readonly struct SwiGlu : IBinaryOp
{
    /// <inheritdoc/>
    public static bool IsVectorized => true;

    /// <inheritdoc/>
    public static float Forward(float left, float right) => Silu.Forward(left) * right;

    /// <inheritdoc/>
    public static float LeftDerivative(float left, float right, float y) => Silu.Derivative(left, 0f) * right;

    /// <inheritdoc/>
    public static float RightDerivative(float left, float right, float y) => Silu.Forward(left);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Forward<V>(V left, V right)
        where V : unmanaged, ISimd<V>
        => Silu.Forward(left) * right;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V LeftDerivative<V>(V left, V right, V y)
        where V : unmanaged, ISimd<V>
        => Silu.Derivative(left, y) * right;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V RightDerivative<V>(V left, V right, V y)
        where V : unmanaged, ISimd<V>
        => Silu.Forward(left);
}
