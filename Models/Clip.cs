using System.Globalization;
using System.Text.Json.Nodes;
using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>Sizes of one tower of a CLIP.</summary>
public sealed record ClipTowerConfig
{
    /// <summary>Size of the tokens.</summary>
    public required int Width { get; init; }

    /// <summary>Number of blocks.</summary>
    public required int Layers { get; init; }

    /// <summary>Number of attention heads.</summary>
    public required int Heads { get; init; }

    /// <summary>Size of the MLP's hidden layer.</summary>
    public required int HiddenWidth { get; init; }

    /// <summary>Of the MLP; OpenAI's weights need quick_gelu, most others gelu.</summary>
    public Activation Activation { get; init; } = Activation.QuickGelu;

    /// <summary>ε of the norms.</summary>
    public float NormEpsilon { get; init; } = 1e-5f;

    internal static ClipTowerConfig FromJson(ConfigJson json, ClipTowerConfig defaults)
    {
        ClipTowerConfig config = new()
        {
            Width = json.Integer("hidden_size", defaults.Width, maximum: 1 << 16),
            Layers = json.Integer("num_hidden_layers", defaults.Layers, maximum: 1024),
            Heads = json.Integer("num_attention_heads", defaults.Heads, maximum: 1024),
            HiddenWidth = json.Integer("intermediate_size", defaults.HiddenWidth, maximum: 1 << 18),
            Activation = json.Activation("hidden_act", defaults.Activation),
            NormEpsilon = json.Number("layer_norm_eps", defaults.NormEpsilon, 0, 1),
        };
        if (config.Width % config.Heads != 0) throw json.Contradiction("hidden_size", $"{config.Width} is not a multiple of num_attention_heads {config.Heads}.");
        return config;
    }

    internal JsonObject ToJson(string modelType) => new()
    {
        ["model_type"] = modelType,
        ["hidden_size"] = Width,
        ["num_hidden_layers"] = Layers,
        ["num_attention_heads"] = Heads,
        ["intermediate_size"] = HiddenWidth,
        ["hidden_act"] = Activation.Name,
        ["layer_norm_eps"] = NormEpsilon,
        ["attention_dropout"] = 0f,
    };

    /// <summary>
    /// The block, with initial deviations that follow width and depth as in the CLIP paper (and GPT-2 before it): 0.02 for every matrix suits
    /// a width of 768, a narrow model learns sooner so.
    /// </summary>
    internal TransformerBlockOptions ToBlockOptions() => new()
    {
        AttentionInitializer = Initializers.Normal(1f / MathF.Sqrt(Width)),
        HiddenInitializer = Initializers.Normal(1f / MathF.Sqrt(2 * Width)),
        ResidualInitializer = Initializers.Normal(1f / MathF.Sqrt(2 * Width * Layers)),
        Width = Width,
        Heads = Heads,
        HiddenWidth = HiddenWidth,
        Activation = Activation,
        Names = TransformerBlockNames.Clip,
        NormEpsilon = NormEpsilon,
    };
}

/// <summary>Sizes of one CLIP model; the named instances are the published ones (arXiv:2103.00020, table 20).</summary>
public sealed record ClipConfig
{
    /// <summary>The image tower.</summary>
    public ClipTowerConfig Vision { get; init; } = new() { Width = 768, Layers = 12, Heads = 12, HiddenWidth = 3072 };

    /// <summary>The text tower.</summary>
    public ClipTowerConfig Text { get; init; } = new() { Width = 512, Layers = 12, Heads = 8, HiddenWidth = 2048 };

    /// <summary>Size of the shared embedding.</summary>
    public int ProjectionSize { get; init; } = 512;

    /// <summary>Side of the square images in pixels.</summary>
    public int ImageSize { get; init; } = 224;

    /// <summary>Side of a patch in pixels.</summary>
    public int PatchSize { get; init; } = 32;

    /// <summary>Colour channels.</summary>
    public int Channels { get; init; } = 3;

    /// <summary>Number of text tokens known.</summary>
    public int VocabularySize { get; init; } = 49408;

    /// <summary>Longest text in tokens.</summary>
    public int ContextLength { get; init; } = 77;

