using System.Text.Json.Nodes;
using MiniVlp.Autograd;
using MiniVlp.Kernels;
using MiniVlp.Models.Generation;
using MiniVlp.Nn;
using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>Sizes of BLIP's text network, and the ids of the tokens that it treats specially.</summary>
public sealed record BlipTextConfig
{
    /// <summary>The tokens that BLIP puts behind BERT's vocabulary: what starts a decoded text, and what starts a text that looks at an image.</summary>
    public static IReadOnlyList<string> AddedTokens { get; } = ["[DEC]", "[ENC]"];

    /// <summary>Number of word pieces: BERT's, and [DEC] and [ENC] behind them.</summary>
    public int VocabularySize { get; init; } = 30524;

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

    /// <summary>Of the MLP.</summary>
    public Activation Activation { get; init; } = Activation.Gelu;

    /// <summary>ε of the norms.</summary>
    public float NormEpsilon { get; init; } = 1e-12f;

    /// <summary>Rate of dropout in training; the original trains with 0.1.</summary>
    public float DropoutRate { get; init; }

    /// <summary>Share of the target that the loss of a decoded text spreads over all words.</summary>
    public float LabelSmoothing { get; init; }

    /// <summary>Id of the padding token, whose look-up contributes no gradient.</summary>
    public int PaddingId { get; init; }

    /// <summary>Id of [DEC], which a decoded text starts with.</summary>
    public int DecodeId { get; init; } = 30522;

    /// <summary>
    /// Id of [ENC], which stands for the first token of a text that is encoded together with an image. Null where a text is encoded as it is
    /// given: the classes of Hugging Face do so, and their configs have no such field. They ignore it in a folder that is saved here, so that the
    /// caller puts [ENC] first there.
    /// </summary>
    public int? EncodeId { get; init; }

    /// <summary>Id of the token that a decoded text ends with: [SEP], not <c>eos_token_id</c>.</summary>
    public int EndId { get; init; } = 102;

    /// <summary>The field <c>eos_token_id</c>, which no class uses; it goes from file to file.</summary>
    internal int UnusedEndId { get; init; } = 2;

    internal static BlipTextConfig FromJson(ConfigJson json)
    {
        BlipTextConfig config = new()
        {
            VocabularySize = json.Integer("vocab_size", 30524),
            Width = json.Integer("hidden_size", 768, maximum: 1 << 16),
            Layers = json.Integer("num_hidden_layers", 12, maximum: 1024),
            Heads = json.Integer("num_attention_heads", 8, maximum: 1024),
            HiddenWidth = json.Integer("intermediate_size", 3072, maximum: 1 << 18),
            MaxPositions = json.Integer("max_position_embeddings", 512, maximum: 1 << 20),
            Activation = json.Activation("hidden_act", Activation.Gelu),
            NormEpsilon = json.Number("layer_norm_eps", 1e-12f, 0, 1),
            DropoutRate = json.Number("hidden_dropout_prob", 0, 0, 0.999),
            LabelSmoothing = json.Number("label_smoothing", 0, 0, 1),
            PaddingId = json.Integer("pad_token_id", 0, 0),
            DecodeId = json.Integer("bos_token_id", 30522, 0),
            EncodeId = json.Has("enc_token_id") ? json.Integer("enc_token_id", 0, 0) : null,
            EndId = json.Integer("sep_token_id", 102, 0),
            UnusedEndId = json.Integer("eos_token_id", 2, 0),
        };
        if (config.Width % config.Heads != 0) throw json.Contradiction("hidden_size", $"{config.Width} is not a multiple of num_attention_heads {config.Heads}.");
        foreach ((string field, int? id) in new[] { ("pad_token_id", config.PaddingId), ("bos_token_id", config.DecodeId), ("enc_token_id", config.EncodeId), ("sep_token_id", config.EndId) })
            if (id >= config.VocabularySize) throw json.Contradiction(field, $"{id} is not below vocab_size {config.VocabularySize}.");
        return config;
    }

