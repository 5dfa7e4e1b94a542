using System.Text.Json.Nodes;

namespace MiniVlp.Models;

/// <summary>
/// Sizes of one ALBEF (Li et al., arXiv:2107.07651): an image tower, and a text network whose first layers read text alone and whose last
/// ones also look at the image.
/// </summary>
/// <param name="Vision">The image tower; its norms have ε = 1e-6.</param>
/// <param name="Text">The text network; <see cref="BertConfig.FusionLayer"/> is the first layer with a cross-attention.</param>
/// <param name="ProjectionSize">Size of the space in which images and texts are compared.</param>
/// <param name="InitialTemperature">Initial value of the learned temperature τ.</param>
public sealed record AlbefConfig(VisionTransformerConfig Vision, BertConfig Text, int ProjectionSize = 256, float InitialTemperature = 0.07f)
{
    /// <summary>The published model: ViT-B/16 on 256 pixels and BERT-Base split into 6 layers of text and 6 of fusion; 85.8 M + 123.7 M parameters.</summary>
    public static AlbefConfig Base { get; } = new(
        VisionTransformerConfig.Base16 with { ImageSize = 256, NormEpsilon = 1e-6f },
        BertConfig.Base with { FusionLayer = 6 });

    /// <summary>For 64-pixel scenes, minutes on two cores: width 128, 3 image layers, 2 + 2 text layers, 64 patches. Set the vocabulary to the tokenizer's.</summary>
    public static AlbefConfig Small { get; } = new(
        new VisionTransformerConfig { ImageSize = 64, PatchSize = 8, Width = 128, Layers = 3, Heads = 4, HiddenWidth = 512, NormEpsilon = 1e-6f, InitializerRange = 0.05f },
        new BertConfig { VocabularySize = 512, Width = 128, Layers = 4, Heads = 4, HiddenWidth = 512, MaxPositions = 64, DropoutRate = 0, InitializerRange = 0.05f, FusionLayer = 2 },
        ProjectionSize: 128);

    /// <summary>For 32-pixel scenes, about a minute on two cores: width 64, 2 image layers, 2 + 2 text layers, 16 patches. Set the vocabulary to the tokenizer's.</summary>
    public static AlbefConfig Tiny { get; } = new(
        new VisionTransformerConfig { ImageSize = 32, PatchSize = 8, Width = 64, Layers = 2, Heads = 2, HiddenWidth = 256, NormEpsilon = 1e-6f, InitializerRange = 0.07f },
        new BertConfig { VocabularySize = 256, Width = 64, Layers = 4, Heads = 2, HiddenWidth = 256, MaxPositions = 48, DropoutRate = 0, InitializerRange = 0.07f, FusionLayer = 2 },
        ProjectionSize: 64);

    /// <summary>The text network as it has to be: its cross-attention takes image tokens.</summary>
    internal BertConfig FusionText
    {
        get
        {
            if (Text.FusionLayer is not { } first || first < 0 || first >= Text.Layers)
                throw new ArgumentException($"AlbefConfig: Text.FusionLayer must be a layer from 0 to {Text.Layers - 1}, found {Text.FusionLayer?.ToString(System.Globalization.CultureInfo.InvariantCulture) ?? "none"}.");
            return Text with { ContextWidth = Vision.Width };
        }
    }

    /// <summary>Reads an <c>albef</c> config as <see cref="ToJson"/> writes it.</summary>
    /// <exception cref="ModelFormatException">A field has a wrong type or value.</exception>
    public static AlbefConfig FromJson(ConfigJson json)
    {
        if (json.Text("model_type", "albef") is not "albef") throw json.Contradiction("model_type", $"expected 'albef', found '{json.Text("model_type")}'.");
        ConfigJson text = json.Object("text_config");
        AlbefConfig config = new(
            VisionTransformerConfig.FromJson(json.Object("vision_config")),
            BertConfig.FromJson(text),
            json.Integer("projection_dim", 256, maximum: 1 << 16),
            json.Number("temperature_init_value", 0.07f, 1e-6, 1e6));
        if (config.Text.FusionLayer is null) throw text.Contradiction("fusion_layer", "the first layer with a cross-attention is missing.");
        if (config.Text.ContextWidth is { } width && width != config.Vision.Width)
            throw text.Contradiction("encoder_width", $"{width} is not the hidden_size {config.Vision.Width} of vision_config.");
        return config;
    }

    /// <summary>The config as this library writes it; there is no class for ALBEF in <c>transformers</c>.</summary>
    public JsonObject ToJson() => new()
    {
        ["model_type"] = "albef",
        ["projection_dim"] = ProjectionSize,
        ["temperature_init_value"] = InitialTemperature,
        ["vision_config"] = Vision.ToJson(),
        ["text_config"] = FusionText.ToJson(),
    };
}
