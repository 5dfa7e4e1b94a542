using System.Text.Json.Nodes;
using MiniVlp.Models.Generation;
using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>
/// BLIP as a captioner: an image encoder, and a text decoder that attends to its tokens (Li et al., arXiv:2201.12086). Parameter names are those
/// of <c>BlipForConditionalGeneration</c>.
/// </summary>
public sealed class BlipCaptioning : PretrainedModel, ICaptioner
{
    /// <summary>Declares the parts.</summary>
    /// <param name="config">Sizes.</param>
    public BlipCaptioning(BlipConfig config)
        : this(config, new BlipVisionEncoder(config.Vision), new BlipTextDecoder(config))
    {
    }

    /// <summary>A captioner of parts that belong to another model.</summary>
    internal BlipCaptioning(BlipConfig config, BlipVisionEncoder visionEncoder, BlipTextDecoder textDecoder)
    {
        Config = config;
        VisionEncoder = Add("vision_model", visionEncoder);
        TextDecoder = Add("text_decoder", textDecoder);
    }

    /// <summary>Sizes.</summary>
    public BlipConfig Config { get; }

    /// <summary>The image encoder.</summary>
    public BlipVisionEncoder VisionEncoder { get; }

    /// <summary>The text decoder.</summary>
    public BlipTextDecoder TextDecoder { get; }

    /// <inheritdoc/>
    public override string Architecture => "BlipForConditionalGeneration";

    /// <summary>Loads a Hugging Face folder.</summary>
    /// <param name="folder">With config.json and model.safetensors.</param>
    /// <param name="device">Where the parameters are kept; the CPU when null.</param>
    public static BlipCaptioning FromPretrained(string folder, Device? device = null)
    {
        BlipCaptioning model = new(BlipConfig.FromJson(ConfigJson.Read(folder)));
        model.LoadWeights(folder, device ?? Device.Cpu);
        return model;
    }

    /// <inheritdoc/>
    public override JsonObject ToConfigJson() => Config.ToJson();

    /// <summary>images [batch, 3, size, size] and texts [batch, tokens] to scores of the next word piece [batch, tokens, vocabulary].</summary>
    /// <param name="images">Normalised pixels.</param>
    /// <param name="text">Ids as they are decoded, starting with [DEC], and mask.</param>
    public Tensor Forward(Tensor images, TextBatch text) => TextDecoder.Forward(text, VisionEncoder.Forward(images));

    /// <summary>
    /// Mean cross-entropy of the captions' word pieces, with <see cref="BlipTextConfig.LabelSmoothing"/>.
    /// </summary>
    /// <param name="images">[batch, 3, size, size].</param>
    /// <param name="text">Captions as a tokenizer writes them: the first token, which starts every text, gives its place to [DEC]; padding does not count.</param>
    public Tensor Loss(Tensor images, TextBatch text)
    {
        (TextBatch decoded, IndexTensor labels) = BlipTokens.ForDecoding(text, Config.Text);
        return TextDecoder.Loss(Forward(images, decoded), labels);
    }

    /// <summary>The decoder with these images to look at, for <see cref="TextGenerator"/>.</summary>
    /// <param name="imageTokens">[batch, 1 + patches, width] of the image encoder; row i for row i of the prompt.</param>
    public ICausalDecoder Decode(Tensor imageTokens) => TextDecoder.Looking(imageTokens, null);

    /// <summary>Writes captions.</summary>
    /// <param name="images">[batch, 3, size, size].</param>
    /// <param name="options">How; greedy search when null. Without stop tokens the config's end token is one, and its padding token pads.</param>
    /// <param name="prompt">
    /// What the captions start with, [batch, tokens] as a tokenizer writes it: [DEC] takes the place of the first token, and the last one, which ends
    /// a text, is left out. Null for nothing.
    /// </param>
    /// <exception cref="ShapeException">There is not one prompt of at least two tokens for each image.</exception>
    public GenerationResult Caption(Tensor images, GenerationOptions? options = null, IndexTensor? prompt = null)
    {
        using TensorScope scope = new();
        int batch = images.Shape[0];
        if (prompt is not null && (prompt.Shape.Rank != 2 || prompt.Shape[0] != batch || prompt.Shape[1] < 2))
            throw new ShapeException($"BlipCaptioning: the prompt must be [batch, tokens] with one row for each of the {batch} images and at least two tokens, start and end, found {prompt.Shape}.");
        IndexTensor start = BlipTokens.Start(prompt, batch, Config.Text, images.Device);
        return TextGenerator.Generate(Decode(VisionEncoder.Forward(images)), start, BlipTokens.Complete(options, Config.Text));
    }

    /// <summary>Writes captions as texts.</summary>
    /// <param name="images">[batch, 3, size, size].</param>
    /// <param name="decode">Turns token ids into text, such as a tokenizer's Decode; special tokens are among them.</param>
    /// <param name="options">How; greedy search when null.</param>
    /// <returns>One text for each image, or <see cref="GenerationOptions.ReturnSequences"/> of them.</returns>
    public IReadOnlyList<string> Caption(Tensor images, Func<int[], string> decode, GenerationOptions? options = null)
        => [.. Caption(images, options).Texts.Select(text => decode([.. text.Tokens]))];
}

/// <summary>BLIP's rules on the first and last tokens of a text.</summary>
internal static class BlipTokens
{
    /// <summary>The text with another token in the first place; itself when that is null.</summary>
    public static TextBatch WithFirst(TextBatch text, int? first)
    {
        if (first is not { } id) return text;
        Shape shape = text.TokenIds.Shape;
        int[] ids = text.TokenIds.ToArray();
        for (int row = 0; row < shape[0]; row++) ids[row * shape[1]] = id;
        return text with { TokenIds = IndexTensor.FromArray(ids, shape, text.TokenIds.Device) };
    }

    /// <summary>The text starting with [DEC], and its labels: -100 for padding.</summary>
    public static (TextBatch Text, IndexTensor Labels) ForDecoding(TextBatch text, BlipTextConfig config)
    {
        TextBatch decoded = WithFirst(text, config.DecodeId);
        int[] labels = decoded.TokenIds.ToArray();
        int[]? mask = text.Mask?.ToArray();
        for (int i = 0; i < labels.Length; i++)
            if (labels[i] == config.PaddingId || mask?[i] == 0) labels[i] = -100;
        return (decoded, IndexTensor.FromArray(labels, decoded.TokenIds.Shape, decoded.TokenIds.Device));
    }

    /// <summary>What is decoded from: [DEC], then the prompt without its first and last token.</summary>
    public static IndexTensor Start(IndexTensor? prompt, int batch, BlipTextConfig config, Device device)
    {
        int tokens = prompt is null ? 1 : prompt.Shape[1] - 1;
        int[] written = prompt?.ToArray() ?? [], start = new int[batch * tokens];
        for (int i = 0; i < start.Length; i++) start[i] = i % tokens == 0 ? config.DecodeId : written[(i / tokens * (tokens + 1)) + (i % tokens)];
        return IndexTensor.FromArray(start, [batch, tokens], device);
    }

    /// <summary>The options with this model's end and padding, unless they name an end themselves.</summary>
    public static GenerationOptions Complete(GenerationOptions? options, BlipTextConfig config)
        => (options ??= new GenerationOptions()).StopTokens.Count > 0 ? options : options with { StopTokens = [config.EndId], PadToken = config.PaddingId };
}