    internal JsonObject ToJson(int imageWidth)
    {
        JsonObject json = new()
        {
            ["attention_probs_dropout_prob"] = 0f,
            ["bos_token_id"] = DecodeId,
            ["encoder_hidden_size"] = imageWidth,
            ["eos_token_id"] = UnusedEndId,
            ["hidden_act"] = Activation.Name,
            ["hidden_dropout_prob"] = DropoutRate,
            ["hidden_size"] = Width,
            ["initializer_range"] = 0.02,
            ["intermediate_size"] = HiddenWidth,
            ["is_decoder"] = true,
            ["label_smoothing"] = LabelSmoothing,
            ["layer_norm_eps"] = NormEpsilon,
            ["max_position_embeddings"] = MaxPositions,
            ["model_type"] = "blip_text_model",
            ["num_attention_heads"] = Heads,
            ["num_hidden_layers"] = Layers,
            ["pad_token_id"] = PaddingId,
            ["projection_dim"] = 768,
            ["sep_token_id"] = EndId,
            ["tie_word_embeddings"] = true,
            ["use_cache"] = true,
            ["vocab_size"] = VocabularySize,
        };
        if (EncodeId is { } encode) json["enc_token_id"] = encode;
        return json;
    }

    internal TransformerBlockOptions ToBlockOptions(int imageWidth) => new()
    {
        Width = Width,
        Heads = Heads,
        HiddenWidth = HiddenWidth,
        Activation = Activation,
        Names = TransformerBlockNames.Bert,
        NormPlacement = NormPlacement.Post,
        NormEpsilon = NormEpsilon,
        DropoutRate = DropoutRate,
        ContextWidth = imageWidth,
        AttentionInitializer = BlipConfig.ByWidth(Width),
        HiddenInitializer = BlipConfig.ByWidth(Width),
        ResidualInitializer = BlipConfig.ByWidth(Width),
    };
}

/// <summary>Sizes of one BLIP; the named instances are the published ones (arXiv:2201.12086) and some that train on a laptop.</summary>
public sealed record BlipConfig
{
    /// <summary>The image encoder.</summary>
    public VisionTransformerConfig Vision { get; init; } = new() { ImageSize = 384, NormEpsilon = 1e-5f };

    /// <summary>The text network.</summary>
    public BlipTextConfig Text { get; init; } = new();

    /// <summary>Size of the space in which images and texts are compared, <c>image_text_hidden_size</c>.</summary>
    public int ProjectionSize { get; init; } = 256;

    /// <summary>The field <c>projection_dim</c> of a class that is not built here; it goes from file to file.</summary>
    internal int UnusedProjectionSize { get; init; } = 512;

    /// <summary>BLIP with ViT-B/16 on images of 384 pixels: captioning 224 M, question answering 361 M, retrieval 223 M parameters.</summary>
    public static BlipConfig Base { get; } = new() { Text = new() { LabelSmoothing = 0.1f, EncodeId = 30523 } };

    /// <summary>BLIP with ViT-L/16 on images of 384 pixels: captioning 446 M parameters.</summary>
    public static BlipConfig Large { get; } = Base with { Vision = new() { ImageSize = 384, NormEpsilon = 1e-5f, Width = 1024, Layers = 24, Heads = 16, HiddenWidth = 4096 } };

    /// <summary>
    /// A BLIP that learns small scenes in a minute or two on two cores: 32 px in patches of 8, width 64, 2 blocks of 2 heads in both networks,
    /// 24 text tokens. The vocabulary and its special ids come from <see cref="WithVocabulary"/>.
    /// </summary>
    public static BlipConfig Tiny { get; } = new()
    {
        Vision = new() { ImageSize = 32, PatchSize = 8, NormEpsilon = 1e-5f, Width = 64, Layers = 2, Heads = 2, HiddenWidth = 256 },
        Text = new() { VocabularySize = 258, DecodeId = 256, EncodeId = 257, EndId = 3, LabelSmoothing = 0.1f, Width = 64, Layers = 2, Heads = 2, HiddenWidth = 256, MaxPositions = 24 },
        ProjectionSize = 64,
    };

