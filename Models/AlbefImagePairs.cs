using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>
/// ALBEF for two pictures and one sentence, as it is fine-tuned for NLVR2 (arXiv:2107.07651, section 5): each fusion layer becomes two blocks, of which the
/// first looks at the first picture and the second at the second. Both start from the pre-trained layer, and their cross-attentions share the
/// projections of keys and values, so that both pictures are seen through the same eyes. Fusing within one stream, unlike two separate passes whose
/// first tokens are concatenated, lets the sentence compare the pictures token by token ("the left one has more circles than the right one").
/// Parameter names are the original's: <c>visual_encoder</c>, <c>text_encoder</c> with layers 6, 8, 10, ... for the first picture and 7, 9, 11, ...
/// for the second, <c>cls_head.0</c>, <c>cls_head.2</c>; shared parameters stand under the name of the first.
/// </summary>
public sealed class AlbefImagePairs : AlbefClassifier
{
    private readonly int _firstFusionLayer;

    /// <summary>Declares the parts.</summary>
    /// <param name="config">Sizes of the pre-trained model.</param>
    /// <param name="classes">Number of classes: 2 for true and false.</param>
    /// <exception cref="ArgumentException">The text network has no fusion layer.</exception>
    /// <exception cref="ArgumentOutOfRangeException">There are fewer than two classes.</exception>
    public AlbefImagePairs(AlbefConfig config, int classes = 2)
        : base(config, Doubled(config.FusionText), classes)
        => _firstFusionLayer = TextEncoder.Config.FusionLayer!.Value;

    /// <inheritdoc/>
    public override string Architecture => "AlbefForImagePairs";

    /// <summary>Loads a folder that <see cref="PretrainedModel.SavePretrained"/> wrote.</summary>
    /// <param name="folder">With config.json and model.safetensors.</param>
    /// <param name="device">Where the parameters are kept; the CPU when null.</param>
    public static AlbefImagePairs FromPretrained(string folder, Device? device = null) => Read(folder, device, 2, (config, classes) => new AlbefImagePairs(config, classes));

    /// <summary>A model that starts from a pre-trained one: both blocks of a layer from that layer; the classifier is new.</summary>
    /// <param name="pretrained">The pre-trained model; it stays as it is.</param>
    /// <param name="classes">Number of classes.</param>
    /// <param name="seed">Of the classifier's first values.</param>
    public static AlbefImagePairs From(Albef pretrained, int classes = 2, int seed = 0)
    {
        AlbefImagePairs model = new(pretrained.Config, classes);
        int first = model._firstFusionLayer;
        model.StartFrom(pretrained, seed, layer => layer < first ? layer : first + ((layer - first) / 2));
        return model;
    }

    /// <summary>Checkpoints of the original hold the shared projections under both names.</summary>
    protected override bool IgnoresKey(string key)
    {
        if (base.IgnoresKey(key)) return true;
        bool isContext = key.Contains("crossattention.self.key", StringComparison.Ordinal) || key.Contains("crossattention.self.value", StringComparison.Ordinal);
        bool isSecond = false;
        if (isContext) AlbefNames.WithLayer(key, layer =>
        {
            isSecond = layer >= _firstFusionLayer && layer < TextEncoder.Config.Layers && (layer - _firstFusionLayer) % 2 == 1;
            return layer;
        });
        return isSecond;
    }

    /// <summary>Two pictures [batch, channels, height, width] each and texts [batch, tokens] to logits [batch, classes].</summary>
    /// <param name="first">The first picture of each pair.</param>
    /// <param name="second">The second.</param>
    /// <param name="text">What is said about both.</param>
    /// <exception cref="ShapeException">The pictures are shaped differently.</exception>
    public Tensor Forward(Tensor first, Tensor second, TextBatch text)
    {
        Tensor.RequireSameShape("AlbefImagePairs", first, second, nameof(first), nameof(second));
        AttentionMask mask = new(KeyMask: text.Mask);
        Tensor[] pictures = [VisionEncoder.Forward(first), VisionEncoder.Forward(second)];
        Tensor x = TextEncoder.Encode(text);
        for (int i = _firstFusionLayer; i < TextEncoder.Config.Layers; i++)
            x = TextEncoder.Encoder.Forward(x, mask, context: pictures[(i - _firstFusionLayer) % 2], blocks: i..(i + 1));
        return Classify(x);
    }

    /// <summary>Mean cross-entropy of the logits against labels [batch].</summary>
    public Tensor Loss(Tensor first, Tensor second, TextBatch text, IndexTensor labels) => Forward(first, second, text).CrossEntropy(labels);

    private static BertConfig Doubled(BertConfig text) => text with { Layers = (2 * text.Layers) - text.FusionLayer!.Value, FusionPairs = true };
}
