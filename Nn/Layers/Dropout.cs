using MiniVlp.Autograd;
using MiniVlp.Tensors;

namespace MiniVlp.Nn;

/// <summary>
/// In training, zeroes each element with probability <c>rate</c> and divides the rest by 1 - rate (Srivastava et al., 2014); otherwise
/// the identity. Draws from <see cref="Generator.Current"/>.
/// </summary>
/// <param name="rate">Probability in [0, 1).</param>
public sealed class Dropout(float rate) : Module
{
    /// <summary>Whether it changes anything now.</summary>
    public bool IsActive => IsTraining && rate > 0;

    /// <summary>x and y have the same shape.</summary>
    public Tensor Forward(Tensor x) => IsActive ? x.Dropout(rate) : x;
}

/// <summary>
/// In training, leaves out a whole residual branch for each sample with probability <c>rate</c> (stochastic depth, arXiv:1603.09382).
/// </summary>
/// <param name="rate">Probability in [0, 1).</param>
public sealed class DropPath(float rate) : Module
{
    /// <summary>Whether it changes anything now.</summary>
    public bool IsActive => IsTraining && rate > 0;

    /// <summary>x and y [batch, ...].</summary>
    public Tensor Forward(Tensor x) => IsActive ? x.DropPath(rate) : x;
}