    /// <summary>A BLIP that trains on a laptop: 64 px in patches of 8, width 128, 3 blocks of 4 heads in both networks, 32 text tokens.</summary>
    public static BlipConfig Small { get; } = new()
    {
        Vision = new() { ImageSize = 64, PatchSize = 8, NormEpsilon = 1e-5f, Width = 128, Layers = 3, Heads = 4, HiddenWidth = 512 },
        Text = new() { VocabularySize = 2002, DecodeId = 2000, EncodeId = 2001, EndId = 3, LabelSmoothing = 0.1f, Width = 128, Layers = 3, Heads = 4, HiddenWidth = 512, MaxPositions = 32 },
        ProjectionSize = 128,
    };

    /// <summary>These sizes for another vocabulary.</summary>
    /// <param name="size">Number of word pieces, [DEC] and [ENC] included.</param>
    /// <param name="decode">Id of [DEC].</param>
    /// <param name="encode">Id of [ENC].</param>
    /// <param name="end">Id of [SEP].</param>
    /// <param name="padding">Id of [PAD].</param>
    public BlipConfig WithVocabulary(int size, int decode, int encode, int end, int padding = 0)
        => this with { Text = Text with { VocabularySize = size, DecodeId = decode, EncodeId = encode, EndId = end, PaddingId = padding } };

    /// <summary>Reads a <c>blip</c> config.</summary>
    /// <exception cref="ModelFormatException">A field has a wrong type or value.</exception>
    public static BlipConfig FromJson(ConfigJson json)
    {
        ConfigJson vision = json.Object("vision_config");
        BlipConfig config = new()
        {
            Vision = new()
            {
                ImageSize = vision.Integer("image_size", 384, maximum: 1 << 14),
                PatchSize = vision.Integer("patch_size", 16),
                Width = vision.Integer("hidden_size", 768, maximum: 1 << 16),
                Layers = vision.Integer("num_hidden_layers", 12, maximum: 1024),
                Heads = vision.Integer("num_attention_heads", 12, maximum: 1024),
                HiddenWidth = vision.Integer("intermediate_size", 3072, maximum: 1 << 18),
                Activation = vision.Activation("hidden_act", Activation.Gelu),
                NormEpsilon = vision.Number("layer_norm_eps", 1e-5f, 0, 1),
            },
            Text = BlipTextConfig.FromJson(json.Object("text_config")),
            ProjectionSize = json.Integer("image_text_hidden_size", 256, maximum: 1 << 16),
            UnusedProjectionSize = json.Integer("projection_dim", 512, maximum: 1 << 16),
        };
        VisionTransformerConfig image = config.Vision;
        if (image.Width % image.Heads != 0) throw vision.Contradiction("hidden_size", $"{image.Width} is not a multiple of num_attention_heads {image.Heads}.");
        if (image.ImageSize % image.PatchSize != 0) throw vision.Contradiction("image_size", $"{image.ImageSize} is not a multiple of patch_size {image.PatchSize}.");
        return config;
    }

