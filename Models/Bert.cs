using System.Text.Json.Nodes;
using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>Sizes of one BERT; the named instances are the published ones (arXiv:1810.04805).</summary>
public sealed record BertConfig
{
    /// <summary>Number of word pieces.</summary>
    public int VocabularySize { get; init; } = 30522;

    /// <summary>Size of the tokens.</summary>
    public int Width { get; init; } = 768;

    /// <summary>Number of blocks.</summary>
    public int Layers { get; init; } = 12;

    /// <summary>Number of attention heads.</summary>
    public int Heads { get; init; } = 12;

    /// <summary>Size of the MLP's hidden layer.</summary>
    public int HiddenWidth { get; init; } = 3072;

    /// <summary>Longest text in tokens.</summary>
    public int MaxPositions { get; init; } = 512;

    /// <summary>Number of segment kinds.</summary>
    public int TokenTypes { get; init; } = 2;

    /// <summary>Id of the padding token, whose look-up contributes no gradient.</summary>
    public int PaddingId { get; init; }

    /// <summary>Of the MLP.</summary>
    public Activation Activation { get; init; } = Activation.Gelu;

    /// <summary>ε of the norms.</summary>
    public float NormEpsilon { get; init; } = 1e-12f;

    /// <summary>Rate of dropout in training.</summary>
    public float DropoutRate { get; init; } = 0.1f;

    /// <summary>Standard deviation of the matrices of a new model's blocks; 0.02 suits a width of 768, and less width wants more: 0.02 · √(768 / width).</summary>
    public float InitializerRange { get; init; } = 0.02f;

    /// <summary>The first layer that also attends to a context, as ALBEF's fusion layers do (arXiv:2107.07651); null when there is none.</summary>
    public int? FusionLayer { get; init; }

    /// <summary>Width of that context; <see cref="Width"/> when null.</summary>
    public int? ContextWidth { get; init; }

    /// <summary>Whether the fusion layers come in pairs, one for each of two contexts, that share the projections of keys and values.</summary>
    internal bool FusionPairs { get; init; }

    /// <summary>BERT-Base: 110 M parameters.</summary>
    public static BertConfig Base { get; } = new();

    /// <summary>BERT-Large: 340 M parameters.</summary>
    public static BertConfig Large { get; } = new() { Width = 1024, Layers = 24, Heads = 16, HiddenWidth = 4096 };

    /// <summary>Reads the fields of a <c>bert</c> config.</summary>
    /// <exception cref="ModelFormatException">A field has a wrong type or value.</exception>
    public static BertConfig FromJson(ConfigJson json)
    {
        BertConfig config = new()
        {
            VocabularySize = json.Integer("vocab_size", 30522),
            Width = json.Integer("hidden_size", 768, maximum: 1 << 16),
            Layers = json.Integer("num_hidden_layers", 12, maximum: 1024),
            Heads = json.Integer("num_attention_heads", 12, maximum: 1024),
            HiddenWidth = json.Integer("intermediate_size", 3072, maximum: 1 << 18),
            MaxPositions = json.Integer("max_position_embeddings", 512, maximum: 1 << 20),
            TokenTypes = json.Integer("type_vocab_size", 2, maximum: 1 << 16),
            PaddingId = json.Integer("pad_token_id", 0, 0),
            Activation = json.Activation("hidden_act", Activation.Gelu),
            NormEpsilon = json.Number("layer_norm_eps", 1e-12f, 0, 1),
            DropoutRate = json.Number("hidden_dropout_prob", 0.1f, 0, 0.999),
            InitializerRange = json.Number("initializer_range", 0.02f, 0, 10),
            FusionLayer = json.Has("fusion_layer") ? json.Integer("fusion_layer", minimum: 0, maximum: 1023) : null,
            ContextWidth = json.Has("encoder_width") ? json.Integer("encoder_width", maximum: 1 << 16) : null,
        };
        if (config.Width % config.Heads != 0) throw json.Contradiction("hidden_size", $"{config.Width} is not a multiple of num_attention_heads {config.Heads}.");
        if (config.PaddingId >= config.VocabularySize) throw json.Contradiction("pad_token_id", $"{config.PaddingId} is not below vocab_size {config.VocabularySize}.");
        if (config.FusionLayer >= config.Layers) throw json.Contradiction("fusion_layer", $"{config.FusionLayer} is not below num_hidden_layers {config.Layers}.");
        return config;
    }