    /// <summary>
    /// Id of the token whose position is read out: the first one in a text. The value 2 stands for configs written before that was fixed
    /// and means "the largest id".
    /// </summary>
    public int EndTokenId { get; init; } = 49407;

    /// <summary>Initial value of the logarithm of the logit scale, ln(1 / 0.07).</summary>
    public float InitialLogitScale { get; init; } = 2.6592f;

    /// <summary>ViT-B/32: 151 M parameters.</summary>
    public static ClipConfig VitB32 { get; } = new();

    /// <summary>ViT-B/16: 150 M parameters.</summary>
    public static ClipConfig VitB16 { get; } = new() { PatchSize = 16 };

    /// <summary>ViT-L/14: 428 M parameters.</summary>
    public static ClipConfig VitL14 { get; } = new()
    {
        Vision = new() { Width = 1024, Layers = 24, Heads = 16, HiddenWidth = 4096 },
        Text = new() { Width = 768, Layers = 12, Heads = 12, HiddenWidth = 3072 },
        ProjectionSize = 768,
        PatchSize = 14,
    };

    /// <summary>ViT-L/14 on images of 336 pixels.</summary>
    public static ClipConfig VitL14At336 { get; } = VitL14 with { ImageSize = 336 };

    /// <summary>
    /// A CLIP that trains on a laptop: 64 px in patches of 8, width 192, 6 blocks of 3 heads in both towers, 32 text tokens of 2,000,
    /// projection 128; 6 M parameters.
    /// </summary>
    public static ClipConfig Small { get; } = new()
    {
        Vision = new() { Width = 192, Layers = 6, Heads = 3, HiddenWidth = 768 },
        Text = new() { Width = 192, Layers = 6, Heads = 3, HiddenWidth = 768 },
        ProjectionSize = 128,
        ImageSize = 64,
        PatchSize = 8,
        VocabularySize = 2000,
        ContextLength = 32,
        EndTokenId = 3,
    };

    /// <summary>Number of patches of an image.</summary>
    public int PatchCount => ImageSize / PatchSize * (ImageSize / PatchSize);

    /// <summary>Reads a <c>clip</c> config.</summary>
    /// <exception cref="ModelFormatException">A field has a wrong type or value.</exception>
    public static ClipConfig FromJson(ConfigJson json)
    {
        ConfigJson vision = json.Object("vision_config"), text = json.Object("text_config");
        ClipConfig defaults = VitB32;
        ClipConfig config = new()
        {
            Vision = ClipTowerConfig.FromJson(vision, defaults.Vision),
            Text = ClipTowerConfig.FromJson(text, defaults.Text),
            ProjectionSize = json.Integer("projection_dim", 512, maximum: 1 << 16),
            InitialLogitScale = json.Number("logit_scale_init_value", 2.6592f),
            ImageSize = vision.Integer("image_size", 224, maximum: 1 << 14),
            PatchSize = vision.Integer("patch_size", 32),
            Channels = vision.Integer("num_channels", 3, maximum: 64),
            VocabularySize = text.Integer("vocab_size", 49408),
            ContextLength = text.Integer("max_position_embeddings", 77, maximum: 1 << 20),
            EndTokenId = text.Integer("eos_token_id", 49407, 0),
        };
        if (config.ImageSize % config.PatchSize != 0) throw vision.Contradiction("image_size", $"{config.ImageSize} is not a multiple of patch_size {config.PatchSize}.");
        return config;
    }

    /// <summary>The config as <c>transformers</c> writes it.</summary>
    public JsonObject ToJson()
    {
        JsonObject vision = Vision.ToJson("clip_vision_model"), text = Text.ToJson("clip_text_model");
        vision["image_size"] = ImageSize;
        vision["patch_size"] = PatchSize;
        vision["num_channels"] = Channels;
        text["vocab_size"] = VocabularySize;
        text["max_position_embeddings"] = ContextLength;
        text["eos_token_id"] = EndTokenId;
        return new JsonObject
        {
            ["model_type"] = "clip",
            ["projection_dim"] = ProjectionSize,
            ["logit_scale_init_value"] = InitialLogitScale,
            ["text_config"] = text,
            ["vision_config"] = vision,
        };
    }
}

