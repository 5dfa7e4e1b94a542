using System.Text.Json.Nodes;
using MiniVlp.Nn.Pretraining;

namespace MiniVlp.Models;

/// <summary>Sizes of one masked autoencoder; Base, Large and Huge are the published ones (arXiv:2111.06377, section 4 and appendix A.1).</summary>
public sealed record MaeConfig
{
    /// <summary>The encoder, a vision transformer with fixed positions; its width is a multiple of four.</summary>
    public VisionTransformerConfig Encoder { get; init; } = VisionTransformerConfig.Base16 with { NormEpsilon = 1e-6f };

    /// <summary>Size of the decoder's tokens, a multiple of four.</summary>
    public int DecoderWidth { get; init; } = 512;

    /// <summary>Number of the decoder's blocks.</summary>
    public int DecoderLayers { get; init; } = 8;

    /// <summary>Number of the decoder's attention heads.</summary>
    public int DecoderHeads { get; init; } = 16;

    /// <summary>Size of the hidden layer of the decoder's MLP.</summary>
    public int DecoderHiddenWidth { get; init; } = 2048;

    /// <summary>Share of the patches that the encoder does not see, in [0, 1); ⌊patches · (1 - ratio)⌋ are kept, at least one.</summary>
    public double MaskRatio { get; init; } = 0.75;

    /// <summary>
    /// Where the removed patches lie: anywhere, in blocks, or all but one of each square, which fits certain ratios alone (section 4.1, mask sampling). It is
    /// written to a config under <c>mask_pattern</c>, a field of this library, when it is not the published one.
    /// </summary>
    public PatchPattern MaskPattern { get; init; } = PatchPattern.Random;

    /// <summary>Whether the decoder predicts pixels normalised within each patch, which learns better features, instead of the pixels.</summary>
    public bool NormalizesPixels { get; init; } = true;

    /// <summary>Patches that the encoder sees, ⌊patches · (1 - ratio)⌋.</summary>
    public int KeptCount => (int)(Encoder.PatchCount * (1 - MaskRatio));

    /// <summary>Numbers in a patch, side · side · channels.</summary>
    public int PatchLength => Encoder.PatchSize * Encoder.PatchSize * Encoder.Channels;

    /// <summary>MAE ViT-B/16: 112 M parameters, of which the encoder has 86 M.</summary>
    public static MaeConfig Base16 { get; } = new();

    /// <summary>MAE ViT-L/16: 330 M parameters, of which the encoder has 303 M.</summary>
    public static MaeConfig Large16 { get; } = new() { Encoder = VisionTransformerConfig.Large16 with { NormEpsilon = 1e-6f } };

    /// <summary>MAE ViT-H/14: 657 M parameters, of which the encoder has 631 M.</summary>
    public static MaeConfig Huge14 { get; } = new() { Encoder = VisionTransformerConfig.Huge14 with { NormEpsilon = 1e-6f } };

    /// <summary>For pictures of 32 pixels, 64 patches of 4: 0.6 M parameters.</summary>
    public static MaeConfig Tiny { get; } = new()
    {
        Encoder = new VisionTransformerConfig { ImageSize = 32, PatchSize = 4, Width = 96, Layers = 4, Heads = 3, HiddenWidth = 384, NormEpsilon = 1e-6f },
        DecoderWidth = 64,
        DecoderLayers = 2,
        DecoderHeads = 2,
        DecoderHiddenWidth = 256,
    };

    /// <summary>For pictures of 64 pixels, 64 patches of 8: 3.2 M parameters.</summary>
    public static MaeConfig Small { get; } = new()
    {
        Encoder = new VisionTransformerConfig { ImageSize = 64, PatchSize = 8, Width = 192, Layers = 6, Heads = 6, HiddenWidth = 768, NormEpsilon = 1e-6f },
        DecoderWidth = 128,
        DecoderLayers = 2,
        DecoderHeads = 4,
        DecoderHiddenWidth = 512,
    };

    /// <summary>Reads the fields of a <c>vit_mae</c> config.</summary>
    /// <exception cref="ModelFormatException">A field has a wrong type or value.</exception>
    public static MaeConfig FromJson(ConfigJson json)
    {
        MaeConfig config = new()
        {
            Encoder = VisionTransformerConfig.FromJson(json),
            DecoderWidth = json.Integer("decoder_hidden_size", 512, maximum: 1 << 16),
            DecoderLayers = json.Integer("decoder_num_hidden_layers", 8, maximum: 1024),
            DecoderHeads = json.Integer("decoder_num_attention_heads", 16, maximum: 1024),
            DecoderHiddenWidth = json.Integer("decoder_intermediate_size", 2048, maximum: 1 << 18),
            MaskRatio = json.Real("mask_ratio", 0.75, 0, 1),
            MaskPattern = PatternOf(json),
            NormalizesPixels = json.Flag("norm_pix_loss", false),
        };
        (string field, string rule) = config.Contradiction();
        return rule.Length == 0 ? config : throw json.Contradiction(field, rule);
    }

    /// <summary>The fields of a <c>vit_mae</c> config.</summary>
    public JsonObject ToJson()
    {
        JsonObject json = Encoder.ToJson();
        json["model_type"] = "vit_mae";
        json["decoder_hidden_size"] = DecoderWidth;
        json["decoder_num_hidden_layers"] = DecoderLayers;
        json["decoder_num_attention_heads"] = DecoderHeads;
        json["decoder_intermediate_size"] = DecoderHiddenWidth;
        json["mask_ratio"] = MaskRatio;
        json["norm_pix_loss"] = NormalizesPixels;
        if (MaskPattern != PatchPattern.Random) json["mask_pattern"] = MaskPattern.ToString();
        return json;
    }

    /// <summary>The field that contradicts another, and the rule that it breaks; an empty rule when all fit.</summary>
    internal (string Field, string Rule) Contradiction()
    {
        if (Encoder.Width % 4 != 0) return ("hidden_size", $"{Encoder.Width} is not a multiple of 4, which sine-cosine positions need.");
        if (DecoderWidth % 4 != 0) return ("decoder_hidden_size", $"{DecoderWidth} is not a multiple of 4, which sine-cosine positions need.");
        if (DecoderWidth % DecoderHeads != 0) return ("decoder_hidden_size", $"{DecoderWidth} is not a multiple of decoder_num_attention_heads {DecoderHeads}.");
        if (!(MaskRatio is >= 0 and < 1) || KeptCount < 1) return ("mask_ratio", $"{MaskRatio} leaves none of the {Encoder.PatchCount} patches visible; an encoder must see at least one.");
        return (string.Empty, string.Empty);
    }

    private static PatchPattern PatternOf(ConfigJson json)
    {
        string name = json.Text("mask_pattern", nameof(PatchPattern.Random));
        return Enum.GetNames<PatchPattern>().Contains(name, StringComparer.Ordinal)
            ? Enum.Parse<PatchPattern>(name)
            : throw json.Contradiction("mask_pattern", $"'{name}' is none of {string.Join(", ", Enum.GetNames<PatchPattern>())}.");
    }
}
