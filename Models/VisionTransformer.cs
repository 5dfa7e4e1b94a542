using System.Text.Json.Nodes;
using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>Sizes of one vision transformer; the named instances are the published ones (arXiv:2010.11929, table 1; Tiny and Small arXiv:2012.12877).</summary>
public sealed record VisionTransformerConfig
{
    /// <summary>Side of the square images in pixels.</summary>
    public int ImageSize { get; init; } = 224;

    /// <summary>Side of a patch in pixels.</summary>
    public int PatchSize { get; init; } = 16;

    /// <summary>Colour channels.</summary>
    public int Channels { get; init; } = 3;

    /// <summary>Size of the tokens.</summary>
    public int Width { get; init; } = 768;

    /// <summary>Number of blocks.</summary>
    public int Layers { get; init; } = 12;

    /// <summary>Number of attention heads.</summary>
    public int Heads { get; init; } = 12;

    /// <summary>Size of the MLP's hidden layer.</summary>
    public int HiddenWidth { get; init; } = 3072;

    /// <summary>Of the MLP.</summary>
    public Activation Activation { get; init; } = Activation.Gelu;

    /// <summary>ε of the norms; 1e-12 in Hugging Face's ViT, 1e-6 in timm, MAE and ALBEF.</summary>
    public float NormEpsilon { get; init; } = 1e-12f;

    /// <summary>Whether query, key and value have biases.</summary>
    public bool AttentionBias { get; init; } = true;

    /// <summary>Standard deviation of the matrices of a new model's blocks; 0.02 suits a width of 768, and less width wants more: 0.02 · √(768 / width).</summary>
    public float InitializerRange { get; init; } = 0.02f;

    /// <summary>Rate of dropout in training.</summary>
    public float DropoutRate { get; init; }

    /// <summary>Rate of stochastic depth in training, at the last block.</summary>
    public float DropPathRate { get; init; }

    /// <summary>ViT-Ti/16: 5.7 M parameters.</summary>
    public static VisionTransformerConfig Tiny16 { get; } = new() { Width = 192, Heads = 3, HiddenWidth = 768 };

    /// <summary>ViT-S/16: 22 M parameters.</summary>
    public static VisionTransformerConfig Small16 { get; } = new() { Width = 384, Heads = 6, HiddenWidth = 1536 };

    /// <summary>ViT-B/16: 86 M parameters.</summary>
    public static VisionTransformerConfig Base16 { get; } = new();

    /// <summary>ViT-B/32: 88 M parameters.</summary>
    public static VisionTransformerConfig Base32 { get; } = new() { PatchSize = 32 };

    /// <summary>ViT-L/16: 307 M parameters.</summary>
    public static VisionTransformerConfig Large16 { get; } = new() { Width = 1024, Layers = 24, Heads = 16, HiddenWidth = 4096 };

    /// <summary>ViT-H/14: 632 M parameters.</summary>
    public static VisionTransformerConfig Huge14 { get; } = new() { PatchSize = 14, Width = 1280, Layers = 32, Heads = 16, HiddenWidth = 5120 };

    /// <summary>Number of patches of an image of <see cref="ImageSize"/>.</summary>
    public int PatchCount => ImageSize / PatchSize * (ImageSize / PatchSize);

    /// <summary>Reads the fields of a <c>vit</c> config.</summary>
    /// <exception cref="ModelFormatException">A field has a wrong type or value.</exception>
    public static VisionTransformerConfig FromJson(ConfigJson json)
    {
        VisionTransformerConfig config = new()
        {
            ImageSize = json.Integer("image_size", 224, maximum: 1 << 14),
            PatchSize = json.Integer("patch_size", 16),
            Channels = json.Integer("num_channels", 3, maximum: 64),
            Width = json.Integer("hidden_size", 768, maximum: 1 << 16),
            Layers = json.Integer("num_hidden_layers", 12, maximum: 1024),
            Heads = json.Integer("num_attention_heads", 12, maximum: 1024),
            HiddenWidth = json.Integer("intermediate_size", 3072, maximum: 1 << 18),
            Activation = json.Activation("hidden_act", Activation.Gelu),
            NormEpsilon = json.Number("layer_norm_eps", 1e-12f, 0, 1),
            AttentionBias = json.Flag("qkv_bias", true),
            DropoutRate = json.Number("hidden_dropout_prob", 0, 0, 0.999),
            InitializerRange = json.Number("initializer_range", 0.02f, 0, 10),
        };
        if (config.Width % config.Heads != 0) throw json.Contradiction("hidden_size", $"{config.Width} is not a multiple of num_attention_heads {config.Heads}.");
        if (config.ImageSize % config.PatchSize != 0) throw json.Contradiction("image_size", $"{config.ImageSize} is not a multiple of patch_size {config.PatchSize}.");
        return config;
    }