/// <summary>
/// CLIP: two encoders trained so that matching image-text pairs score highest (Radford et al., arXiv:2103.00020). Parameter names are
/// those of <c>CLIPModel</c>.
/// </summary>
public sealed class Clip : PretrainedModel, IDualEncoder, IImageEncoder
{
    private readonly Linear _visualProjection;
    private readonly Linear _textProjection;
    private readonly Parameter _logitScale;

    /// <summary>Declares the parts.</summary>
    /// <param name="config">Sizes.</param>
    public Clip(ClipConfig config)
    {
        Config = config;
        _logitScale = Add("logit_scale", [], Initializers.Constant(config.InitialLogitScale));
        TextEncoder = Add("text_model", new ClipTextEncoder(config));
        VisionEncoder = Add("vision_model", new ClipVisionEncoder(config));
        _visualProjection = Add("visual_projection", new Linear(config.Vision.Width, config.ProjectionSize, bias: false, Initializers.Normal(1f / MathF.Sqrt(config.Vision.Width))));
        _textProjection = Add("text_projection", new Linear(config.Text.Width, config.ProjectionSize, bias: false, Initializers.Normal(1f / MathF.Sqrt(config.Text.Width))));
    }

    /// <summary>Sizes.</summary>
    public ClipConfig Config { get; }

    /// <summary>The image tower.</summary>
    public ClipVisionEncoder VisionEncoder { get; }

    /// <summary>The text tower.</summary>
    public ClipTextEncoder TextEncoder { get; }

    /// <inheritdoc/>
    public Parameter LogitScale => _logitScale;

    /// <inheritdoc/>
    public int ImageSize => Config.ImageSize;

    /// <inheritdoc/>
    public int FeatureWidth => Config.Vision.Width;

    /// <inheritdoc/>
    public override string Architecture => "CLIPModel";

    /// <summary>
    /// Loads a Hugging Face folder. <see cref="PretrainedModel.Warnings"/> tells when the config's activation or norm epsilon is not what
    /// the weights were trained with, as far as the weights or the name of the model say so: a wrong one costs accuracy without an error.
    /// </summary>
    /// <param name="folder">With config.json and model.safetensors.</param>
    /// <param name="device">Where the parameters are kept; the CPU when null.</param>
    public static Clip FromPretrained(string folder, Device? device = null)
    {
        ConfigJson json = ConfigJson.Read(folder);
        Clip model = new(ClipConfig.FromJson(json));
        model.CheckName(json.Text("_name_or_path", string.Empty));
        model.LoadWeights(folder, device ?? Device.Cpu);
        return model;
    }

    /// <inheritdoc/>
    public override JsonObject ToConfigJson() => Config.ToJson();

    /// <summary>images [batch, 3, size, size] to unit vectors [batch, projection].</summary>
    public Tensor EncodeImage(Tensor images) => _visualProjection.Forward(VisionEncoder.Pool(VisionEncoder.Forward(images))).L2Normalize();

    /// <summary>images [batch, 3, size, size] to what the image tower gives in front of any projection, [batch, width].</summary>
    public Tensor ImageFeatures(Tensor images) => VisionEncoder.Pool(VisionEncoder.Forward(images));

    /// <summary>Texts of [batch, tokens] to unit vectors [batch, projection].</summary>
    public Tensor EncodeText(TextBatch text) => _textProjection.Forward(TextEncoder.Pool(TextEncoder.Forward(text), text.TokenIds)).L2Normalize();

    /// <summary>Pooled image features [batch, vision width] to [batch, projection], before normalisation.</summary>
    public Tensor ProjectImage(Tensor pooled) => _visualProjection.Forward(pooled);

    /// <summary>Pooled text features [batch, text width] to [batch, projection], before normalisation.</summary>
    public Tensor ProjectText(Tensor pooled) => _textProjection.Forward(pooled);

    /// <summary>Symmetric InfoNCE: row i of the batch must pick column i, and column i must pick row i.</summary>
    /// <param name="images">[batch, 3, size, size].</param>
    /// <param name="text">[batch, tokens]; text i describes image i.</param>
    public Tensor Loss(Tensor images, TextBatch text) => ContrastiveLoss(EncodeImage(images), EncodeText(text));

