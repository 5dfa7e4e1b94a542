using System.Text.Json.Nodes;
using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>
/// BLIP for retrieval: unit vectors of images and texts to be compared by their cosine, and a matching head on the text encoder when it looks at the
/// image (Li et al., arXiv:2201.12086). Parameter names are those of <c>BlipForImageTextRetrieval</c>.
/// </summary>
public sealed class BlipRetrieval : PretrainedModel, IMatchingModel
{
    private readonly Linear _visionProjection;
    private readonly Linear _textProjection;
    private readonly Linear _matchingHead;

    /// <summary>Declares the parts.</summary>
    /// <param name="config">Sizes.</param>
    public BlipRetrieval(BlipConfig config)
    {
        Config = config;
        VisionEncoder = Add("vision_model", new BlipVisionEncoder(config.Vision));
        TextEncoder = Add("text_encoder", new BlipTextNetwork(config));
        _visionProjection = Add("vision_proj", new Linear(config.Vision.Width, config.ProjectionSize, initializer: BlipConfig.ByWidth(config.Vision.Width)));
        _textProjection = Add("text_proj", new Linear(config.Text.Width, config.ProjectionSize, initializer: BlipConfig.ByWidth(config.Text.Width)));
        _matchingHead = Add("itm_head", new Linear(config.Text.Width, 2));
    }

    /// <summary>Sizes.</summary>
    public BlipConfig Config { get; }

    /// <summary>The image encoder.</summary>
    public BlipVisionEncoder VisionEncoder { get; }

    /// <summary>The text encoder, alone and grounded in an image.</summary>
    public BlipTextNetwork TextEncoder { get; }

    /// <inheritdoc/>
    public override string Architecture => "BlipForImageTextRetrieval";

    /// <summary>Loads a Hugging Face folder.</summary>
    /// <param name="folder">With config.json and model.safetensors.</param>
    /// <param name="device">Where the parameters are kept; the CPU when null.</param>
    public static BlipRetrieval FromPretrained(string folder, Device? device = null)
    {
        BlipRetrieval model = new(BlipConfig.FromJson(ConfigJson.Read(folder)));
        model.LoadWeights(folder, device ?? Device.Cpu);
        return model;
    }

    /// <inheritdoc/>
    public override JsonObject ToConfigJson() => Config.ToJson();

    /// <summary>images [batch, 3, size, size] to unit vectors [batch, projection].</summary>
    public Tensor EncodeImage(Tensor images) => ProjectImage(VisionEncoder.Forward(images));

    /// <summary>Texts of [batch, tokens] to unit vectors [batch, projection].</summary>
    public Tensor EncodeText(TextBatch text) => ProjectText(TextEncoder.Forward(text));

    /// <summary>Image tokens [batch, 1 + patches, width] to unit vectors [batch, projection], from the class token.</summary>
    public Tensor ProjectImage(Tensor imageTokens) => _visionProjection.Forward(imageTokens.Token(0)).L2Normalize();

    /// <summary>Hidden states [batch, tokens, width] of a text alone to unit vectors [batch, projection], from the first token.</summary>
    public Tensor ProjectText(Tensor hiddenStates) => _textProjection.Forward(hiddenStates.Token(0)).L2Normalize();

    /// <summary>Hidden states [batch, tokens, width] of texts that look at image tokens [batch, 1 + patches, image width].</summary>
    /// <param name="imageTokens">Of the image encoder; image i for text i.</param>
    /// <param name="text">Ids and mask; [ENC] takes the place of the first token where the config has one.</param>
    public Tensor Ground(Tensor imageTokens, TextBatch text) => TextEncoder.Forward(BlipTokens.WithFirst(text, Config.Text.EncodeId), imageTokens);

    /// <summary>Hidden states [batch, tokens, width] of <see cref="Ground"/> to the logits of "no match" (0) and "match" (1), [batch, 2].</summary>
    public Tensor PredictMatch(Tensor groundedStates) => _matchingHead.Forward(groundedStates.Token(0));

    /// <inheritdoc/>
    public EncodedImages EncodeImages(Tensor images)
    {
        Tensor tokens = VisionEncoder.Forward(images);
        return new EncodedImages(tokens, ProjectImage(tokens));
    }

    /// <inheritdoc/>
    public EncodedTexts EncodeTexts(TextBatch text) => new(text, null, EncodeText(text));

    /// <inheritdoc/>
    public Tensor Match(EncodedImages images, EncodedTexts texts)
    {
        Tensor logits = PredictMatch(Ground(images.States, texts.Text));
        return (logits.Narrow(1, 1, 1) - logits.Narrow(1, 0, 1)).Reshape([logits.Shape[0]]);
    }
}
