using System.Text.Json.Nodes;
using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>Sizes of one SigLIP; the named instances are the published ones (arXiv:2303.15343).</summary>
public sealed record SiglipConfig
{
    // In front of Base16, whose initializer reads it: statics are initialized in textual order.
    private static ClipTowerConfig BaseTower { get; } = new() { Width = 768, Layers = 12, Heads = 12, HiddenWidth = 3072, Activation = Activation.GeluTanh, NormEpsilon = 1e-6f };

    /// <summary>The image tower.</summary>
    public ClipTowerConfig Vision { get; init; } = BaseTower;

    /// <summary>The text tower.</summary>
    public ClipTowerConfig Text { get; init; } = BaseTower;

    /// <summary>Side of the square images in pixels.</summary>
    public int ImageSize { get; init; } = 224;

    /// <summary>Side of a patch in pixels.</summary>
    public int PatchSize { get; init; } = 16;

    /// <summary>Colour channels.</summary>
    public int Channels { get; init; } = 3;

    /// <summary>Number of text tokens known.</summary>
    public int VocabularySize { get; init; } = 32000;

    /// <summary>Longest text in tokens; the last position is read out.</summary>
    public int ContextLength { get; init; } = 64;

    /// <summary>Size of the text embedding; equal to the vision width, since there is no other projection.</summary>
    public int ProjectionSize { get; init; } = 768;

    /// <summary>SigLIP-B/16: 203 M parameters.</summary>
    public static SiglipConfig Base16 { get; } = new();

    /// <summary>SigLIP-L/16 on images of 256 pixels: 652 M parameters.</summary>
    public static SiglipConfig Large16 { get; } = new()
    {
        Vision = BaseTower with { Width = 1024, Layers = 24, Heads = 16, HiddenWidth = 4096 },
        Text = BaseTower with { Width = 1024, Layers = 24, Heads = 16, HiddenWidth = 4096 },
        ImageSize = 256,
        ProjectionSize = 1024,
    };

    /// <summary>SigLIP-So400m/14, its shape optimised for compute (arXiv:2305.13035): 877 M parameters.</summary>
    public static SiglipConfig So400m14 { get; } = new()
    {
        Vision = BaseTower with { Width = 1152, Layers = 27, Heads = 16, HiddenWidth = 4304 },
        Text = BaseTower with { Width = 1152, Layers = 27, Heads = 16, HiddenWidth = 4304 },
        PatchSize = 14,
        ContextLength = 16,
        ProjectionSize = 1152,
    };

    /// <summary>Reads a <c>siglip</c> config.</summary>
    /// <exception cref="ModelFormatException">A field has a wrong type or value.</exception>
    public static SiglipConfig FromJson(ConfigJson json)
    {
        ConfigJson vision = json.Object("vision_config"), text = json.Object("text_config");
        ClipTowerConfig textTower = ClipTowerConfig.FromJson(text, BaseTower);
        SiglipConfig config = new()
        {
            Vision = ClipTowerConfig.FromJson(vision, BaseTower),
            Text = textTower,
            ImageSize = vision.Integer("image_size", 224, maximum: 1 << 14),
            PatchSize = vision.Integer("patch_size", 16),
            Channels = vision.Integer("num_channels", 3, maximum: 64),
            VocabularySize = text.Integer("vocab_size", 32000),
            ContextLength = text.Integer("max_position_embeddings", 64, maximum: 1 << 20),
            ProjectionSize = text.Integer("projection_size", textTower.Width, maximum: 1 << 16),
        };
        if (config.ImageSize < config.PatchSize) throw vision.Contradiction("image_size", $"{config.ImageSize} is smaller than patch_size {config.PatchSize}.");
        if (config.ProjectionSize != config.Vision.Width) throw text.Contradiction("projection_size", $"{config.ProjectionSize} must equal the vision width {config.Vision.Width}.");
        return config;
    }