    /// <summary>The fields of a <c>bert</c> config.</summary>
    public JsonObject ToJson()
    {
        JsonObject json = new()
        {
            ["model_type"] = "bert",
            ["vocab_size"] = VocabularySize,
            ["hidden_size"] = Width,
            ["num_hidden_layers"] = Layers,
            ["num_attention_heads"] = Heads,
            ["intermediate_size"] = HiddenWidth,
            ["max_position_embeddings"] = MaxPositions,
            ["type_vocab_size"] = TokenTypes,
            ["pad_token_id"] = PaddingId,
            ["hidden_act"] = Activation.Name,
            ["layer_norm_eps"] = NormEpsilon,
            ["hidden_dropout_prob"] = DropoutRate,
            ["attention_probs_dropout_prob"] = 0f,
            ["initializer_range"] = InitializerRange,
        };
        if (FusionLayer is { } layer) json["fusion_layer"] = layer;
        if (ContextWidth is { } width) json["encoder_width"] = width;
        return json;
    }
}

/// <summary>A batch of tokenized texts.</summary>
/// <param name="TokenIds">[batch, tokens].</param>
/// <param name="Mask">[batch, tokens], 1 for a token and 0 for padding; all ones when null.</param>
/// <param name="TokenTypes">[batch, tokens], the segment of each token; all zeros when null.</param>
public readonly record struct TextBatch(IndexTensor TokenIds, IndexTensor? Mask = null, IndexTensor? TokenTypes = null);

/// <summary>
/// BERT: a bidirectional text encoder with post-norm blocks (Devlin et al., arXiv:1810.04805). Parameter names are those of <c>BertModel</c>.
/// The dropout of attention probabilities is not built in (fused attention never stores them).
/// </summary>
public sealed class Bert : PretrainedModel
{
    private readonly Embedding _positions;
    private readonly Embedding _tokenTypes;
    private readonly LayerNorm _norm;
    private readonly Dropout _dropout;
    private readonly Transformer _encoder;
    private readonly Linear? _pooler;

    /// <summary>Declares the parts.</summary>
    /// <param name="config">Sizes.</param>
    /// <param name="pooler">Whether there is a pooler, tanh of a linear layer on the first token.</param>
    public Bert(BertConfig config, bool pooler = true)
    {
        Config = config;
        WordEmbeddings = Add("embeddings.word_embeddings", new Embedding(config.VocabularySize, config.Width, config.PaddingId));
        _positions = Add("embeddings.position_embeddings", new Embedding(config.MaxPositions, config.Width));
        _tokenTypes = Add("embeddings.token_type_embeddings", new Embedding(config.TokenTypes, config.Width));
        _norm = Add("embeddings.LayerNorm", new LayerNorm(config.Width, config.NormEpsilon));
        _dropout = Add(string.Empty, new Dropout(config.DropoutRate));
        _encoder = Add(string.Empty, new Transformer("encoder.layer", config.Layers, new TransformerBlockOptions
        {
            Width = config.Width,
            Heads = config.Heads,
            HiddenWidth = config.HiddenWidth,
            Activation = config.Activation,
            Names = TransformerBlockNames.Bert,
            NormPlacement = NormPlacement.Post,
            NormEpsilon = config.NormEpsilon,
            DropoutRate = config.DropoutRate,
            ContextWidth = config.FusionLayer is null ? null : config.ContextWidth ?? config.Width,
            AttentionInitializer = Initializers.Normal(config.InitializerRange),
            HiddenInitializer = Initializers.Normal(config.InitializerRange),
            ResidualInitializer = Initializers.Normal(config.InitializerRange),
            CrossAttentionFrom = config.FusionLayer ?? 0,
            CrossAttentionPairs = config.FusionPairs,
        }));
        _pooler = pooler ? Add("pooler.dense", new Linear(config.Width, config.Width)) : null;
    }

    /// <summary>Sizes.</summary>
    public BertConfig Config { get; }

    /// <summary>The word piece table, which a masked-language head shares.</summary>
    public Embedding WordEmbeddings { get; }

    /// <summary>The stack of blocks.</summary>
    public Transformer Encoder => _encoder;

    /// <inheritdoc/>
    public override string Architecture => "BertModel";

    /// <inheritdoc/>
    protected override string BackbonePrefix => "bert";

