using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Autograd;

/// <summary>
/// One differentiable operation: the constructor of a derived class computes <see cref="Output"/>, <see cref="Backward"/> its gradient.
/// Only a Function can create a tensor for a result, and Backward is abstract: an operation without a gradient does not compile.
/// </summary>
public abstract class Function : TensorProducer
{
    private Tensor? _saved1;
    private Tensor? _saved2;

    /// <summary>The result.</summary>
    public Tensor Output { get; protected init; } = null!;

    /// <summary>
    /// Adds the gradient of the loss with respect to the operands, given the one with respect to <see cref="Output"/>. Each operand that
    /// needs it is asked for its <see cref="Tensor.GradientTarget"/> once, and that target is then written.
    /// </summary>
    /// <param name="outputGradient">∂loss/∂Output, as many elements as the output has.</param>
    public abstract void Backward(DeviceBuffer outputGradient);

    /// <summary>
    /// Marks a tensor that the constructor allocated for Backward (row means, a dropout mask): its memory goes back as soon as Backward
    /// has run, or at once when nothing is recorded. At most two.
    /// </summary>
    protected Tensor Save(Tensor saved)
    {
        if (_saved1 is null) _saved1 = saved;
        else if (_saved2 is null) _saved2 = saved;
        else throw new InvalidOperationException("A Function saves at most two tensors; put more into one.");
        return saved;
    }

    /// <summary>Gives back integer tensors and other memory a derived class saved; called once, after the last use.</summary>
    protected internal virtual void Release()
    {
        _saved1?.Dispose();
        _saved2?.Dispose();
    }
}
