using MiniVlp.Autograd;
using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Nn;

/// <summary>What the keys of an attention are limited to. The default value lets every query see every key.</summary>
/// <param name="Causal">Query i sees keys up to its own position.</param>
/// <param name="KeyMask">[batch, keys], 1 = attend, 0 = padding.</param>
/// <param name="Bias">Added to the scaled scores: [heads, queries, keys] or [batch or 1, heads or 1, queries, keys].</param>
public readonly record struct AttentionMask(bool Causal = false, IndexTensor? KeyMask = null, Tensor? Bias = null)
{
    /// <summary>Query i sees keys up to its own position.</summary>
    public static AttentionMask CausalOnly => new(Causal: true);
}

/// <summary>Checkpoint names of the four projections of an attention.</summary>
/// <param name="Query">Of the query projection.</param>
/// <param name="Key">Of the key projection.</param>
/// <param name="Value">Of the value projection.</param>
/// <param name="Output">Of the output projection.</param>
public sealed record AttentionNames(string Query, string Key, string Value, string Output)
{
    /// <summary>As in CLIP, SigLIP and OPT: q_proj, k_proj, v_proj, out_proj.</summary>
    public static AttentionNames Projections { get; } = new("q_proj", "k_proj", "v_proj", "out_proj");

    /// <summary>As in PyTorch's MultiheadAttention: in_proj_weight, in_proj_bias, out_proj.</summary>
    public static AttentionNames Stacked { get; } = StackedAs("in_proj_weight", "in_proj_bias", "out_proj");

    /// <summary>
    /// Name of the one bias [3 · width] where query, key and value lie on top of each other in one parameter [3 · width, width], whose name
    /// the three then share; null where each has a layer of its own.
    /// </summary>
    public string? StackedBias { get; private init; }

    /// <summary>Names of an attention whose query, key and value lie on top of each other, in this order.</summary>
    /// <param name="weight">Of the parameter [3 · width, width].</param>
    /// <param name="bias">Of the parameter [3 · width].</param>
    /// <param name="output">Of the output projection.</param>
    public static AttentionNames StackedAs(string weight, string bias, string output) => new(weight, weight, weight, output) { StackedBias = bias };
}

/// <summary>
/// softmax(Q Kᵀ / √headSize + mask) V over several heads, then an output projection (Vaswani et al., arXiv:1706.03762). Self-attention
/// when queries, keys and values come from the same tensor, cross-attention when keys and values come from a context.
/// </summary>
public sealed class MultiHeadAttention : Module
{
    private readonly Linear[] _projections = [];
    private readonly Parameter? _stackedWeight;
    private readonly Parameter? _stackedBias;
    private readonly Linear _output;

    /// <summary>Declares the four projections.</summary>
    /// <param name="width">Size of the tokens; a multiple of <paramref name="heads"/>.</param>
    /// <param name="heads">Number of heads.</param>
    /// <param name="names">Checkpoint names; q_proj, k_proj, v_proj, out_proj when null.</param>
    /// <param name="contextWidth">Size of the context's tokens when it differs from <paramref name="width"/>.</param>
    /// <param name="bias">False leaves the biases of query, key and value out.</param>
    /// <param name="initializer">How the matrices of query, key and value are filled; normal with deviation 0.02 when null.</param>
    /// <param name="outputInitializer">How the output matrix is filled; normal with deviation 0.02 when null.</param>
    /// <param name="keysAndValuesOf">An attention whose key and value projections are used here too; null for projections of its own.</param>
    /// <exception cref="ArgumentException">
    /// The width is not a multiple of the heads, or stacked projections are to read a context of another width or to be shared.
    /// </exception>
    public MultiHeadAttention(
        int width,
        int heads,
        AttentionNames? names = null,
        int? contextWidth = null,
        bool bias = true,
        Initializer? initializer = null,
        Initializer? outputInitializer = null,
        MultiHeadAttention? keysAndValuesOf = null)
    {
        if (heads < 1 || width % heads != 0) throw new ArgumentException($"MultiHeadAttention: the width {width} must be a multiple of the number of heads {heads}.", nameof(heads));
        names ??= AttentionNames.Projections;
        Heads = heads;
        if (keysAndValuesOf is not null && (names.StackedBias is not null || keysAndValuesOf._stackedWeight is not null))
            throw new ArgumentException("MultiHeadAttention: stacked projections are not shared.", nameof(keysAndValuesOf));
        if (names.StackedBias is { } stackedBias)
        {
            if (contextWidth is { } other && other != width)
                throw new ArgumentException($"MultiHeadAttention: stacked projections read tokens of one width, but the width is {width} and the context's {other}.", nameof(contextWidth));
            _stackedWeight = Add(names.Query, [3 * width, width], initializer ?? Initializers.XavierUniform);
            _stackedBias = bias ? Add(stackedBias, [3 * width], Initializers.Zeros) : null;
        }
        else
        {
            _projections =
            [
                Add(names.Query, new Linear(width, width, bias, initializer)),
                Add(names.Key, keysAndValuesOf?._projections[1] ?? new Linear(contextWidth ?? width, width, bias, initializer)),
                Add(names.Value, keysAndValuesOf?._projections[2] ?? new Linear(contextWidth ?? width, width, bias, initializer)),
            ];
        }

        _output = Add(names.Output, new Linear(width, width, initializer: outputInitializer));
    }

    /// <summary>Number of heads.</summary>
    public int Heads { get; }