    /// <summary>The config as <c>transformers</c> writes it.</summary>
    public JsonObject ToJson() => new()
    {
        ["image_text_hidden_size"] = ProjectionSize,
        ["initializer_factor"] = 1.0,
        ["initializer_range"] = 0.02,
        ["label_smoothing"] = 0.0,
        ["logit_scale_init_value"] = 2.6592,
        ["model_type"] = "blip",
        ["projection_dim"] = UnusedProjectionSize,
        ["text_config"] = Text.ToJson(Vision.Width),
        ["tie_word_embeddings"] = true,
        ["vision_config"] = new JsonObject
        {
            ["attention_dropout"] = 0f,
            ["hidden_act"] = Vision.Activation.Name,
            ["hidden_size"] = Vision.Width,
            ["image_size"] = Vision.ImageSize,
            ["initializer_range"] = 1e-10,
            ["intermediate_size"] = Vision.HiddenWidth,
            ["layer_norm_eps"] = Vision.NormEpsilon,
            ["model_type"] = "blip_vision_model",
            ["num_attention_heads"] = Vision.Heads,
            ["num_hidden_layers"] = Vision.Layers,
            ["patch_size"] = Vision.PatchSize,
            ["projection_dim"] = 512,
        },
    };

    /// <summary>
    /// Normal with deviation 0.02 · (768 / width)^¾: BERT's at the published width, about 1 / √width in the narrow networks that learn scenes, which
    /// begin to look at the picture sooner so.
    /// </summary>
    internal static Initializer ByWidth(int width) => Initializers.Normal(0.02f * MathF.Pow(768f / width, 0.75f));
}

/// <summary>BLIP's image encoder: a vision transformer with a norm behind it (arXiv:2010.11929), query, key and value in one parameter.</summary>
public sealed class BlipVisionEncoder : Module
{
    private readonly Parameter _classEmbedding;
    private readonly Parameter _positions;
    private readonly PatchEmbedding _patches;
    private readonly LayerNorm _norm;

    internal BlipVisionEncoder(VisionTransformerConfig config)
    {
        Config = config;
        _classEmbedding = Add("embeddings.class_embedding", [1, 1, config.Width], Initializers.TruncatedNormal(0.02f));
        _positions = Add("embeddings.position_embedding", [1, config.PatchCount + 1, config.Width], Initializers.TruncatedNormal(0.02f));
        _patches = Add("embeddings.patch_embedding", new PatchEmbedding(
            config.PatchSize, config.Width, config.Channels, initializer: Initializers.Normal(1f / (config.PatchSize * MathF.Sqrt(config.Channels)))));
        Blocks = Add("encoder", new Transformer("layers", config.Layers, new TransformerBlockOptions
        {
            Width = config.Width,
            Heads = config.Heads,
            HiddenWidth = config.HiddenWidth,
            Activation = config.Activation,
            Names = TransformerBlockNames.BlipVision,
            NormEpsilon = config.NormEpsilon,
            DropoutRate = config.DropoutRate,
            DropPathRate = config.DropPathRate,
            AttentionInitializer = BlipConfig.ByWidth(config.Width),
            HiddenInitializer = BlipConfig.ByWidth(config.Width),
            ResidualInitializer = BlipConfig.ByWidth(config.Width),
        }));
        _norm = Add("post_layernorm", new LayerNorm(config.Width, config.NormEpsilon));
    }

    /// <summary>Sizes.</summary>
    public VisionTransformerConfig Config { get; }

    /// <summary>The stack of blocks.</summary>
    public Transformer Blocks { get; }

    /// <summary>
    /// images [batch, 3, height, width] to tokens [batch, 1 + patches, width] after the final norm, the class token first. Another image size
    /// than the config's gets interpolated positions.
    /// </summary>
    /// <param name="images">Normalised pixels; height and width are multiples of the patch size.</param>
    /// <param name="hiddenStates">When given, receives the input of every block and the output of the last.</param>
    public Tensor Forward(Tensor images, ICollection<Tensor>? hiddenStates = null)
    {
        Tensor tokens = _patches.Forward(images).Prepend(_classEmbedding.Value.Reshape([Config.Width]));
        return _norm.Forward(Blocks.Forward(tokens + PositionInterpolation.ForImage(_positions.Value, images, Config.PatchSize), default, hiddenStates));
    }
}

