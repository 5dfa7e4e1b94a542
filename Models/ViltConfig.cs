using System.Text.Json.Nodes;
using MiniVlp.Nn;

namespace MiniVlp.Models;

/// <summary>Sizes of one ViLT; <see cref="Base32"/> is the published one (arXiv:2102.03334).</summary>
public sealed record ViltConfig
{
    /// <summary>Number of word pieces.</summary>
    public int VocabularySize { get; init; } = 30522;

    /// <summary>Number of segment kinds of the text.</summary>
    public int TokenTypes { get; init; } = 2;

    /// <summary>Number of modality kinds: text, and one for each picture that is seen at once.</summary>
    public int ModalityTypes { get; init; } = 2;

    /// <summary>Longest text in tokens.</summary>
    public int MaxPositions { get; init; } = 40;

    /// <summary>Id of the padding token, whose look-up contributes no gradient.</summary>
    public int PaddingId { get; init; }

    /// <summary>Side in pixels of the square pictures that the positions stand for; others get interpolated ones.</summary>
    public int ImageSize { get; init; } = 384;

    /// <summary>Side of a patch in pixels.</summary>
    public int PatchSize { get; init; } = 32;

    /// <summary>Colour channels.</summary>
    public int Channels { get; init; } = 3;

    /// <summary>
    /// Most patches of one picture; -1 for no limit. In training the patches that stay are drawn anew each time (the paper keeps 200), otherwise
    /// they are evenly spaced.
    /// </summary>
    public int MaxImageLength { get; init; } = -1;

    /// <summary>Pictures that <see cref="ViltForImagesAndTextClassification"/> sees together; -1 where that does not apply.</summary>
    public int NumImages { get; init; } = -1;

    /// <summary>Size of the tokens.</summary>
    public int Width { get; init; } = 768;

    /// <summary>Number of blocks.</summary>
    public int Layers { get; init; } = 12;

    /// <summary>Number of attention heads.</summary>
    public int Heads { get; init; } = 12;

    /// <summary>Size of the MLP's hidden layer.</summary>
    public int HiddenWidth { get; init; } = 3072;

    /// <summary>Of the MLP and of the masked-language head.</summary>
    public Activation Activation { get; init; } = Activation.Gelu;

    /// <summary>ε of the norms.</summary>
    public float NormEpsilon { get; init; } = 1e-12f;

    /// <summary>Whether query, key and value have biases.</summary>
    public bool AttentionBias { get; init; } = true;

    /// <summary>Rate of dropout in training.</summary>
    public float DropoutRate { get; init; }

    /// <summary>Standard deviation of new matrices; 0.02 suits a width of 768, narrow models learn sooner with more.</summary>
    public float InitializerRange { get; init; } = 0.02f;

    /// <summary>Whether the masked-language head multiplies by the word embeddings instead of a matrix of its own, as the published weights do not.</summary>
    public bool TieWordEmbeddings { get; init; }

    /// <summary>ViLT-B/32: blocks and patch projection have the paper's 87.4 M parameters; with embeddings and pooler 111.6 M.</summary>
    public static ViltConfig Base32 { get; } = new();

    /// <summary>Learns scenes of 32 px in a minute or two on two cores: 16 patches, width 64, 3 blocks, 24 text tokens of 256; 0.2 M parameters.</summary>
    public static ViltConfig Tiny { get; } = new()
    {
        VocabularySize = 256,
        MaxPositions = 24,
        ImageSize = 32,
        PatchSize = 8,
        Width = 64,
        Layers = 3,
        Heads = 2,
        HiddenWidth = 256,
        InitializerRange = 0.1f,
        TieWordEmbeddings = true,
    };

    /// <summary>Trains on a laptop: 64 px in patches of 8, width 192, 6 blocks of 3 heads, 40 text tokens of 2,000; 3 M parameters.</summary>
    public static ViltConfig Small { get; } = new()
    {
        VocabularySize = 2000,
        ImageSize = 64,
        PatchSize = 8,
        Width = 192,
        Layers = 6,
        Heads = 3,
        HiddenWidth = 768,
        InitializerRange = 0.06f,
        TieWordEmbeddings = true,
    };

    /// <summary>Patches along one side of a picture of <see cref="ImageSize"/>.</summary>
    public int GridSize => ImageSize / PatchSize;

    /// <summary>Reads a <c>vilt</c> config.</summary>
    /// <exception cref="ModelFormatException">A field has a wrong type or value.</exception>
    public static ViltConfig FromJson(ConfigJson json)
    {
        ViltConfig config = new()
        {
            VocabularySize = json.Integer("vocab_size", 30522),
            TokenTypes = json.Integer("type_vocab_size", 2, maximum: 1 << 16),
            ModalityTypes = json.Integer("modality_type_vocab_size", 2, 2, 1 << 16),
            MaxPositions = json.Integer("max_position_embeddings", 40, maximum: 1 << 20),
            PaddingId = json.Integer("pad_token_id", 0, 0),
            ImageSize = json.Integer("image_size", 384, maximum: 1 << 14),
            PatchSize = json.Integer("patch_size", 32),
            Channels = json.Integer("num_channels", 3, maximum: 64),
            MaxImageLength = json.Integer("max_image_length", -1, -1),
            NumImages = json.Integer("num_images", -1, -1, 1 << 16),
            Width = json.Integer("hidden_size", 768, maximum: 1 << 16),
            Layers = json.Integer("num_hidden_layers", 12, maximum: 1024),
            Heads = json.Integer("num_attention_heads", 12, maximum: 1024),
            HiddenWidth = json.Integer("intermediate_size", 3072, maximum: 1 << 18),
            Activation = json.Activation("hidden_act", Activation.Gelu),
            NormEpsilon = json.Number("layer_norm_eps", 1e-12f, 0, 1),
            AttentionBias = json.Flag("qkv_bias", true),
            DropoutRate = json.Number("hidden_dropout_prob", 0, 0, 0.999),
            InitializerRange = json.Number("initializer_range", 0.02f, 0, 100),
            TieWordEmbeddings = json.Flag("tie_word_embeddings", false),
        };
        if (config.Width % config.Heads != 0) throw json.Contradiction("hidden_size", $"{config.Width} is not a multiple of num_attention_heads {config.Heads}.");
        if (config.ImageSize % config.PatchSize != 0) throw json.Contradiction("image_size", $"{config.ImageSize} is not a multiple of patch_size {config.PatchSize}.");
        if (config.PaddingId >= config.VocabularySize) throw json.Contradiction("pad_token_id", $"{config.PaddingId} is not below vocab_size {config.VocabularySize}.");
        if (config.MaxImageLength == 0) throw json.Contradiction("max_image_length", "0 leaves no patch; -1 is no limit.");
        return config;
    }

    /// <summary>The fields of a <c>vilt</c> config.</summary>
    public JsonObject ToJson() => new()
    {
        ["model_type"] = "vilt",
        ["vocab_size"] = VocabularySize,
        ["type_vocab_size"] = TokenTypes,
        ["modality_type_vocab_size"] = ModalityTypes,
        ["max_position_embeddings"] = MaxPositions,
        ["pad_token_id"] = PaddingId,
        ["image_size"] = ImageSize,
        ["patch_size"] = PatchSize,
        ["num_channels"] = Channels,
        ["max_image_length"] = MaxImageLength,
        ["num_images"] = NumImages,
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
        ["tie_word_embeddings"] = TieWordEmbeddings,
    };
}
