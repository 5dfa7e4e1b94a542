using MiniVlp.Autograd;
using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Nn;

/// <summary>y = x · weightᵀ + bias: x [..., inputs] to y [..., outputs].</summary>
public sealed class Linear : Module
{
    /// <summary>Declares <c>weight</c> [outputs, inputs] and <c>bias</c> [outputs].</summary>
    /// <param name="inputSize">Size of the last axis of x.</param>
    /// <param name="outputSize">Size of the last axis of y.</param>
    /// <param name="bias">False leaves the bias out.</param>
    /// <param name="initializer">How the weight is filled; normal with deviation 0.02 when null.</param>
    public Linear(int inputSize, int outputSize, bool bias = true, Initializer? initializer = null)
    {
        Weight = Add("weight", [outputSize, inputSize], initializer ?? Initializers.Normal(0.02f));
        Bias = bias ? Add("bias", [outputSize], Initializers.Zeros) : null;
    }

    /// <summary>[outputs, inputs].</summary>
    public Parameter Weight { get; }

    /// <summary>[outputs], or null.</summary>
    public Parameter? Bias { get; }

    /// <summary>y = x · weightᵀ + bias (+ residual, added in the same pass): x [..., inputs], residual and y [..., outputs].</summary>
    public Tensor Forward(Tensor x, Tensor? residual = null)
        => Weight.Packed is { } packed ? x.Linear(packed, Bias?.Value, residual) : x.Linear(Weight, Bias?.Value, residual);

    /// <summary>y = f(x · weightᵀ + bias) in one pass.</summary>
    public Tensor Forward(Tensor x, Activation activation)
        => Weight.Packed is { } packed ? activation.Linear(x, packed, Bias?.Value) : activation.Linear(x, Weight, Bias?.Value);

    /// <inheritdoc/>
    protected override void PackOwnWeights(WeightFormat format) => Weight.Pack(format);
}