/// <summary>
/// BLIP's text network: BERT without segments and pooler, each block with a cross-attention to an image's tokens. It is used in three ways:
/// without an image as a text encoder, with one as an image-grounded encoder, and with one under a causal mask as a decoder.
/// </summary>
public sealed class BlipTextNetwork : Module
{
    private readonly Embedding _positions;
    private readonly LayerNorm _norm;
    private readonly Dropout _dropout;

    /// <param name="config">Sizes.</param>
    /// <param name="shared">A network whose parts are used here too, all but the self-attentions and their norms; null for parts of its own.</param>
    internal BlipTextNetwork(BlipConfig config, BlipTextNetwork? shared = null)
    {
        BlipTextConfig text = Config = config.Text;
        WordEmbeddings = Add("embeddings.word_embeddings", shared?.WordEmbeddings ?? new Embedding(text.VocabularySize, text.Width, text.PaddingId));
        _positions = Add("embeddings.position_embeddings", shared?._positions ?? new Embedding(text.MaxPositions, text.Width));
        _norm = Add("embeddings.LayerNorm", shared?._norm ?? new LayerNorm(text.Width, text.NormEpsilon));
        _dropout = Add(string.Empty, new Dropout(text.DropoutRate));
        Blocks = Add(string.Empty, new Transformer("encoder.layer", text.Layers, text.ToBlockOptions(config.Vision.Width), shared?.Blocks));
    }

    /// <summary>Sizes.</summary>
    public BlipTextConfig Config { get; }

    /// <summary>The word piece table, which the decoder's output layer shares.</summary>
    public Embedding WordEmbeddings { get; }

    /// <summary>The stack of blocks.</summary>
    public Transformer Blocks { get; }

    /// <summary>tokens [batch, tokens] to hidden states [batch, tokens, width].</summary>
    /// <param name="text">Ids and mask.</param>
    /// <param name="context">What the text attends to, [batch, contextTokens, image width]; null for a text alone.</param>
    /// <param name="contextMask">[batch, contextTokens], 1 = attend; all when null.</param>
    /// <param name="causal">Whether a token sees only those before it.</param>
    /// <param name="hiddenStates">When given, receives the input of every block and the output of the last.</param>
    /// <exception cref="ShapeException">The text is longer than <see cref="BlipTextConfig.MaxPositions"/>.</exception>
    public Tensor Forward(TextBatch text, Tensor? context = null, IndexTensor? contextMask = null, bool causal = false, ICollection<Tensor>? hiddenStates = null)
        => Blocks.Forward(Embed(text.TokenIds, 0), new AttentionMask(causal, text.Mask), hiddenStates, context, new AttentionMask(KeyMask: contextMask));

    /// <summary>New tokens [rows, new] behind those in the cache to hidden states [rows, new, width], causally.</summary>
    internal Tensor Continue(IndexTensor tokens, KeyValueCache cache, Tensor context, IndexTensor? contextMask)
        => Blocks.Forward(Embed(tokens, cache.Length), AttentionMask.CausalOnly, null, context, new AttentionMask(KeyMask: contextMask), cache: cache);

    /// <summary>Normalised embeddings [batch, tokens, width] of the ids [batch, tokens], the first of which stands at position <paramref name="start"/>.</summary>
    private Tensor Embed(IndexTensor ids, int start)
    {
        Shape shape = ids.Shape;
        if (shape.Rank != 2 || start + shape[1] > Config.MaxPositions)
            throw new ShapeException($"Blip: token ids must be [batch, tokens] with at most {Config.MaxPositions} tokens, found {shape}{(start > 0 ? $" behind {start} others" : string.Empty)}.");
        Tensor x = WordEmbeddings.Forward(ids) + _positions.Weight.Value.Slice(start, shape[1]);
        return _dropout.Forward(_norm.Forward(x));
    }
}

