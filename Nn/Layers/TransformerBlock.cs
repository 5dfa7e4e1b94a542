using MiniVlp.Autograd;
using MiniVlp.Tensors;

namespace MiniVlp.Nn;

/// <summary>Checkpoint names of the parts of a block, relative to it.</summary>
/// <param name="Attention">Names of the self-attention's projections, with their path.</param>
/// <param name="Norm1">The norm of the attention.</param>
/// <param name="First">The first layer of the MLP.</param>
/// <param name="Second">The second layer of the MLP.</param>
/// <param name="Norm2">The norm of the MLP.</param>
public sealed record TransformerBlockNames(AttentionNames Attention, string Norm1, string First, string Second, string Norm2)
{
    /// <summary>CLIP and SigLIP.</summary>
    public static TransformerBlockNames Clip { get; } = new(
        new("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj"), "layer_norm1", "mlp.fc1", "mlp.fc2", "layer_norm2");

    /// <summary>ViT.</summary>
    public static TransformerBlockNames Vit { get; } = new(
        new("attention.attention.query", "attention.attention.key", "attention.attention.value", "attention.output.dense"),
        "layernorm_before", "intermediate.dense", "output.dense", "layernorm_after");

    /// <summary>BERT.</summary>
    public static TransformerBlockNames Bert { get; } = new(
        new("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"),
        "attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm");

    /// <summary>BLIP's image encoder: as CLIP, with query, key and value in one parameter.</summary>
    public static TransformerBlockNames BlipVision { get; } = Clip with
    {
        Attention = AttentionNames.StackedAs("self_attn.qkv.weight", "self_attn.qkv.bias", "self_attn.projection"),
    };
}

/// <summary>Where a block's norms stand.</summary>
public enum NormPlacement
{
    /// <summary>x + f(norm(x)): ViT, CLIP, GPT.</summary>
    Pre,

    /// <summary>norm(x + f(x)): the original Transformer and BERT.</summary>
    Post,
}

/// <summary>Sizes and variants of a <see cref="TransformerBlock"/>.</summary>
public sealed record TransformerBlockOptions
{
    /// <summary>Size of the tokens.</summary>
    public required int Width { get; init; }

    /// <summary>Number of attention heads.</summary>
    public required int Heads { get; init; }

    /// <summary>Size of the MLP's hidden layer.</summary>
    public required int HiddenWidth { get; init; }

    /// <summary>Of the MLP.</summary>
    public required Activation Activation { get; init; }

    /// <summary>Checkpoint names.</summary>
    public required TransformerBlockNames Names { get; init; }

    /// <summary>Where the norms stand.</summary>
    public NormPlacement NormPlacement { get; init; }

    /// <summary>ε of the norms.</summary>
    public float NormEpsilon { get; init; } = 1e-5f;

    /// <summary>False leaves the biases of query, key and value out.</summary>
    public bool AttentionBias { get; init; } = true;

    /// <summary>How the matrices of query, key and value are filled.</summary>
    public Initializer AttentionInitializer { get; init; } = Initializers.Normal(0.02f);

    /// <summary>How the first matrix of the MLP is filled.</summary>
    public Initializer HiddenInitializer { get; init; } = Initializers.Normal(0.02f);

    /// <summary>How the matrices are filled whose result is added to the tokens: the attention's output and the MLP's second.</summary>
    public Initializer ResidualInitializer { get; init; } = Initializers.Normal(0.02f);

    /// <summary>Rate of dropout after the attention and after the MLP.</summary>
    public float DropoutRate { get; init; }

    /// <summary>Rate of dropping a whole branch for a sample (arXiv:1603.09382).</summary>
    public float DropPathRate { get; init; }

    /// <summary>Initial value of a learned factor for each channel of each branch (arXiv:2103.17239); null for none.</summary>
    public float? LayerScale { get; init; }

    /// <summary>Width of a context that the block also attends to, between self-attention and MLP; null for none.</summary>
    public int? ContextWidth { get; init; }

    /// <summary>
    /// In a <see cref="Transformer"/>: the first block with the cross-attention; those before it have none. ALBEF's text encoder is the blocks
    /// below 6 of 12, its fusion encoder the rest (arXiv:2107.07651).
    /// </summary>
    public int CrossAttentionFrom { get; init; }

