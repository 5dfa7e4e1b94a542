using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>
/// ALBEF with a classifier on the first fused token, as it is fine-tuned for visual entailment: does a picture entail a sentence, contradict it, or leave
/// it open (SNLI-VE; arXiv:2107.07651, section 5)? Parameter names are the original's: <c>visual_encoder</c>, <c>text_encoder</c>, <c>cls_head.0</c>, <c>cls_head.2</c>.
/// </summary>
public sealed class AlbefEntailment : AlbefClassifier, IEntailmentModel
{
    /// <summary>Declares the parts.</summary>
    /// <param name="config">Sizes.</param>
    /// <param name="classes">Number of classes; the original's three are contradiction (0), neutral (1) and entailment (2).</param>
    /// <exception cref="ArgumentException">The text network has no fusion layer.</exception>
    /// <exception cref="ArgumentOutOfRangeException">There are fewer than two classes.</exception>
    public AlbefEntailment(AlbefConfig config, int classes = 3)
        : base(config, config.FusionText, classes)
    {
    }

    /// <inheritdoc/>
    public override string Architecture => "AlbefForVisualEntailment";

    /// <summary>Loads a folder that <see cref="PretrainedModel.SavePretrained"/> wrote.</summary>
    /// <param name="folder">With config.json and model.safetensors.</param>
    /// <param name="device">Where the parameters are kept; the CPU when null.</param>
    public static AlbefEntailment FromPretrained(string folder, Device? device = null) => Read(folder, device, 3, (config, classes) => new AlbefEntailment(config, classes));

    /// <summary>A model that starts from a pre-trained one; the classifier is new.</summary>
    /// <param name="pretrained">The pre-trained model; it stays as it is.</param>
    /// <param name="classes">Number of classes.</param>
    /// <param name="seed">Of the classifier's first values.</param>
    public static AlbefEntailment From(Albef pretrained, int classes = 3, int seed = 0)
    {
        AlbefEntailment model = new(pretrained.Config, classes);
        model.StartFrom(pretrained, seed, layer => layer);
        return model;
    }

    /// <summary>images [batch, channels, height, width] and texts [batch, tokens] to logits [batch, classes].</summary>
    public Tensor Forward(Tensor images, TextBatch text)
        => Classify(TextEncoder.Fuse(TextEncoder.Encode(text), new AttentionMask(KeyMask: text.Mask), VisionEncoder.Forward(images)));

    /// <inheritdoc/>
    /// <exception cref="InvalidOperationException">The model has other classes than contradiction, neutral and entailment.</exception>
    Tensor IEntailmentModel.EntailmentLogits(Tensor images, TextBatch text) => Classes == 3
        ? Forward(images, text)
        : throw new InvalidOperationException($"AlbefEntailment: {Classes} classes are not contradiction, neutral and entailment.");

    /// <summary>Mean cross-entropy of the logits against labels [batch].</summary>
    public Tensor Loss(Tensor images, TextBatch text, IndexTensor labels) => Forward(images, text).CrossEntropy(labels);
}

/// <summary>Where the parts of a model for a task come from in a pre-trained ALBEF.</summary>
internal static class AlbefNames
{
    private const string TextEncoder = "text_encoder.";

    /// <summary>Image tower and text network; null for what is new.</summary>
    public static string? OfBackbone(string name)
    {
        if (name.StartsWith("visual_encoder.", StringComparison.Ordinal)) return name;
        return name.StartsWith(TextEncoder, StringComparison.Ordinal) ? "text_encoder.bert." + name[TextEncoder.Length..] : null;
    }

    /// <summary>The name with another number of the layer behind <c>encoder.layer.</c>; unchanged when it is no layer's.</summary>
    public static string WithLayer(string name, Func<int, int> layerOf)
    {
        const string Layer = "encoder.layer.";
        int start = name.IndexOf(Layer, StringComparison.Ordinal);
        if (start < 0) return name;
        start += Layer.Length;
        int end = name.IndexOf('.', start);
        if (end < 0 || !int.TryParse(name.AsSpan(start, end - start), System.Globalization.CultureInfo.InvariantCulture, out int number)) return name;
        int layer = layerOf(number);
        return string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{name[..start]}{layer}{name[end..]}");
    }
}