/// <summary>
/// The text network as a decoder: causal, with a layer that scores every word piece and shares the word embeddings. Parameter names are those
/// of <c>BlipTextLMHeadModel</c>.
/// </summary>
public sealed class BlipTextDecoder : Module
{
    private readonly Linear _transform;
    private readonly LayerNorm _transformNorm;
    private readonly Parameter _bias;

    /// <param name="config">Sizes.</param>
    /// <param name="shared">An encoder whose parts are used here too, all but the self-attentions and their norms; null for parts of its own.</param>
    internal BlipTextDecoder(BlipConfig config, BlipTextNetwork? shared = null)
    {
        int width = config.Text.Width;
        Network = Add("bert", new BlipTextNetwork(config, shared));
        _bias = Add("cls.predictions.bias", [config.Text.VocabularySize], Initializers.Zeros);
        _transform = Add("cls.predictions.transform.dense", new Linear(width, width, initializer: BlipConfig.ByWidth(width)));
        _transformNorm = Add("cls.predictions.transform.LayerNorm", new LayerNorm(width, config.Text.NormEpsilon));
    }

    /// <summary>The network below the output layer.</summary>
    public BlipTextNetwork Network { get; }

    /// <summary>Scores of the word piece that follows each position: tokens [batch, tokens] to [batch, tokens, vocabulary].</summary>
    /// <param name="text">Ids, starting with [DEC], and mask.</param>
    /// <param name="context">What the text attends to, [batch, contextTokens, image width].</param>
    /// <param name="contextMask">[batch, contextTokens], 1 = attend; all when null.</param>
    public Tensor Forward(TextBatch text, Tensor context, IndexTensor? contextMask = null) => Score(Network.Forward(text, context, contextMask, causal: true));

    /// <summary>
    /// Mean cross-entropy of the next word piece over all positions whose next label is not -100, with <see cref="BlipTextConfig.LabelSmoothing"/>
    /// unless another smoothing is given.
    /// </summary>
    /// <param name="logits">[batch, tokens, vocabulary], as <see cref="Forward"/> gives them.</param>
    /// <param name="labels">[batch, tokens]: the text itself, -100 where a token does not count; position t is compared with label t + 1.</param>
    /// <param name="labelSmoothing">ε; the config's when null.</param>
    /// <param name="reduction">One value, or one for each position, [batch, tokens].</param>
    public Tensor Loss(Tensor logits, IndexTensor labels, float? labelSmoothing = null, Reduction reduction = Reduction.Mean)
    {
        int tokens = labels.Shape[-1];
        int[] values = labels.ToArray();
        for (int i = 0; i < values.Length; i++) values[i] = i % tokens + 1 < tokens ? values[i + 1] : -100;
        return logits.CrossEntropy(IndexTensor.FromArray(values, labels.Shape, labels.Device), labelSmoothing: labelSmoothing ?? Network.Config.LabelSmoothing, reduction: reduction);
    }

    /// <summary>The decoder with something to look at: context [rows, contextTokens, image width] and its mask [rows, contextTokens].</summary>
    internal ICausalDecoder Looking(Tensor context, IndexTensor? contextMask) => new LookingDecoder(this, context, contextMask);

    private Tensor Score(Tensor hiddenStates)
        => _transformNorm.Forward(_transform.Forward(hiddenStates, Network.Config.Activation)).Linear(Network.WordEmbeddings.Weight, _bias);

    private sealed class LookingDecoder(BlipTextDecoder decoder, Tensor context, IndexTensor? contextMask) : ICausalDecoder
    {
        public int VocabularySize => decoder.Network.Config.VocabularySize;

        public int MaxPositions => decoder.Network.Config.MaxPositions;

        public Device Device => context.Device;

        public Tensor Decode(IndexTensor tokens, KeyValueCache cache) => decoder.Network.Continue(tokens, cache, context, contextMask);

        public Tensor PredictTokens(Tensor hiddenStates) => decoder.Score(hiddenStates);
    }
}