    /// <summary>
    /// In a <see cref="Transformer"/>: whether the blocks with a cross-attention come in pairs whose cross-attentions share the projections of keys and
    /// values, one for each of two contexts, as ALBEF's for two pictures (arXiv:2107.07651).
    /// </summary>
    public bool CrossAttentionPairs { get; init; }

    /// <summary>Checkpoint names of the cross-attention's projections.</summary>
    public AttentionNames CrossAttentionNames { get; init; } = new("crossattention.self.query", "crossattention.self.key", "crossattention.self.value", "crossattention.output.dense");

    /// <summary>Checkpoint name of the cross-attention's norm.</summary>
    public string CrossAttentionNorm { get; init; } = "crossattention.output.LayerNorm";
}

/// <summary>
/// Self-attention, an optional cross-attention and an MLP, each a residual branch with a norm (arXiv:1706.03762). All transformers of
/// this library are stacks of this one block: tokens [batch, tokens, width] to the same shape.
/// </summary>
public sealed class TransformerBlock : Module
{
    private readonly NormPlacement _placement;
    private readonly MultiHeadAttention _attention;
    private readonly LayerNorm _norm1;
    private readonly MultiHeadAttention? _crossAttention;
    private readonly LayerNorm? _crossNorm;
    private readonly Mlp _mlp;
    private readonly LayerNorm _norm2;
    private readonly Dropout _dropout;
    private readonly DropPath _dropPath;
    private readonly Parameter? _scale1;
    private readonly Parameter? _scale2;

    /// <summary>Declares the parts of the block.</summary>
    /// <param name="options">Sizes and variants.</param>
    /// <param name="shared">
    /// A block of the same sizes whose parts are used here too, all but the self-attention and its norm, as BLIP's encoder and decoder share
    /// theirs (arXiv:2201.12086); null for parts of its own.
    /// </param>
    /// <param name="keysAndValuesOf">A block whose cross-attention's key and value projections are used here too; null for projections of its own.</param>
    /// <exception cref="ArgumentException">The block to share with has a cross-attention and this one none, or the other way round.</exception>
    public TransformerBlock(TransformerBlockOptions options, TransformerBlock? shared = null, TransformerBlock? keysAndValuesOf = null)
    {
        if (shared is not null && shared.HasCrossAttention != options.ContextWidth is not null)
            throw new ArgumentException("TransformerBlock: both or neither of two blocks that share their parts must have a cross-attention.", nameof(shared));
        TransformerBlockNames names = options.Names;
        _placement = options.NormPlacement;
        _norm1 = Add(names.Norm1, new LayerNorm(options.Width, options.NormEpsilon));
        _attention = Add(string.Empty, new MultiHeadAttention(
            options.Width, options.Heads, names.Attention, null, options.AttentionBias, options.AttentionInitializer, options.ResidualInitializer));
        if (options.ContextWidth is { } contextWidth)
        {
            _crossNorm = Add(options.CrossAttentionNorm, shared?._crossNorm ?? new LayerNorm(options.Width, options.NormEpsilon));
            _crossAttention = Add(string.Empty, shared?._crossAttention ?? new MultiHeadAttention(
                options.Width,
                options.Heads,
                options.CrossAttentionNames,
                contextWidth,
                options.AttentionBias,
                options.AttentionInitializer,
                options.ResidualInitializer,
                keysAndValuesOf?._crossAttention));
        }

        _norm2 = Add(names.Norm2, shared?._norm2 ?? new LayerNorm(options.Width, options.NormEpsilon));
        _mlp = Add(string.Empty, shared?._mlp ?? new Mlp(
            options.Width, options.HiddenWidth, options.Activation, names.First, names.Second, options.HiddenInitializer, options.ResidualInitializer));
        _dropout = Add(string.Empty, new Dropout(options.DropoutRate));
        _dropPath = Add(string.Empty, new DropPath(options.DropPathRate));
        if (options.LayerScale is { } scale)
        {
            if (shared is not null) throw new ArgumentException("TransformerBlock: blocks with a layer scale share no parts.", nameof(shared));
            _scale1 = Add("lambda_1", [options.Width], Initializers.Constant(scale));
            _scale2 = Add("lambda_2", [options.Width], Initializers.Constant(scale));
        }
    }

    /// <summary>Whether the block can attend to a context.</summary>
    public bool HasCrossAttention => _crossAttention is not null;

