using MiniVlp.Autograd;
using MiniVlp.Tensors;

namespace MiniVlp.Nn;

/// <summary>A table of vectors looked up by number: ids [...] to vectors [..., width].</summary>
public sealed class Embedding : Module
{
    private readonly int? _paddingIndex;

    /// <summary>Declares <c>weight</c> [count, width].</summary>
    /// <param name="count">Number of vectors.</param>
    /// <param name="width">Size of each.</param>
    /// <param name="paddingIndex">An id whose look-up contributes no gradient, as PyTorch's padding_idx.</param>
    /// <param name="initializer">How the table is filled; normal with deviation 0.02 when null.</param>
    public Embedding(int count, int width, int? paddingIndex = null, Initializer? initializer = null)
    {
        _paddingIndex = paddingIndex;
        Weight = Add("weight", [count, width], initializer ?? Initializers.Normal(0.02f));
    }

    /// <summary>[count, width].</summary>
    public Parameter Weight { get; }

    /// <summary>ids [...] to vectors [..., width].</summary>
    /// <exception cref="ArgumentOutOfRangeException">An id is negative or not below count.</exception>
    public Tensor Forward(IndexTensor ids) => Weight.Value.GatherRows(ids, _paddingIndex);
}
