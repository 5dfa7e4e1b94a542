using System.Text.Json.Nodes;
using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>
/// ALBEF with a classifier of two layers on the first fused token: what its fine-tuned models for one picture and for two have in common. Parameter names are
/// the original's: <c>visual_encoder</c>, <c>text_encoder</c>, <c>cls_head.0</c>, <c>cls_head.2</c>.
/// </summary>
public abstract class AlbefClassifier : PretrainedModel
{
    private readonly Linear _hidden;
    private readonly Linear _classifier;

    private protected AlbefClassifier(AlbefConfig config, BertConfig text, int classes)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(classes, 2);
        Config = config;
        Classes = classes;
        VisionEncoder = Add("visual_encoder", new VisionTransformer(config.Vision, pooler: false));
        TextEncoder = Add("text_encoder", new Bert(text, pooler: false));
        _hidden = Add("cls_head.0", new Linear(text.Width, text.Width));
        _classifier = Add("cls_head.2", new Linear(text.Width, classes));
    }

    /// <summary>Sizes of the pre-trained model.</summary>
    public AlbefConfig Config { get; }

    /// <summary>Number of classes.</summary>
    public int Classes { get; }

    /// <summary>The image tower.</summary>
    public VisionTransformer VisionEncoder { get; }

    /// <summary>The text network.</summary>
    public Bert TextEncoder { get; }

    /// <inheritdoc/>
    public override JsonObject ToConfigJson()
    {
        JsonObject json = Config.ToJson();
        json["num_labels"] = Classes;
        return json;
    }

    /// <summary>Loads a folder that <see cref="PretrainedModel.SavePretrained"/> wrote.</summary>
    private protected static T Read<T>(string folder, Device? device, int usualClasses, Func<AlbefConfig, int, T> create)
        where T : AlbefClassifier
    {
        ConfigJson json = ConfigJson.Read(folder);
        T model = create(AlbefConfig.FromJson(json), json.Integer("num_labels", usualClasses, minimum: 2, maximum: 1 << 16));
        model.LoadWeights(folder, device ?? Device.Cpu);
        return model;
    }

    /// <summary>Takes image tower and text network over from a pre-trained model; the classifier is new.</summary>
    /// <param name="pretrained">It stays as it is.</param>
    /// <param name="seed">Of the classifier's first values.</param>
    /// <param name="sourceLayer">Which layer of the pre-trained text network a layer starts from.</param>
    private protected void StartFrom(Albef pretrained, int seed, Func<int, int> sourceLayer)
    {
        Initialize(pretrained.Temperature.Value.Device, seed);
        StateDict.Copy(pretrained, this, name => AlbefNames.OfBackbone(name) is { } source && name.StartsWith("text_encoder.", StringComparison.Ordinal)
            ? AlbefNames.WithLayer(source, sourceLayer)
            : AlbefNames.OfBackbone(name));
    }

    /// <summary>Fused states [batch, tokens, width] to logits [batch, classes].</summary>
    private protected Tensor Classify(Tensor fused) => _classifier.Forward(_hidden.Forward(fused.Token(0), Activation.Relu));
}