    /// <inheritdoc/>
    public Tensor ContrastiveLoss(Tensor imageEmbeddings, Tensor textEmbeddings) => imageEmbeddings.SoftmaxContrastive(textEmbeddings, _logitScale.Value.Exp());

    /// <inheritdoc/>
    protected override IReadOnlyDictionary<string, string> WeightMetadata() => new Dictionary<string, string>(StringComparer.Ordinal)
    {
        ["vision_hidden_act"] = Config.Vision.Activation.Name,
        ["vision_layer_norm_eps"] = Config.Vision.NormEpsilon.ToString("R", CultureInfo.InvariantCulture),
        ["text_hidden_act"] = Config.Text.Activation.Name,
        ["text_layer_norm_eps"] = Config.Text.NormEpsilon.ToString("R", CultureInfo.InvariantCulture),
    };

    /// <inheritdoc/>
    protected override void CheckMetadata(IReadOnlyDictionary<string, string> metadata)
    {
        foreach ((string field, string trained) in metadata)
        {
            if (!WeightMetadata().TryGetValue(field, out string? configured) || configured == trained) continue;
            Warn($"The weights were trained with {field} = {trained}, but the config says {configured}.");
        }
    }

    /// <summary>What is known of the two families of published weights.</summary>
    private void CheckName(string name)
    {
        string? trained = name.StartsWith("openai/clip", StringComparison.OrdinalIgnoreCase) ? "quick_gelu"
            : name.StartsWith("laion/", StringComparison.OrdinalIgnoreCase) ? "gelu"
            : null;
        if (trained is null) return;
        foreach ((string tower, ClipTowerConfig config) in new[] { ("vision", Config.Vision), ("text", Config.Text) })
        {
            if (config.Activation.Name != trained) Warn($"'{name}' was trained with hidden_act = {trained}, but the {tower} config says {config.Activation.Name}.");
            if (Math.Abs(config.NormEpsilon - 1e-5f) > 1e-9f) Warn($"'{name}' was trained with layer_norm_eps = 1e-05, but the {tower} config says {config.NormEpsilon:R}.");
        }
    }
}

/// <summary>A model with an image tower and a text tower that meet in one space.</summary>
public interface IDualEncoder
{
    /// <summary>Logarithm of the factor on the similarities, a scalar.</summary>
    Parameter LogitScale { get; }

    /// <summary>images [batch, 3, size, size] to unit vectors [batch, projection].</summary>
    Tensor EncodeImage(Tensor images);

    /// <summary>Texts of [batch, tokens] to unit vectors [batch, projection].</summary>
    Tensor EncodeText(TextBatch text);

    /// <summary>The loss of a batch from its unit vectors, both [batch, projection]; pair i belongs together.</summary>
    Tensor ContrastiveLoss(Tensor imageEmbeddings, Tensor textEmbeddings);
}

/// <summary>CLIP's image tower: a vision transformer with a norm in front, read out at the class token.</summary>
public sealed class ClipVisionEncoder : Module
{
    private readonly Parameter _classEmbedding;
    private readonly PatchEmbedding _patchEmbedding;
    private readonly Embedding _positionEmbedding;
    private readonly LayerNorm _preNorm;
    private readonly LayerNorm _postNorm;
    private readonly int _patchSize;

    internal ClipVisionEncoder(ClipConfig config)
    {
        int width = config.Vision.Width;
        _patchSize = config.PatchSize;
        _classEmbedding = Add("embeddings.class_embedding", [width], Initializers.Normal(1f / MathF.Sqrt(width)));
        _patchEmbedding = Add("embeddings.patch_embedding", new PatchEmbedding(
            config.PatchSize, width, config.Channels, bias: false, Initializers.Normal(1f / (config.PatchSize * MathF.Sqrt(config.Channels)))));
        _positionEmbedding = Add("embeddings.position_embedding", new Embedding(config.PatchCount + 1, width));
        _preNorm = Add("pre_layrnorm", new LayerNorm(width, config.Vision.NormEpsilon));    // spelled so in every checkpoint
        Blocks = Add("encoder", new Transformer("layers", config.Vision.Layers, config.Vision.ToBlockOptions()));
        _postNorm = Add("post_layernorm", new LayerNorm(width, config.Vision.NormEpsilon));
    }