    /// <summary>The fields of a <c>vit</c> config.</summary>
    public JsonObject ToJson() => new()
    {
        ["model_type"] = "vit",
        ["image_size"] = ImageSize,
        ["patch_size"] = PatchSize,
        ["num_channels"] = Channels,
        ["hidden_size"] = Width,
        ["num_hidden_layers"] = Layers,
        ["num_attention_heads"] = Heads,
        ["intermediate_size"] = HiddenWidth,
        ["hidden_act"] = Activation.Name,
        ["layer_norm_eps"] = NormEpsilon,
        ["qkv_bias"] = AttentionBias,
        ["hidden_dropout_prob"] = DropoutRate,
        ["attention_probs_dropout_prob"] = 0f,
        ["initializer_range"] = InitializerRange,
    };
}

/// <summary>
/// The vision transformer: an image is a sequence of patch tokens behind a class token (Dosovitskiy et al., arXiv:2010.11929).
/// Parameter names are those of Hugging Face's <c>ViTModel</c>.
/// </summary>
public sealed class VisionTransformer : PretrainedModel, IImageEncoder
{
    private readonly Parameter _classToken;
    private readonly Parameter _positions;
    private readonly PatchEmbedding _patches;
    private readonly Dropout _dropout;
    private readonly Transformer _encoder;
    private readonly LayerNorm _norm;
    private readonly Linear? _pooler;
    private readonly bool _hasFixedPositions;

    /// <summary>Declares the parts.</summary>
    /// <param name="config">Sizes.</param>
    /// <param name="pooler">Whether there is a pooler, tanh of a linear layer on the class token; classifiers have none.</param>
    public VisionTransformer(VisionTransformerConfig config, bool pooler = true)
        : this(config, pooler, hasFixedPositions: false, Initializers.Normal(config.InitializerRange))
    {
    }

    /// <summary>The same, with positions that are learned or the fixed sines and cosines of MAE, and with a choice of how the matrices of the blocks are filled.</summary>
    internal VisionTransformer(VisionTransformerConfig config, bool pooler, bool hasFixedPositions, Initializer initializer)
    {
        Config = config;
        _hasFixedPositions = hasFixedPositions;
        _classToken = Add("embeddings.cls_token", [1, 1, config.Width], Initializers.TruncatedNormal(0.02f));
        _positions = Add("embeddings.position_embeddings", [1, config.PatchCount + 1, config.Width], hasFixedPositions ? SineCosinePositions.Fill : Initializers.TruncatedNormal(0.02f));
        _positions.IsTrainable = !hasFixedPositions;
        _patches = Add("embeddings.patch_embeddings.projection", new PatchEmbedding(
            config.PatchSize, config.Width, config.Channels, initializer: hasFixedPositions ? Initializers.XavierUniform : null));
        _dropout = Add(string.Empty, new Dropout(config.DropoutRate));
        _encoder = Add(string.Empty, new Transformer("encoder.layer", config.Layers, new TransformerBlockOptions
        {
            Width = config.Width,
            Heads = config.Heads,
            HiddenWidth = config.HiddenWidth,
            Activation = config.Activation,
            Names = TransformerBlockNames.Vit,
            NormEpsilon = config.NormEpsilon,
            AttentionBias = config.AttentionBias,
            AttentionInitializer = initializer,
            HiddenInitializer = initializer,
            ResidualInitializer = initializer,
            DropoutRate = config.DropoutRate,
            DropPathRate = config.DropPathRate,
        }));
        _norm = Add("layernorm", new LayerNorm(config.Width, config.NormEpsilon));
        _pooler = pooler ? Add("pooler.dense", new Linear(config.Width, config.Width)) : null;
    }

