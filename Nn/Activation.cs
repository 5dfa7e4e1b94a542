using MiniVlp.Autograd;
using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Nn;

/// <summary>
/// An activation chosen at run time, by the name that a Hugging Face config gives it. Each stands for one <see cref="IUnaryOp"/>, so that
/// a linear layer runs it in the epilogue of its matrix product.
/// </summary>
public abstract class Activation
{
    private static readonly Activation[] Known =
    [
        new Of<Gelu>("gelu"), new Of<GeluTanh>("gelu_pytorch_tanh"), new Of<GeluTanh>("gelu_new"), new Of<QuickGelu>("quick_gelu"),
        new Of<Relu>("relu"), new Of<Silu>("silu"), new Of<Silu>("swish"), new Of<Kernels.Tanh>("tanh"),
        new Of<Mish>("mish"),
    ];

    private Activation(string name) => Name = name;

    /// <summary>x · Φ(x), exact by the error function (arXiv:1606.08415).</summary>
    public static Activation Gelu => Known[0];

    /// <summary>The tanh approximation of GELU.</summary>
    public static Activation GeluTanh => Known[1];

    /// <summary>x · σ(1.702 x), of OpenAI's CLIP.</summary>
    public static Activation QuickGelu => Known[3];

    /// <summary>max(x, 0).</summary>
    public static Activation Relu => Known[4];

    /// <summary>x · σ(x).</summary>
    public static Activation Silu => Known[5];

    /// <summary>The hyperbolic tangent.</summary>
    public static Activation Tanh => Known[7];

    /// <summary>The name in a Hugging Face config, such as <c>quick_gelu</c>.</summary>
    public string Name { get; }

    /// <summary>The activation of that name.</summary>
    /// <exception cref="ArgumentException">There is none; the message lists those there are.</exception>
    public static Activation FromName(string name)
        => Array.Find(Known, activation => activation.Name == name)
        ?? throw new ArgumentException($"Unknown activation '{name}'; known are {string.Join(", ", Known.Select(known => known.Name))}.", nameof(name));

    /// <summary>f(x), element by element.</summary>
    public abstract Tensor Apply(Tensor x);

    /// <summary>f(x · weightᵀ + bias): x [..., inputs], weight [outputs, inputs], bias [outputs], result [..., outputs].</summary>
    public abstract Tensor Linear(Tensor x, Tensor weight, Tensor? bias);

    /// <summary>The same by a weight that was packed for inference.</summary>
    public abstract Tensor Linear(Tensor x, PackedWeight weight, Tensor? bias);

    /// <summary>The name.</summary>
    public override string ToString() => Name;

    private sealed class Of<TOp>(string name) : Activation(name)
        where TOp : struct, IUnaryOp
    {
        public override Tensor Apply(Tensor x) => x.Apply<TOp>();

        public override Tensor Linear(Tensor x, Tensor weight, Tensor? bias) => x.Linear<TOp>(weight, bias);

        public override Tensor Linear(Tensor x, PackedWeight weight, Tensor? bias) => x.Linear<TOp>(weight, bias);
    }
}