    /// <summary>Loads a Hugging Face folder, of the bare model or of one with heads.</summary>
    /// <param name="folder">With config.json and model.safetensors.</param>
    /// <param name="device">Where the parameters are kept; the CPU when null.</param>
    public static Bert FromPretrained(string folder, Device? device = null)
    {
        ConfigJson json = ConfigJson.Read(folder);
        Bert model = new(BertConfig.FromJson(json), pooler: json.FirstText("architectures") is not "BertForMaskedLM");
        model.LoadWeights(folder, device ?? Device.Cpu);
        return model;
    }

    /// <inheritdoc/>
    public override JsonObject ToConfigJson() => Config.ToJson();

    /// <summary>tokens [batch, tokens] to hidden states [batch, tokens, width]; cross-attentions, where there are any, are left out.</summary>
    /// <param name="text">Ids, mask and segments.</param>
    /// <param name="hiddenStates">When given, receives the input of every block and the output of the last.</param>
    /// <exception cref="ShapeException">The text is longer than <see cref="BertConfig.MaxPositions"/>.</exception>
    public Tensor Forward(TextBatch text, ICollection<Tensor>? hiddenStates = null)
        => _encoder.Forward(Embed(text), new AttentionMask(KeyMask: text.Mask), hiddenStates);

    /// <summary>tokens [batch, tokens] to the hidden states [batch, tokens, width] in front of the first fusion layer.</summary>
    /// <param name="text">Ids, mask and segments.</param>
    /// <param name="cache">When given, the tokens stand behind those of earlier calls with it.</param>
    /// <exception cref="ShapeException">The text is longer than <see cref="BertConfig.MaxPositions"/>.</exception>
    /// <exception cref="InvalidOperationException">The model has no fusion layers.</exception>
    public Tensor Encode(TextBatch text, KeyValueCache? cache = null)
        => _encoder.Forward(Embed(text, cache?.Length ?? 0), new AttentionMask(KeyMask: text.Mask), blocks: ..FirstFusionLayer, cache: cache);

    /// <summary>
    /// The fusion layers: hidden states [batch, tokens, width] of <see cref="Encode"/> are the queries, a context [batch, contextTokens, contextWidth]
    /// keys and values; the result is [batch, tokens, width].
    /// </summary>
    /// <param name="hiddenStates">Of the text.</param>
    /// <param name="mask">For the self-attention.</param>
    /// <param name="context">What the text looks at.</param>
    /// <param name="contextMask">For the cross-attention.</param>
    /// <param name="cache">That of <see cref="Encode"/>, when there is one.</param>
    /// <exception cref="InvalidOperationException">The model has no fusion layers.</exception>
    public Tensor Fuse(Tensor hiddenStates, AttentionMask mask, Tensor context, AttentionMask contextMask = default, KeyValueCache? cache = null)
        => _encoder.Forward(hiddenStates, mask, null, context, contextMask, FirstFusionLayer.., cache);

    private int FirstFusionLayer => Config.FusionLayer ?? throw new InvalidOperationException("This BERT has no fusion layers.");

    private Tensor Embed(TextBatch text, int firstPosition = 0)
    {
        Shape shape = text.TokenIds.Shape;
        if (shape.Rank != 2 || firstPosition + shape[1] > Config.MaxPositions) throw new ShapeException($"Bert: token ids must be [batch, tokens] with at most {Config.MaxPositions} tokens{(firstPosition > 0 ? $", {firstPosition} of them before" : string.Empty)}, found {shape}.");
        Tensor types = text.TokenTypes is { } ids ? _tokenTypes.Forward(ids) : _tokenTypes.Weight.Value.Slice(0, 1).Reshape([Config.Width]);
        Tensor x = WordEmbeddings.Forward(text.TokenIds) + types + _positions.Weight.Value.Slice(firstPosition, shape[1]);
        return _dropout.Forward(_norm.Forward(x));
    }

    /// <summary>hidden states [batch, tokens, width] to tanh(dense(first token)) [batch, width].</summary>
    /// <exception cref="InvalidOperationException">The model was made without a pooler.</exception>
    public Tensor Pool(Tensor hiddenStates) => _pooler is null
        ? throw new InvalidOperationException("This BERT has no pooler.")
        : _pooler.Forward(hiddenStates.Token(0), Activation.Tanh);
}