    /// <summary>Sizes.</summary>
    public VisionTransformerConfig Config { get; }

    /// <summary>The stack of blocks.</summary>
    public Transformer Encoder => _encoder;

    /// <inheritdoc/>
    public int ImageSize => Config.ImageSize;

    /// <inheritdoc/>
    public int FeatureWidth => Config.Width;

    /// <inheritdoc/>
    public override string Architecture => "ViTModel";

    /// <inheritdoc/>
    protected override string BackbonePrefix => "vit";

    /// <summary>Loads a Hugging Face folder, of the bare model, with its pooler where the weights have one, or of one with a head.</summary>
    /// <param name="folder">With config.json and model.safetensors.</param>
    /// <param name="device">Where the parameters are kept; the CPU when null.</param>
    public static VisionTransformer FromPretrained(string folder, Device? device = null)
    {
        ConfigJson json = ConfigJson.Read(folder);
        VisionTransformerConfig config = VisionTransformerConfig.FromJson(json);
        bool pooler = json.FirstText("architectures") is null or "ViTModel" && HoldsKey(folder, "pooler.dense.weight", "vit");
        VisionTransformer model = new(config, pooler);
        model.LoadWeights(folder, device ?? Device.Cpu);
        return model;
    }

    /// <inheritdoc/>
    public override JsonObject ToConfigJson() => Config.ToJson();

    /// <summary>
    /// images [batch, channels, height, width] to tokens [batch, 1 + patches, width] after the final norm, the class token first. An image
    /// of another size than the config's gets positions interpolated from the trained ones.
    /// </summary>
    /// <param name="images">Normalised pixels; height and width are multiples of the patch size.</param>
    /// <param name="hiddenStates">When given, receives the input of every block and the output of the last.</param>
    public Tensor Forward(Tensor images, ICollection<Tensor>? hiddenStates = null)
        => _norm.Forward(_encoder.Forward(Embed(images), default, hiddenStates));

    /// <summary>
    /// The same of some patches alone, in the given order: images [batch, channels, height, width] and visible [batch, count] to [batch, 1 + count, width].
    /// What is left out costs nothing, which is what makes masked autoencoders fast (arXiv:2111.06377).
    /// </summary>
    /// <param name="images">Normalised pixels; height and width are multiples of the patch size.</param>
    /// <param name="visible">For each image, numbers of patches, counted row by row from 0.</param>
    /// <param name="hiddenStates">When given, receives the input of every block and the output of the last.</param>
    public Tensor Forward(Tensor images, IndexTensor visible, ICollection<Tensor>? hiddenStates = null)
    {
        Tensor positions = PositionInterpolation.ForImage(Positions, images, Config.PatchSize);
        Tensor patches = _patches.Forward(images, visible) + positions.Slice(1, positions.Shape[0] - 1).GatherRows(visible);
        Tensor classToken = _classToken.Value.Reshape([1, Config.Width]) + positions.Slice(0, 1);
        return _norm.Forward(_encoder.Forward(_dropout.Forward(patches.Prepend(classToken)), default, hiddenStates));
    }

    /// <summary>tokens [batch, 1 + patches, width] of <see cref="Forward(Tensor, ICollection{Tensor}?)"/> to tanh(dense(class token)) [batch, width].</summary>
    /// <exception cref="InvalidOperationException">The model was made without a pooler.</exception>
    public Tensor Pool(Tensor tokens) => _pooler is null
        ? throw new InvalidOperationException("This vision transformer has no pooler.")
        : _pooler.Forward(tokens.Token(0), Activation.Tanh);

    /// <summary>images [batch, channels, size, size] to the class token after the final norm, [batch, width], in front of any pooler.</summary>
    public Tensor ImageFeatures(Tensor images) => Forward(images).Token(0);

