using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

/// <summary>y = x · σ(1.702 x), the approximation of GELU that OpenAI's CLIP was trained with (Hendrycks and Gimpel, arXiv:1606.08415).</summary>
public readonly struct QuickGelu : IUnaryOp
{
    /// <inheritdoc/>
    public static bool IsVectorized => true;

    /// <inheritdoc/>
    public static float Forward(float x) => x / (1f + MathF.Exp(-1.702f * x));

    /// <inheritdoc/>
    public static float Derivative(float x, float y)
    {
        float sigmoid = 1f / (1f + MathF.Exp(-1.702f * x));
        return sigmoid + (y * 1.702f * (1f - sigmoid));
    }

    /// <inheritdoc/>
    public static V Forward<V>(V x)
        where V : unmanaged, ISimd<V>
        => x / (V.Create(1f) + SimdMath.Exp(V.Create(-1.702f) * x));

    /// <inheritdoc/>
    public static V Derivative<V>(V x, V y)
        where V : unmanaged, ISimd<V>
    {
        V one = V.Create(1f), sigmoid = one / (one + SimdMath.Exp(V.Create(-1.702f) * x));
        return V.FusedMultiplyAdd(y * V.Create(1.702f), one - sigmoid, sigmoid);
    }
}