/// <summary>
/// BERT with its pre-training heads: masked words, and optionally whether the second segment follows the first. Parameter names are those
/// of <c>BertForMaskedLM</c> and <c>BertForPreTraining</c>; the decoder shares the word embeddings.
/// </summary>
public sealed class BertForPreTraining : PretrainedModel
{
    private readonly Linear _transform;
    private readonly LayerNorm _transformNorm;
    private readonly Parameter _decoderBias;
    private readonly Linear? _nextSentence;

    /// <summary>Declares the parts.</summary>
    /// <param name="config">Sizes.</param>
    /// <param name="nextSentence">False makes <c>BertForMaskedLM</c>, without pooler and next-sentence head.</param>
    public BertForPreTraining(BertConfig config, bool nextSentence = true)
    {
        Backbone = Add("bert", new Bert(config, pooler: nextSentence));
        _transform = Add("cls.predictions.transform.dense", new Linear(config.Width, config.Width));
        _transformNorm = Add("cls.predictions.transform.LayerNorm", new LayerNorm(config.Width, config.NormEpsilon));
        _decoderBias = Add("cls.predictions.bias", [config.VocabularySize], Initializers.Zeros);
        _nextSentence = nextSentence ? Add("cls.seq_relationship", new Linear(config.Width, 2)) : null;
    }

    /// <summary>The encoder.</summary>
    public Bert Backbone { get; }

    /// <inheritdoc/>
    public override string Architecture => _nextSentence is null ? "BertForMaskedLM" : "BertForPreTraining";

    /// <summary>Loads a Hugging Face folder of <c>BertForMaskedLM</c> or <c>BertForPreTraining</c>.</summary>
    /// <param name="folder">With config.json and model.safetensors.</param>
    /// <param name="device">Where the parameters are kept; the CPU when null.</param>
    public static BertForPreTraining FromPretrained(string folder, Device? device = null)
    {
        ConfigJson json = ConfigJson.Read(folder);
        BertForPreTraining model = new(BertConfig.FromJson(json), nextSentence: json.FirstText("architectures") is "BertForPreTraining");
        model.LoadWeights(folder, device ?? Device.Cpu);
        return model;
    }

    /// <inheritdoc/>
    public override JsonObject ToConfigJson() => Backbone.ToConfigJson();

    /// <summary>Scores of every word piece at every position: hidden states [batch, tokens, width] to [batch, tokens, vocabulary].</summary>
    public Tensor PredictTokens(Tensor hiddenStates)
    {
        Tensor x = _transformNorm.Forward(_transform.Forward(hiddenStates, Backbone.Config.Activation));
        return x.Linear(Backbone.WordEmbeddings.Weight, _decoderBias);
    }

    /// <summary>Scores [batch, 2] of "follows" (0) and "does not follow" (1), from hidden states [batch, tokens, width].</summary>
    /// <exception cref="InvalidOperationException">The model has no next-sentence head.</exception>
    public Tensor PredictNextSentence(Tensor hiddenStates) => _nextSentence is null
        ? throw new InvalidOperationException("This model has no next-sentence head.")
        : _nextSentence.Forward(Backbone.Pool(hiddenStates));

    /// <summary>
    /// Mean cross-entropy of the masked words, plus that of the next sentence when labels for it are given.
    /// </summary>
    /// <param name="text">The corrupted text.</param>
    /// <param name="labels">[batch, tokens], the right id where a word was masked and -100 elsewhere.</param>
    /// <param name="nextSentenceLabels">[batch], 0 when the second segment follows the first.</param>
    public Tensor Loss(TextBatch text, IndexTensor labels, IndexTensor? nextSentenceLabels = null)
    {
        Tensor hidden = Backbone.Forward(text);
        Tensor loss = PredictTokens(hidden).CrossEntropy(labels);
        return nextSentenceLabels is null ? loss : loss + PredictNextSentence(hidden).CrossEntropy(nextSentenceLabels);
    }

    /// <inheritdoc/>
    protected override bool IgnoresKey(string key)
        => base.IgnoresKey(key)
        || key.StartsWith("cls.predictions.decoder.", StringComparison.Ordinal)
        || (_nextSentence is null && (key.StartsWith("bert.pooler.", StringComparison.Ordinal) || key.StartsWith("cls.seq_relationship.", StringComparison.Ordinal)));
}