    /// <summary>The attention to a context; null when there is none.</summary>
    public MultiHeadAttention? CrossAttention => _crossAttention;

    /// <summary>x [batch, tokens, width], context [batch, contextTokens, contextWidth] to [batch, tokens, width].</summary>
    /// <param name="x">The tokens.</param>
    /// <param name="mask">For the self-attention.</param>
    /// <param name="context">What the cross-attention attends to; null leaves the cross-attention out, as for a text without an image.</param>
    /// <param name="contextMask">For the cross-attention.</param>
    /// <param name="cache">When given, x are the tokens behind those of earlier calls with it, and the context is that of the first.</param>
    /// <exception cref="ArgumentException">A context is given to a block without cross-attention.</exception>
    public Tensor Forward(Tensor x, AttentionMask mask = default, Tensor? context = null, AttentionMask contextMask = default, KeyValueCache? cache = null)
    {
        if (context is not null && !HasCrossAttention)
            throw new ArgumentException("TransformerBlock: this block has no cross-attention for a context.", nameof(context));

        using TensorScope? scope = Tape.IsRecording ? null : new TensorScope();
        x = AttendToTokens(x, mask, cache);
        if (context is not null)
        {
            x = _placement == NormPlacement.Pre
                ? Branch(x, null, residual => _crossAttention!.Forward(_crossNorm!.Forward(x), context, contextMask, residual, cache))
                : _crossNorm!.Forward(Branch(x, null, residual => _crossAttention!.Forward(x, context, contextMask, residual, cache)));
        }

        x = _placement == NormPlacement.Pre
            ? Branch(x, _scale2, residual => _mlp.Forward(_norm2.Forward(x), residual))
            : _norm2.Forward(Branch(x, _scale2, residual => _mlp.Forward(x, residual)));
        return scope is null ? x : scope.Keep(x);
    }

    /// <summary>The self-attention's probabilities [batch, heads, tokens, tokens] for the input x of this block.</summary>
    public Tensor AttentionProbabilities(Tensor x, AttentionMask mask = default)
        => _attention.Probabilities(_placement == NormPlacement.Pre ? _norm1.Forward(x) : x, null, mask);

    /// <summary>The cross-attention's probabilities [batch, heads, tokens, contextTokens] for the input x of this block.</summary>
    /// <param name="x">[batch, tokens, width].</param>
    /// <param name="context">[batch, contextTokens, contextWidth].</param>
    /// <param name="mask">For the self-attention, which comes first.</param>
    /// <param name="contextMask">For the cross-attention.</param>
    /// <exception cref="InvalidOperationException">The block has no cross-attention.</exception>
    public Tensor CrossAttentionProbabilities(Tensor x, Tensor context, AttentionMask mask = default, AttentionMask contextMask = default)
    {
        if (_crossAttention is null) throw new InvalidOperationException("TransformerBlock: this block has no cross-attention.");
        Tensor queries = AttendToTokens(x, mask);
        return _crossAttention.Probabilities(_placement == NormPlacement.Pre ? _crossNorm!.Forward(queries) : queries, context, contextMask);
    }

    /// <summary>The branch of the self-attention.</summary>
    private Tensor AttendToTokens(Tensor x, AttentionMask mask, KeyValueCache? cache = null) => _placement == NormPlacement.Pre
        ? Branch(x, _scale1, residual => _attention.Forward(_norm1.Forward(x), null, mask, residual, cache))
        : _norm1.Forward(Branch(x, _scale1, residual => _attention.Forward(x, null, mask, residual, cache)));

    /// <summary>x + branch. The addition runs inside the branch's last matrix product unless something stands in between.</summary>
    private Tensor Branch(Tensor x, Parameter? scale, Func<Tensor?, Tensor> branch)
    {
        // Without a tape nobody needs what lies in between: it goes back to the pool at once, and the next branch finds it in the cache.
        using TensorScope? scope = Tape.IsRecording ? null : new TensorScope();
        Tensor sum;
        if (scale is null && !_dropout.IsActive && !_dropPath.IsActive)
        {
            sum = branch(x);
        }
        else
        {
            Tensor y = _dropout.Forward(branch(null));
            if (scale is not null) y *= scale.Value;
            sum = x + _dropPath.Forward(y);
        }

        return scope is null ? sum : scope.Keep(sum);
    }
}
