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
    /// <param name="shared">A stack as large, whose blocks give these all their parts but the self-attention and its norm; null for parts of its own.</param>
    /// <exception cref="ArgumentException">The stack to share with has another number of blocks, or other cross-attentions.</exception>
    public Transformer(string name, int count, TransformerBlockOptions options, Transformer? shared = null)
    {
        if (shared is not null && shared._blocks.Length != count)
            throw new ArgumentException($"Transformer: stacks that share their parts must have as many blocks, but these have {count} and {shared._blocks.Length}.", nameof(shared));
        TransformerBlock? previous = null;
        _blocks = AddMany(name, count, i => previous = new TransformerBlock(
            options with
            {
                DropPathRate = count > 1 ? options.DropPathRate * i / (count - 1) : options.DropPathRate,
                ContextWidth = i >= options.CrossAttentionFrom ? options.ContextWidth : null,
            },
            shared?._blocks[i],
            options.CrossAttentionPairs && (i - options.CrossAttentionFrom) % 2 == 1 ? previous : null));
    }

    /// <summary>The blocks, first to last.</summary>
    public IReadOnlyList<TransformerBlock> Blocks => _blocks;

    /// <summary>
    /// Whether training keeps only the input of each block and computes the rest again in the backward pass: the same bits, about a third
    /// more time, a fraction of the memory (arXiv:1604.06174).
    /// </summary>
    public bool CheckpointGradients { get; set; }

    /// <summary>x [batch, tokens, width], context [batch, contextTokens, contextWidth] to [batch, tokens, width].</summary>
    /// <param name="x">The tokens.</param>
    /// <param name="mask">For the self-attention of every block.</param>
    /// <param name="hiddenStates">When given, receives the input of every block that runs and the output of the last.</param>
    /// <param name="context">What the blocks with a cross-attention attend to; null leaves the cross-attentions out.</param>
    /// <param name="contextMask">For the cross-attentions.</param>
    /// <param name="blocks">The blocks that run; all when null.</param>
    /// <param name="cache">When given, x are the tokens behind those of earlier calls with it, and the context is that of the first.</param>
    /// <exception cref="ArgumentException">A context is given and none of these blocks has a cross-attention.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The range does not lie inside the stack.</exception>
    public Tensor Forward(
        Tensor x,
        AttentionMask mask = default,
        ICollection<Tensor>? hiddenStates = null,
        Tensor? context = null,
        AttentionMask contextMask = default,
        Range? blocks = null,
        KeyValueCache? cache = null)
    {
        (int first, int count) = (blocks ?? Range.All).GetOffsetAndLength(_blocks.Length);
        ReadOnlySpan<TransformerBlock> running = _blocks.AsSpan(first, count);
        if (context is not null && !Array.Exists(running.ToArray(), block => block.HasCrossAttention))
            throw new ArgumentException($"Transformer: none of the blocks {first} .. {first + count - 1} has a cross-attention for a context.", nameof(context));
        hiddenStates?.Add(x);
        foreach (TransformerBlock block in running)
        {
            Tensor? seen = block.HasCrossAttention ? context : null;
            x = CheckpointGradients && Tape.IsRecording && cache is null
                ? x.Checkpoint(input => block.Forward(input, mask, seen, contextMask))
                : block.Forward(x, mask, seen, contextMask, cache);
            hiddenStates?.Add(x);
        }

        return x;
    }
}