    /// <summary>
    /// When set, it is handed the probabilities [batch, heads, queries, keys] of every call, and the rest is computed from that very tensor, so that a
    /// gradient may be asked for it; slower than the fused attention, and not with a cache.
    /// </summary>
    public Action<Tensor>? Observer { get; set; }

    /// <summary>
    /// x [batch, queries, width], context [batch, keys, contextWidth] (x itself when null) to [batch, queries, width].
    /// </summary>
    /// <param name="x">Source of the queries.</param>
    /// <param name="context">Source of keys and values.</param>
    /// <param name="mask">Which keys count.</param>
    /// <param name="residual">Added to the result in the same pass, shaped like it.</param>
    /// <param name="cache">
    /// When given, x are the tokens behind those of earlier calls, and the mask speaks of all of them; keys and values of the context come
    /// from the first call.
    /// </param>
    /// <exception cref="InvalidOperationException">A cache is given while a tape records.</exception>
    public Tensor Forward(Tensor x, Tensor? context = null, AttentionMask mask = default, Tensor? residual = null, KeyValueCache? cache = null)
    {
        if (Observer is { } observer && cache is null) return _output.Forward(Attend(x, context, mask, observer), residual);
        IndexTensor? keyMask = mask.KeyMask;
        (Tensor query, Tensor keys, Tensor values) = cache is null ? Project(x, context ?? x) : Project(x, context, cache, ref keyMask);
        AttentionOptions options = new() { Heads = Heads, Causal = mask.Causal, KeyMask = keyMask, Bias = mask.Bias };
        return _output.Forward(query.Attention(keys, values, options), residual);
    }

    /// <summary>
    /// The attention probabilities softmax(Q Kᵀ / √headSize + mask) as [batch, heads, queries, keys], for pictures and comparisons;
    /// <see cref="Forward"/> never stores them.
    /// </summary>
    public Tensor Probabilities(Tensor x, Tensor? context = null, AttentionMask mask = default)
    {
        (Tensor query, Tensor key, _) = Project(x, context ?? x);
        (query, key) = (SplitHeads(query), SplitHeads(key));
        int batch = query.Shape[0], queries = query.Shape[2], keys = key.Shape[2];
        Tensor scores = query.MatMul(key, transposeRight: true, scale: 1f / MathF.Sqrt(query.Shape[-1]));
        if (mask.Bias is { } bias) scores += bias;
        if (mask.Causal || mask.KeyMask is not null)
        {
            int[]? keyMask = mask.KeyMask?.ToArray();
            float[] hidden = new float[batch * queries * keys];
            for (int i = 0; i < hidden.Length; i++)
            {
                int k = i % keys, q = i / keys % queries, b = i / keys / queries;
                bool isHidden = (mask.Causal && k > q + keys - queries) || (keyMask is not null && keyMask[(b * keys) + k] == 0);
                hidden[i] = isHidden ? float.MinValue / 2 : 0f;
            }

            Tensor byHead = Tensor.FromArray(hidden, [batch, 1, queries, keys], x.Device);
            scores += Tensor.Concatenate(1, [.. Enumerable.Repeat(byHead, Heads)]);
        }

        return scores.Softmax();
    }

    /// <summary>The attention step by step, with the probabilities in hand.</summary>
    private Tensor Attend(Tensor x, Tensor? context, AttentionMask mask, Action<Tensor> observer)
    {
        Tensor probabilities = Probabilities(x, context, mask);
        observer(probabilities);
        return probabilities.MatMul(SplitHeads(Project(x, context ?? x).Value)).Permute(0, 2, 1, 3).Reshape(x.Shape);
    }

    /// <inheritdoc/>
    protected override void PackOwnWeights(WeightFormat format) => _stackedWeight?.Pack(format);

    private (Tensor Query, Tensor Key, Tensor Value) Project(Tensor x, Tensor source)
    {
        if (_stackedWeight?.Packed is not { } packed) return (Project(0, x), Project(1, source), Project(2, source));

        // The panels of a packed weight are not cut apart again: its product is.
        int width = x.Shape[-1];
        Tensor ofX = x.Linear(packed, _stackedBias?.Value), ofSource = ReferenceEquals(x, source) ? ofX : source.Linear(packed, _stackedBias?.Value);
        return (ofX.Narrow(-1, 0, width), ofSource.Narrow(-1, width, width), ofSource.Narrow(-1, 2 * width, width));
    }

    /// <summary>With the keys and values of earlier calls; the mask becomes that of the rows as the cache has them.</summary>
    private (Tensor Query, Tensor Keys, Tensor Values) Project(Tensor x, Tensor? context, KeyValueCache cache, ref IndexTensor? keyMask)
    {
        if (context is not null && cache.TryGetContext(this, ref keyMask, out Tensor? keptKeys, out Tensor? keptValues))
            return (_stackedWeight?.Packed is null ? Project(0, x) : Project(x, x).Query, keptKeys, keptValues);
        (Tensor query, Tensor keys, Tensor values) = Project(x, context ?? x);
        if (context is null) (keys, values) = cache.Append(this, keys, values);
        else cache.AddContext(this, keys, values);
        return (query, keys, values);
    }

    /// <summary>Query (0), key (1) or value (2).</summary>
    private Tensor Project(int index, Tensor x)
    {
        if (_stackedWeight is null) return _projections[index].Forward(x);
        int width = x.Shape[-1];
        return x.Linear(_stackedWeight.Value.Slice(index * width, width), _stackedBias?.Value.Slice(index * width, width));
    }

    private Tensor SplitHeads(Tensor x) => x.Reshape([x.Shape[0], x.Shape[1], Heads, x.Shape[2] / Heads]).Permute(0, 2, 1, 3);
}