    /// <summary>The stack of blocks.</summary>
    public Transformer Blocks { get; }

    /// <summary>
    /// images [batch, 3, height, width] to tokens [batch, 1 + patches, width] of the last block, not normalised. Another image size than
    /// the config's gets interpolated positions.
    /// </summary>
    public Tensor Forward(Tensor images, ICollection<Tensor>? hiddenStates = null) => Blocks.Forward(Embed(images), default, hiddenStates);

    /// <summary>tokens [batch, 1 + patches, width] to the normalised class token [batch, width].</summary>
    public Tensor Pool(Tensor tokens) => _postNorm.Forward(tokens.Token(0));

    /// <summary>
    /// The last block's attention from the class token to the patches: images [batch, 3, h, w] to [batch, heads, patches].
    /// </summary>
    public Tensor ClassAttention(Tensor images)
    {
        List<Tensor> states = [];
        Forward(images, states);
        Tensor probabilities = Blocks.Blocks[^1].AttentionProbabilities(states[^2]);
        return probabilities.Narrow(2, 0, 1).Narrow(3, 1, probabilities.Shape[3] - 1).Reshape([probabilities.Shape[0], probabilities.Shape[1], probabilities.Shape[3] - 1]);
    }

    private Tensor Embed(Tensor images)
    {
        Tensor positions = PositionInterpolation.ForImage(_positionEmbedding.Weight.Value, images, _patchSize);
        return _preNorm.Forward(_patchEmbedding.Forward(images).Prepend(_classEmbedding) + positions);
    }
}

/// <summary>CLIP's text tower: a causal transformer, read out at the end-of-text token.</summary>
public sealed class ClipTextEncoder : Module
{
    private readonly Embedding _tokenEmbedding;
    private readonly Embedding _positionEmbedding;
    private readonly LayerNorm _finalNorm;
    private readonly int _endTokenId;
    private readonly int _contextLength;

    internal ClipTextEncoder(ClipConfig config)
    {
        int width = config.Text.Width;
        _endTokenId = config.EndTokenId;
        _contextLength = config.ContextLength;
        _tokenEmbedding = Add("embeddings.token_embedding", new Embedding(config.VocabularySize, width));
        _positionEmbedding = Add("embeddings.position_embedding", new Embedding(config.ContextLength, width, initializer: Initializers.Normal(0.01f)));
        Blocks = Add("encoder", new Transformer("layers", config.Text.Layers, config.Text.ToBlockOptions()));
        _finalNorm = Add("final_layer_norm", new LayerNorm(width, config.Text.NormEpsilon));
    }

    /// <summary>The stack of blocks.</summary>
    public Transformer Blocks { get; }

    /// <summary>token ids [batch, tokens] to normalised hidden states [batch, tokens, width]; a token sees only those before it.</summary>
    /// <exception cref="ShapeException">The text is longer than the context.</exception>
    public Tensor Forward(TextBatch text, ICollection<Tensor>? hiddenStates = null)
    {
        Shape shape = text.TokenIds.Shape;
        if (shape.Rank != 2 || shape[1] > _contextLength) throw new ShapeException($"Clip: token ids must be [batch, tokens] with at most {_contextLength} tokens, found {shape}.");
        Tensor x = _tokenEmbedding.Forward(text.TokenIds) + _positionEmbedding.Weight.Value.Slice(0, shape[1]);
        return _finalNorm.Forward(Blocks.Forward(x, new AttentionMask(Causal: true, KeyMask: text.Mask), hiddenStates));
    }

    /// <summary>hidden states [batch, tokens, width] to those at the first end token of each text [batch, width].</summary>
    public Tensor Pool(Tensor hiddenStates, IndexTensor tokenIds)
        => hiddenStates.TokenAt(_endTokenId == 2 ? tokenIds.ArgMaxLastAxis() : tokenIds.FirstIndexOf(_endTokenId));
}
