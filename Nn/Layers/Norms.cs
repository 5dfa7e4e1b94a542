using MiniVlp.Autograd;
using MiniVlp.Tensors;

namespace MiniVlp.Nn;

/// <summary>y = (x - mean) / √(variance + ε) · weight + bias over the last axis (Ba et al., arXiv:1607.06450).</summary>
public sealed class LayerNorm : Module
{
    /// <summary>Declares <c>weight</c> and <c>bias</c>, both [width].</summary>
    /// <param name="width">Size of the last axis.</param>
    /// <param name="epsilon">ε; 1e-5 in CLIP, 1e-12 in BERT and Hugging Face's ViT, 1e-6 in SigLIP and MAE.</param>
    public LayerNorm(int width, float epsilon = 1e-5f)
    {
        Epsilon = epsilon;
        Weight = Add("weight", [width], Initializers.Ones);
        Bias = Add("bias", [width], Initializers.Zeros);
    }

    /// <summary>ε.</summary>
    public float Epsilon { get; }

    /// <summary>[width].</summary>
    public Parameter Weight { get; }

    /// <summary>[width].</summary>
    public Parameter Bias { get; }

    /// <summary>x and y [..., width].</summary>
    public Tensor Forward(Tensor x) => x.LayerNorm(Weight.Value, Bias.Value, Epsilon);
}

/// <summary>y = x / √(mean(x²) + ε) · weight over the last axis (Zhang and Sennrich, arXiv:1910.07467).</summary>
public sealed class RmsNorm : Module
{
    private readonly float _epsilon;

    /// <summary>Declares <c>weight</c> [width].</summary>
    /// <param name="width">Size of the last axis.</param>
    /// <param name="epsilon">ε.</param>
    public RmsNorm(int width, float epsilon = 1e-6f)
    {
        _epsilon = epsilon;
        Weight = Add("weight", [width], Initializers.Ones);
    }

    /// <summary>[width].</summary>
    public Parameter Weight { get; }

    /// <summary>x and y [..., width].</summary>
    public Tensor Forward(Tensor x) => x.RmsNorm(Weight.Value, _epsilon);
}