    /// <summary>The config as <c>transformers</c> writes it.</summary>
    public JsonObject ToJson()
    {
        JsonObject vision = Vision.ToJson("siglip_vision_model"), text = Text.ToJson("siglip_text_model");
        vision["image_size"] = ImageSize;
        vision["patch_size"] = PatchSize;
        vision["num_channels"] = Channels;
        text["vocab_size"] = VocabularySize;
        text["max_position_embeddings"] = ContextLength;
        text["projection_size"] = ProjectionSize;
        return new JsonObject { ["model_type"] = "siglip", ["text_config"] = text, ["vision_config"] = vision };
    }
}

/// <summary>
/// SigLIP: two encoders trained with a sigmoid on every pair instead of a softmax over the batch (Zhai et al., arXiv:2303.15343).
/// Parameter names are those of <c>SiglipModel</c>.
/// </summary>
public sealed class Siglip : PretrainedModel, IDualEncoder, IImageEncoder
{
    /// <summary>Declares the parts.</summary>
    /// <param name="config">Sizes.</param>
    public Siglip(SiglipConfig config)
    {
        Config = config;
        LogitScale = Add("logit_scale", [1], Initializers.Constant(MathF.Log(10f)));
        LogitBias = Add("logit_bias", [1], Initializers.Constant(-10f));
        TextEncoder = Add("text_model", new SiglipTextEncoder(config));
        VisionEncoder = Add("vision_model", new SiglipVisionEncoder(config));
    }

    /// <summary>Sizes.</summary>
    public SiglipConfig Config { get; }

    /// <summary>The image tower.</summary>
    public SiglipVisionEncoder VisionEncoder { get; }

    /// <summary>The text tower.</summary>
    public SiglipTextEncoder TextEncoder { get; }

    /// <inheritdoc/>
    public Parameter LogitScale { get; }

    /// <summary>Added to every scaled similarity; starts at -10, since nearly all pairs do not match.</summary>
    public Parameter LogitBias { get; }

    /// <inheritdoc/>
    public int ImageSize => Config.ImageSize;

    /// <inheritdoc/>
    public int FeatureWidth => Config.Vision.Width;

    /// <inheritdoc/>
    public override string Architecture => "SiglipModel";

    /// <summary>Loads a Hugging Face folder.</summary>
    /// <param name="folder">With config.json and model.safetensors.</param>
    /// <param name="device">Where the parameters are kept; the CPU when null.</param>
    public static Siglip FromPretrained(string folder, Device? device = null)
    {
        Siglip model = new(SiglipConfig.FromJson(ConfigJson.Read(folder)));
        model.LoadWeights(folder, device ?? Device.Cpu);
        return model;
    }

    /// <inheritdoc/>
    public override JsonObject ToConfigJson() => Config.ToJson();

    /// <inheritdoc/>
    public Tensor EncodeImage(Tensor images) => VisionEncoder.Pool(VisionEncoder.Forward(images)).L2Normalize();

    /// <summary>images [batch, 3, size, size] to what the image tower gives in front of any projection, [batch, width].</summary>
    public Tensor ImageFeatures(Tensor images) => VisionEncoder.Pool(VisionEncoder.Forward(images));

    /// <inheritdoc/>
    public Tensor EncodeText(TextBatch text) => TextEncoder.Pool(TextEncoder.Forward(text)).L2Normalize();

    /// <summary>The sigmoid loss of a batch; text i describes image i.</summary>
    /// <param name="images">[batch, 3, size, size].</param>
    /// <param name="text">[batch, tokens].</param>
    public Tensor Loss(Tensor images, TextBatch text) => ContrastiveLoss(EncodeImage(images), EncodeText(text));

    /// <inheritdoc/>
    public Tensor ContrastiveLoss(Tensor imageEmbeddings, Tensor textEmbeddings)
        => imageEmbeddings.SigmoidContrastive(textEmbeddings, LogitScale.Value.Exp(), LogitBias);
}

/// <summary>SigLIP's image tower: patches without a class token, pooled by one learned query.</summary>
public sealed class SiglipVisionEncoder : Module
{
    private readonly PatchEmbedding _patchEmbedding;
    private readonly Embedding _positionEmbedding;
    private readonly LayerNorm _postNorm;
    private readonly Parameter _probe;
    private readonly MultiHeadAttention _poolAttention;
    private readonly LayerNorm _poolNorm;
    private readonly Mlp _poolMlp;

