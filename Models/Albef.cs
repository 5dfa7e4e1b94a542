using System.Text.Json.Nodes;
using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>
/// ALBEF, "align before fuse" (Li et al., arXiv:2107.07651): an image tower and a text network. The first layers of the text network read the text
/// alone, and what they give is aligned with the image by a contrastive loss; the last layers fuse: the text's tokens are the queries, the image's
/// tokens keys and values.
/// <para>
/// Parameter names: the halves have those of the original, <c>visual_encoder</c>, <c>text_encoder.bert</c> and <c>text_encoder.cls</c>,
/// <c>vision_proj</c>, <c>text_proj</c>, <c>itm_head</c>, <c>temp</c>; inside <c>visual_encoder</c> they are those of <c>ViTModel</c>, and inside
/// <c>text_encoder</c> those of <c>BertForMaskedLM</c> with <c>crossattention</c> in the fusion layers. <c>transformers</c> has no class for it.
/// </para>
/// </summary>
public sealed class Albef : PretrainedModel, IMatchingModel, IGroundingModel
{
    /// <summary>Bounds of the temperature.</summary>
    internal const float LowestTemperature = 0.001f, HighestTemperature = 0.5f;

    private readonly Linear _imageProjection;
    private readonly Linear _textProjection;
    private readonly Linear _matching;

    /// <summary>Declares the parts.</summary>
    /// <param name="config">Sizes.</param>
    /// <exception cref="ArgumentException">The text network has no fusion layer.</exception>
    public Albef(AlbefConfig config)
    {
        Config = config;
        BertConfig text = config.FusionText;
        VisionEncoder = Add("visual_encoder", new VisionTransformer(config.Vision, pooler: false));
        TextEncoder = Add("text_encoder", new BertForPreTraining(text, nextSentence: false));
        _imageProjection = Add("vision_proj", new Linear(config.Vision.Width, config.ProjectionSize));
        _textProjection = Add("text_proj", new Linear(text.Width, config.ProjectionSize));
        _matching = Add("itm_head", new Linear(text.Width, 2));
        Temperature = Add("temp", [], Initializers.Constant(config.InitialTemperature));
    }

    /// <summary>Sizes.</summary>
    public AlbefConfig Config { get; }

    /// <summary>The image tower.</summary>
    public VisionTransformer VisionEncoder { get; }

    /// <summary>The text network with its masked-language head.</summary>
    public BertForPreTraining TextEncoder { get; }

    /// <summary>τ, a scalar: cosines are divided by it. It is learned itself, not its logarithm.</summary>
    public Parameter Temperature { get; }

    /// <inheritdoc/>
    public override string Architecture => "AlbefForPreTraining";

    /// <summary>Loads a folder that <see cref="PretrainedModel.SavePretrained"/> wrote.</summary>
    /// <param name="folder">With config.json and model.safetensors.</param>
    /// <param name="device">Where the parameters are kept; the CPU when null.</param>
    public static Albef FromPretrained(string folder, Device? device = null)
    {
        Albef model = new(AlbefConfig.FromJson(ConfigJson.Read(folder)));
        model.LoadWeights(folder, device ?? Device.Cpu);
        return model;
    }

    /// <inheritdoc/>
    public override JsonObject ToConfigJson() => Config.ToJson();

    /// <summary>images [batch, channels, height, width] to tokens [batch, 1 + patches, vision width].</summary>
    public Tensor EncodeImage(Tensor images) => VisionEncoder.Forward(images);

    /// <summary>Texts [batch, tokens] to the hidden states [batch, tokens, text width] in front of the fusion layers.</summary>
    public Tensor EncodeText(TextBatch text) => TextEncoder.Backbone.Encode(text);

    /// <summary>Image tokens [batch, 1 + patches, vision width] to unit vectors [batch, projection].</summary>
    public Tensor ProjectImage(Tensor imageStates) => _imageProjection.Forward(imageStates.Token(0)).L2Normalize();

    /// <summary>Text states [batch, tokens, text width] to unit vectors [batch, projection].</summary>
    public Tensor ProjectText(Tensor textStates) => _textProjection.Forward(textStates.Token(0)).L2Normalize();

    /// <summary>
    /// Text states [batch, tokens, text width] and image tokens [batch, 1 + patches, vision width] to fused text states [batch, tokens, text width]: the text is
    /// the query, the image key and value.
    /// </summary>
    /// <param name="textStates">Of <see cref="EncodeText"/>.</param>
    /// <param name="mask">[batch, tokens], 1 for a token and 0 for padding; all ones when null.</param>
    /// <param name="imageStates">Of <see cref="EncodeImage"/>.</param>
    public Tensor Fuse(Tensor textStates, IndexTensor? mask, Tensor imageStates)
        => TextEncoder.Backbone.Fuse(textStates, new AttentionMask(KeyMask: mask), imageStates);

    /// <summary>Fused text states [batch, tokens, text width] to logits [batch, 2] of "no match" (0) and "match" (1), from the first token.</summary>
    public Tensor MatchingLogits(Tensor fusedStates) => _matching.Forward(fusedStates.Token(0));

    /// <summary>Scores of every word piece: fused states [..., text width] to [..., vocabulary].</summary>
    public Tensor PredictTokens(Tensor fusedStates) => TextEncoder.PredictTokens(fusedStates);

    /// <inheritdoc/>
    public EncodedImages EncodeImages(Tensor images)
    {
        Tensor states = EncodeImage(images);
        return new EncodedImages(states, ProjectImage(states));
    }

    /// <inheritdoc/>
    public EncodedTexts EncodeTexts(TextBatch text)
    {
        Tensor states = EncodeText(text);
        return new EncodedTexts(text, states, ProjectText(states));
    }

    /// <inheritdoc/>
    public Tensor Match(EncodedImages images, EncodedTexts texts)
    {
        Tensor logits = MatchingLogits(Fuse(texts.States ?? EncodeText(texts.Text), texts.Text.Mask, images.States));
        return (logits.Narrow(1, 1, 1) - logits.Narrow(1, 0, 1)).Reshape([logits.Shape[0]]);
    }

    /// <inheritdoc/>
    Tensor IGroundingModel.HeatMaps(Tensor images, TextBatch text) => AlbefGrounding.HeatMap(this, images, text);

    /// <summary>Puts the temperature back into [0.001, 0.5], as the original does before each step.</summary>
    public void ClampTemperature()
    {
        float temperature = Temperature.Value.Item(), bounded = Math.Clamp(temperature, LowestTemperature, HighestTemperature);
        if (bounded != temperature) Temperature.Value.CopyFrom([bounded]);
    }
}
