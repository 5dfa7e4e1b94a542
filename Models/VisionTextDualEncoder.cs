using System.Text.Json.Nodes;
using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>Sizes of a <see cref="VisionTextDualEncoder"/>.</summary>
/// <param name="Vision">The image tower.</param>
/// <param name="Text">The text tower.</param>
/// <param name="ProjectionSize">Size of the shared embedding.</param>
/// <param name="InitialLogitScale">Initial value of the logarithm of the logit scale.</param>
public sealed record VisionTextDualEncoderConfig(VisionTransformerConfig Vision, BertConfig Text, int ProjectionSize = 512, float InitialLogitScale = 2.6592f)
{
    /// <summary>ViT-B/16 and BERT-Base, the pair of the smallest LiT: 197 M parameters.</summary>
    public static VisionTextDualEncoderConfig VitB16BertBase { get; } = new(VisionTransformerConfig.Base16, BertConfig.Base, ProjectionSize: 768);

    /// <summary>ViT-L/16 and BERT-Large: 641 M parameters.</summary>
    public static VisionTextDualEncoderConfig VitL16BertLarge { get; } = new(VisionTransformerConfig.Large16, BertConfig.Large, ProjectionSize: 1024);

    /// <summary>Reads a <c>vision-text-dual-encoder</c> config.</summary>
    /// <exception cref="ModelFormatException">A field has a wrong type or value, or a tower is no ViT or no BERT.</exception>
    public static VisionTextDualEncoderConfig FromJson(ConfigJson json)
    {
        ConfigJson vision = json.Object("vision_config"), text = json.Object("text_config");
        if (vision.Text("model_type", "vit") is not "vit") throw vision.Contradiction("model_type", $"the image tower must be 'vit', found '{vision.Text("model_type")}'.");
        if (text.Text("model_type", "bert") is not "bert") throw text.Contradiction("model_type", $"the text tower must be 'bert', found '{text.Text("model_type")}'.");
        return new VisionTextDualEncoderConfig(
            VisionTransformerConfig.FromJson(vision),
            BertConfig.FromJson(text),
            json.Integer("projection_dim", 512, maximum: 1 << 16),
            json.Number("logit_scale_init_value", 2.6592f));
    }

    /// <summary>The config as <c>transformers</c> writes it.</summary>
    public JsonObject ToJson() => new()
    {
        ["model_type"] = "vision-text-dual-encoder",
        ["projection_dim"] = ProjectionSize,
        ["logit_scale_init_value"] = InitialLogitScale,
        ["vision_config"] = Vision.ToJson(),
        ["text_config"] = Text.ToJson(),
    };
}

/// <summary>
/// A vision transformer and a BERT that meet in one space, each read out through its pooler and trained as CLIP is (LiT, arXiv:2111.07991,
/// freezes the image tower). Parameter names are those of <c>VisionTextDualEncoderModel</c>.
/// </summary>
public sealed class VisionTextDualEncoder : PretrainedModel, IDualEncoder, IImageEncoder
{
    private readonly Linear _visualProjection;
    private readonly Linear _textProjection;

    /// <summary>Declares the parts.</summary>
    /// <param name="config">Sizes.</param>
    public VisionTextDualEncoder(VisionTextDualEncoderConfig config)
    {
        Config = config;
        LogitScale = Add("logit_scale", [], Initializers.Constant(config.InitialLogitScale));
        TextEncoder = Add("text_model", new Bert(config.Text));
        VisionEncoder = Add("vision_model", new VisionTransformer(config.Vision));
        _visualProjection = Add("visual_projection", new Linear(config.Vision.Width, config.ProjectionSize, bias: false));
        _textProjection = Add("text_projection", new Linear(config.Text.Width, config.ProjectionSize, bias: false));
    }

    /// <summary>Sizes.</summary>
    public VisionTextDualEncoderConfig Config { get; }

    /// <summary>The image tower.</summary>
    public VisionTransformer VisionEncoder { get; }

    /// <summary>The text tower.</summary>
    public Bert TextEncoder { get; }

    /// <inheritdoc/>
    public Parameter LogitScale { get; }

    /// <inheritdoc/>
    public int ImageSize => VisionEncoder.ImageSize;

    /// <inheritdoc/>
    public int FeatureWidth => VisionEncoder.FeatureWidth;

    /// <inheritdoc/>
    public override string Architecture => "VisionTextDualEncoderModel";

    /// <summary>Loads a Hugging Face folder.</summary>
    /// <param name="folder">With config.json and model.safetensors.</param>
    /// <param name="device">Where the parameters are kept; the CPU when null.</param>
    public static VisionTextDualEncoder FromPretrained(string folder, Device? device = null)
    {
        VisionTextDualEncoder model = new(VisionTextDualEncoderConfig.FromJson(ConfigJson.Read(folder)));
        model.LoadWeights(folder, device ?? Device.Cpu);
        return model;
    }

    /// <inheritdoc/>
    public override JsonObject ToConfigJson() => Config.ToJson();

    /// <inheritdoc/>
    public Tensor EncodeImage(Tensor images) => ProjectImage(VisionEncoder.Pool(VisionEncoder.Forward(images)));

    /// <summary>images [batch, 3, size, size] to what the image tower gives in front of any projection, [batch, width].</summary>
    public Tensor ImageFeatures(Tensor images) => VisionEncoder.ImageFeatures(images);

    /// <inheritdoc/>
    public Tensor EncodeText(TextBatch text) => ProjectText(TextEncoder.Pool(TextEncoder.Forward(text)));

    /// <summary>Pooled image features [batch, vision width] to unit vectors [batch, projection].</summary>
    public Tensor ProjectImage(Tensor pooled) => _visualProjection.Forward(pooled).L2Normalize();

    /// <summary>Pooled text features [batch, text width] to unit vectors [batch, projection].</summary>
    public Tensor ProjectText(Tensor pooled) => _textProjection.Forward(pooled).L2Normalize();

    /// <summary>Symmetric InfoNCE: row i of the batch must pick column i, and column i must pick row i.</summary>
    /// <param name="images">[batch, 3, size, size].</param>
    /// <param name="text">[batch, tokens]; text i describes image i.</param>
    public Tensor Loss(Tensor images, TextBatch text) => ContrastiveLoss(EncodeImage(images), EncodeText(text));

    /// <inheritdoc/>
    public Tensor ContrastiveLoss(Tensor imageEmbeddings, Tensor textEmbeddings) => imageEmbeddings.SoftmaxContrastive(textEmbeddings, LogitScale.Value.Exp());
}