    private Tensor Embed(Tensor images)
    {
        Tensor tokens = _patches.Forward(images).Prepend(_classToken.Value.Reshape([Config.Width]));
        return _dropout.Forward(tokens + PositionInterpolation.ForImage(Positions, images, Config.PatchSize));
    }

    /// <summary>A fixed table has no gradient, also where somebody thaws all parameters.</summary>
    private Tensor Positions => _hasFixedPositions ? _positions.Value.Detach() : _positions.Value;
}

/// <summary>Resizes a grid of learned positions to that of another image size.</summary>
internal static class PositionInterpolation
{
    /// <summary>
    /// positions [1, 1 + g·g, width], trained on square images, to [1 + rows·columns, width] for these images: bicubic with a = -0.75 on
    /// the grid, the class token unchanged. Positions of the right size are returned as they are.
    /// </summary>
    public static Tensor ForImage(Tensor positions, Tensor images, int patchSize)
    {
        int rows = images.Shape[2] / patchSize, columns = images.Shape[3] / patchSize, width = positions.Shape[-1], count = positions.Shape[-2];
        int side = (int)Math.Round(Math.Sqrt(count - 1));
        Tensor table = positions.Reshape([count, width]);
        if (rows == side && columns == side) return table;
        Tensor grid = table.Slice(1, count - 1).Transpose().Reshape([1, width, side, side]).ResizeBicubic(rows, columns);
        return Tensor.Concatenate(0, table.Slice(0, 1), grid.Reshape([width, rows * columns]).Transpose());
    }
}

/// <summary>
/// A vision transformer with a linear classifier on the class token. Parameter names are those of <c>ViTForImageClassification</c>.
/// </summary>
public sealed class VisionTransformerClassifier : PretrainedModel, IImageEncoder
{
    private readonly Linear _classifier;

    /// <summary>Declares the parts.</summary>
    /// <param name="config">Sizes.</param>
    /// <param name="labels">Names of the classes.</param>
    public VisionTransformerClassifier(VisionTransformerConfig config, IReadOnlyList<string> labels)
    {
        Labels = labels;
        Backbone = Add("vit", new VisionTransformer(config, pooler: false));
        _classifier = Add("classifier", new Linear(config.Width, labels.Count));
    }

    /// <summary>The vision transformer.</summary>
    public VisionTransformer Backbone { get; }

    /// <summary>Names of the classes, as <c>id2label</c> has them.</summary>
    public IReadOnlyList<string> Labels { get; }

    /// <inheritdoc/>
    public int ImageSize => Backbone.ImageSize;

    /// <inheritdoc/>
    public int FeatureWidth => Backbone.FeatureWidth;

    /// <inheritdoc/>
    public override string Architecture => "ViTForImageClassification";

    /// <summary>Loads a Hugging Face folder. The number of classes is the length of <c>id2label</c>.</summary>
    /// <param name="folder">With config.json and model.safetensors.</param>
    /// <param name="device">Where the parameters are kept; the CPU when null.</param>
    public static VisionTransformerClassifier FromPretrained(string folder, Device? device = null)
    {
        ConfigJson json = ConfigJson.Read(folder);
        VisionTransformerClassifier model = new(VisionTransformerConfig.FromJson(json), LabelNames.Read(json));
        model.LoadWeights(folder, device ?? Device.Cpu);
        return model;
    }

    /// <inheritdoc/>
    public override JsonObject ToConfigJson() => LabelNames.Write(Backbone.Config.ToJson(), Labels);

    /// <summary>images [batch, channels, height, width] to logits [batch, classes].</summary>
    public Tensor Forward(Tensor images, ICollection<Tensor>? hiddenStates = null) => _classifier.Forward(Backbone.Forward(images, hiddenStates).Token(0));

    /// <inheritdoc/>
    public Tensor ImageFeatures(Tensor images) => Backbone.ImageFeatures(images);

    /// <summary>Mean cross-entropy of the logits against labels [batch].</summary>
    public Tensor Loss(Tensor images, IndexTensor labels) => Forward(images).CrossEntropy(labels);
}
