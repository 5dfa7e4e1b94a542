using MiniVlp.Autograd;
using MiniVlp.Tensors;

namespace MiniVlp.Nn;

/// <summary>A stack of <see cref="TransformerBlock"/>s: tokens [batch, tokens, width] to the same shape.</summary>
public sealed class Transformer : Module
{
    private readonly TransformerBlock[] _blocks;

    /// <summary>Declares the blocks.</summary>
    /// <param name="name">Checkpoint name of the list, such as <c>encoder.layers</c>.</param>
    /// <param name="count">Number of blocks.</param>
    /// <param name="options">Of every block; the drop-path rate rises linearly from 0 to the given one along the stack.</param>
    public Transformer(string name, int count, TransformerBlockOptions options)
    {
        _blocks = AddMany(name, count, i => new TransformerBlock(options with { DropPathRate = count > 1 ? options.DropPathRate * i / (count - 1) : options.DropPathRate }));
    }

    /// <summary>The blocks, first to last.</summary>
    public IReadOnlyList<TransformerBlock> Blocks => _blocks;

    /// <summary>
    /// Whether training keeps only the input of each block and computes the rest again in the backward pass: the same bits, about a third
    /// more time, a fraction of the memory (arXiv:1604.06174).
    /// </summary>
    public bool CheckpointGradients { get; set; }

    /// <summary>x [batch, tokens, width] to [batch, tokens, width].</summary>
    /// <param name="x">The tokens.</param>
    /// <param name="mask">For the self-attention of every block.</param>
    /// <param name="hiddenStates">When given, receives the input of every block and the output of the last.</param>
    public Tensor Forward(Tensor x, AttentionMask mask = default, ICollection<Tensor>? hiddenStates = null)
    {
        hiddenStates?.Add(x);
        foreach (TransformerBlock block in _blocks)
        {
            x = CheckpointGradients && Tape.IsRecording ? x.Checkpoint(input => block.Forward(input, mask)) : block.Forward(x, mask);
            hiddenStates?.Add(x);
        }

        return x;
    }
}