    internal SiglipVisionEncoder(SiglipConfig config)
    {
        int width = config.Vision.Width, side = config.ImageSize / config.PatchSize;
        _patchEmbedding = Add("embeddings.patch_embedding", new PatchEmbedding(config.PatchSize, width, config.Channels));
        _positionEmbedding = Add("embeddings.position_embedding", new Embedding(side * side, width));
        Blocks = Add("encoder", new Transformer("layers", config.Vision.Layers, config.Vision.ToBlockOptions()));
        _postNorm = Add("post_layernorm", new LayerNorm(width, config.Vision.NormEpsilon));
        _probe = Add("head.probe", [1, 1, width], Initializers.XavierUniform);
        _poolAttention = Add("head.attention", new MultiHeadAttention(width, config.Vision.Heads, AttentionNames.Stacked));
        _poolNorm = Add("head.layernorm", new LayerNorm(width, config.Vision.NormEpsilon));
        _poolMlp = Add("head.mlp", new Mlp(width, config.Vision.HiddenWidth, config.Vision.Activation));
    }

    /// <summary>The stack of blocks.</summary>
    public Transformer Blocks { get; }

    /// <summary>images [batch, 3, size, size] to normalised tokens [batch, patches, width].</summary>
    public Tensor Forward(Tensor images, ICollection<Tensor>? hiddenStates = null)
        => _postNorm.Forward(Blocks.Forward(_patchEmbedding.Forward(images) + _positionEmbedding.Weight, default, hiddenStates));

    /// <summary>tokens [batch, patches, width] to [batch, width]: one learned query attends to them all, then a residual MLP.</summary>
    public Tensor Pool(Tensor tokens)
    {
        int batch = tokens.Shape[0], width = tokens.Shape[2];
        Tensor query = _probe.Value.Expand(batch);
        Tensor pooled = _poolAttention.Forward(query, tokens);
        return _poolMlp.Forward(_poolNorm.Forward(pooled), pooled).Reshape([batch, width]);
    }
}

/// <summary>SigLIP's text tower: a bidirectional transformer, read out at the last position.</summary>
public sealed class SiglipTextEncoder : Module
{
    private readonly Embedding _tokenEmbedding;
    private readonly Embedding _positionEmbedding;
    private readonly LayerNorm _finalNorm;
    private readonly Linear _head;
    private readonly int _contextLength;

    internal SiglipTextEncoder(SiglipConfig config)
    {
        int width = config.Text.Width;
        _contextLength = config.ContextLength;
        _tokenEmbedding = Add("embeddings.token_embedding", new Embedding(config.VocabularySize, width));
        _positionEmbedding = Add("embeddings.position_embedding", new Embedding(config.ContextLength, width));
        Blocks = Add("encoder", new Transformer("layers", config.Text.Layers, config.Text.ToBlockOptions()));
        _finalNorm = Add("final_layer_norm", new LayerNorm(width, config.Text.NormEpsilon));
        _head = Add("head", new Linear(width, config.ProjectionSize));
    }

    /// <summary>The stack of blocks.</summary>
    public Transformer Blocks { get; }

    /// <summary>token ids [batch, tokens] to normalised hidden states [batch, tokens, width].</summary>
    /// <exception cref="ShapeException">The text is longer than the context.</exception>
    public Tensor Forward(TextBatch text, ICollection<Tensor>? hiddenStates = null)
    {
        Shape shape = text.TokenIds.Shape;
        if (shape.Rank != 2 || shape[1] > _contextLength) throw new ShapeException($"Siglip: token ids must be [batch, tokens] with at most {_contextLength} tokens, found {shape}.");
        Tensor x = _tokenEmbedding.Forward(text.TokenIds) + _positionEmbedding.Weight.Value.Slice(0, shape[1]);
        return _finalNorm.Forward(Blocks.Forward(x, new AttentionMask(KeyMask: text.Mask), hiddenStates));
    }

    /// <summary>hidden states [batch, tokens, width] to the head's view of the last position [batch, projection], padding or not.</summary>
    public Tensor Pool(Tensor hiddenStates) => _head.Forward(hiddenStates.Token(hiddenStates.Shape[1] - 1));
}
