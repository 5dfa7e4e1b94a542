using System.Text.Json.Nodes;
using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>What a <see cref="Vilt"/> makes of texts and pictures.</summary>
/// <param name="Tokens">States after the final norm [batch, text tokens + 1 + patches, width]: the text, the picture's class token, its patches.</param>
/// <param name="TextTokens">Number of text tokens.</param>
/// <param name="Mask">[batch, text tokens + 1 + patches], 0 where there is padding; null when there is none.</param>
/// <param name="PatchMask">[batch, patches], 0 where there is padding; null when there is none.</param>
public readonly record struct ViltStates(Tensor Tokens, int TextTokens, IndexTensor? Mask, IndexTensor? PatchMask)
{
    /// <summary>The text [batch, text tokens, width].</summary>
    public Tensor Text => Tokens.Narrow(1, 0, TextTokens);

    /// <summary>The patches [batch, patches, width], without the picture's class token.</summary>
    public Tensor Patches => Tokens.Narrow(1, TextTokens + 1, Tokens.Shape[1] - TextTokens - 1);
}

/// <summary>
/// ViLT: one transformer over word pieces and linearly projected patches, without a visual backbone (Kim et al., arXiv:2102.03334). Parameter
/// names are those of <c>ViltModel</c>. Pictures may be of different sizes; patches keep their natural order, while transformers shuffles them.
/// </summary>
public sealed class Vilt : PretrainedModel
{
    private readonly Parameter _classToken;
    private readonly Parameter _imagePositions;
    private readonly Embedding _textPositions;
    private readonly Embedding _tokenTypes;
    private readonly LayerNorm _textNorm;
    private readonly PatchEmbedding _patches;
    private readonly Embedding _modalities;
    private readonly Dropout _dropout;
    private readonly LayerNorm _norm;
    private readonly Linear? _pooler;

    /// <summary>Declares the parts.</summary>
    /// <param name="config">Sizes.</param>
    /// <param name="pooler">Whether there is a pooler, tanh of a linear layer on the text's first token.</param>
    public Vilt(ViltConfig config, bool pooler = true)
    {
        Config = config;
        Initializer initializer = Initializers.Normal(config.InitializerRange);
        _classToken = Add("embeddings.cls_token", [1, 1, config.Width], initializer);
        _imagePositions = Add("embeddings.position_embeddings", [1, (config.GridSize * config.GridSize) + 1, config.Width], initializer);
        WordEmbeddings = Add("embeddings.text_embeddings.word_embeddings", new Embedding(config.VocabularySize, config.Width, config.PaddingId, initializer));
        _textPositions = Add("embeddings.text_embeddings.position_embeddings", new Embedding(config.MaxPositions, config.Width, initializer: initializer));
        _tokenTypes = Add("embeddings.text_embeddings.token_type_embeddings", new Embedding(config.TokenTypes, config.Width, initializer: initializer));
        _textNorm = Add("embeddings.text_embeddings.LayerNorm", new LayerNorm(config.Width, config.NormEpsilon));
        _patches = Add("embeddings.patch_embeddings.projection", new PatchEmbedding(config.PatchSize, config.Width, config.Channels, initializer: initializer));
        _modalities = Add("embeddings.token_type_embeddings", new Embedding(config.ModalityTypes, config.Width, initializer: initializer));
        _dropout = Add(string.Empty, new Dropout(config.DropoutRate));
        Encoder = Add(string.Empty, new Transformer("encoder.layer", config.Layers, new TransformerBlockOptions
        {
            Width = config.Width,
            Heads = config.Heads,
            HiddenWidth = config.HiddenWidth,
            Activation = config.Activation,
            Names = TransformerBlockNames.Vit,
            NormEpsilon = config.NormEpsilon,
            AttentionBias = config.AttentionBias,
            DropoutRate = config.DropoutRate,
            AttentionInitializer = initializer,
            HiddenInitializer = initializer,
            ResidualInitializer = initializer,
        }));
        _norm = Add("layernorm", new LayerNorm(config.Width, config.NormEpsilon));
        _pooler = pooler ? Add("pooler.dense", new Linear(config.Width, config.Width, initializer: initializer)) : null;
    }

    /// <summary>Sizes.</summary>
    public ViltConfig Config { get; }

    /// <summary>The word piece table, which a masked-language head may share.</summary>
    public Embedding WordEmbeddings { get; }

    /// <summary>The stack of blocks.</summary>
    public Transformer Encoder { get; }

    /// <inheritdoc/>
    public override string Architecture => "ViltModel";

    /// <inheritdoc/>
    protected override string BackbonePrefix => "vilt";

    /// <summary>Loads a Hugging Face folder, of the bare model or of one with a head.</summary>
    /// <param name="folder">With config.json and model.safetensors.</param>
    /// <param name="device">Where the parameters are kept; the CPU when null.</param>
    public static Vilt FromPretrained(string folder, Device? device = null)
    {
        ConfigJson json = ConfigJson.Read(folder);
        Vilt model = new(ViltConfig.FromJson(json), pooler: json.FirstText("architectures") is not "ViltForTokenClassification");
        model.LoadWeights(folder, device ?? Device.Cpu);
        return model;
    }

    /// <inheritdoc/>
    public override JsonObject ToConfigJson() => Config.ToJson();

    /// <summary>Texts [batch, tokens] and pictures [batch, channels, height, width], row by row, to the states of both.</summary>
    /// <param name="text">Ids, mask and segments.</param>
    /// <param name="images">Pixels whose height and width are multiples of the patch size.</param>
    /// <param name="imageType">Modality of the pictures: 1, and counting on where a model sees several together.</param>
    /// <param name="hiddenStates">When given, receives the input of every block and the output of the last, before the final norm.</param>
    /// <exception cref="ShapeException">Texts and pictures are not as many, a text is too long, or the pictures are not whole patches.</exception>
    /// <exception cref="ArgumentException">A pixel mask is not a rectangle in the upper left corner.</exception>
    public ViltStates Forward(TextBatch text, ImageBatch images, int imageType = 1, ICollection<Tensor>? hiddenStates = null)
    {
        Check(text, images, imageType);
        int tokens = text.TokenIds.Shape[1];
        PatchSelection selection = PatchSelection.Create(images.Pixels.Shape, images.Mask?.ToArray(), Config.PatchSize, Math.Max(0, Config.MaxImageLength), IsTraining ? Generator.Current : null);
        Tensor words = EmbedText(text) + Modality(0), picture = EmbedImages(images.Pixels, selection) + Modality(imageType);
        (IndexTensor? mask, IndexTensor? patchMask) = Masks(text, selection, words.Device);
        Tensor states = Encoder.Forward(Tensor.Concatenate(1, words, picture), new AttentionMask(KeyMask: mask), hiddenStates);
        return new ViltStates(_norm.Forward(states), tokens, mask, patchMask);
    }

    /// <summary>States to tanh(dense(first text token)) [batch, width], what the heads for whole pairs read.</summary>
    /// <exception cref="InvalidOperationException">The model was made without a pooler.</exception>
    public Tensor Pool(ViltStates states) => _pooler is null
        ? throw new InvalidOperationException("This ViLT has no pooler.")
        : _pooler.Forward(states.Tokens.Token(0), Activation.Tanh);

    private void Check(TextBatch text, ImageBatch images, int imageType)
    {
        Shape ids = text.TokenIds.Shape, pixels = images.Pixels.Shape;
        if (ids.Rank != 2 || ids[1] < 1 || ids[1] > Config.MaxPositions) throw new ShapeException($"Vilt: token ids must be [batch, tokens] with 1 to {Config.MaxPositions} tokens, found {ids}.");
        if (pixels.Rank != 4 || pixels[1] != Config.Channels || pixels[2] < Config.PatchSize || pixels[3] < Config.PatchSize || pixels[2] % Config.PatchSize != 0 || pixels[3] % Config.PatchSize != 0)
            throw new ShapeException($"Vilt: pixels must be [batch, {Config.Channels}, height, width] with sides that are multiples of {Config.PatchSize}, found {pixels}.");
        if (ids[0] != pixels[0]) throw new ShapeException($"Vilt: there must be one picture for each text, found token ids {ids} and pixels {pixels}.");
        if (text.Mask is { } mask && mask.Shape != ids) throw new ShapeException($"Vilt: the text's mask must be shaped as its ids {ids}, found {mask.Shape}.");
        if (images.Mask is { } frame && frame.Shape != [pixels[0], pixels[2], pixels[3]]) throw new ShapeException($"Vilt: the pixel mask must be [batch, height, width] of the pixels {pixels}, found {frame.Shape}.");
        if (imageType < 1 || imageType >= Config.ModalityTypes) throw new ArgumentOutOfRangeException(nameof(imageType), imageType, $"Vilt: the modality of a picture must be 1 .. {Config.ModalityTypes - 1}.");
    }

    private Tensor EmbedText(TextBatch text)
    {
        Tensor types = text.TokenTypes is { } ids ? _tokenTypes.Forward(ids) : _tokenTypes.Weight.Value.Slice(0, 1).Reshape([Config.Width]);
        Tensor x = WordEmbeddings.Forward(text.TokenIds) + types + _textPositions.Weight.Value.Slice(0, text.TokenIds.Shape[1]);
        return _dropout.Forward(_textNorm.Forward(x));
    }

    /// <summary>pixels to [batch, 1 + patches, width].</summary>
    private Tensor EmbedImages(Tensor pixels, PatchSelection selection)
    {
        int batch = pixels.Shape[0];
        Tensor patches = _patches.Forward(pixels), classToken = _classToken.Value.Reshape([Config.Width]);
        if (selection.IsWholeFrame) return _dropout.Forward(patches.Prepend(classToken) + PositionTable(selection));
        IndexTensor numbers = IndexTensor.FromArray(selection.Patches, [batch, selection.Count], pixels.Device);
        IndexTensor positions = IndexTensor.FromArray(selection.Positions, [batch, 1 + selection.Count], pixels.Device);
        Tensor table = Tensor.Concatenate(0, PositionTable(selection), Tensor.Zeros([1, Config.Width], pixels.Device));
        return _dropout.Forward(patches.GatherTokens(numbers).Prepend(classToken) + table.GatherRows(positions));
    }

    /// <summary>The position of the class token, then the learned grid resized to each size in patches that occurs: [1 + Σ rows · columns, width].</summary>
    private Tensor PositionTable(PatchSelection selection)
    {
        int width = Config.Width, side = Config.GridSize;
        Tensor learned = _imagePositions.Value.Reshape([(side * side) + 1, width]);
        if (selection.Grids is [var only] && only == (side, side)) return learned;
        Tensor grid = learned.Slice(1, side * side);
        Tensor image = grid.Transpose().Reshape([1, width, side, side]);
        Tensor[] resized = [.. selection.Grids.Select(size => size == (side, side)
            ? grid
            : image.ResizeBilinear(size.Rows, size.Columns, alignCorners: true).Reshape([width, size.Rows * size.Columns]).Transpose())];
        return Tensor.Concatenate(0, [learned.Slice(0, 1), .. resized]);
    }

    private Tensor Modality(int type) => _modalities.Weight.Value.Slice(type, 1).Reshape([Config.Width]);

    /// <summary>Masks of the whole sequence and of the patches; both null when nothing is padding.</summary>
    private static (IndexTensor? Sequence, IndexTensor? Patches) Masks(TextBatch text, PatchSelection selection, Device device)
    {
        if (text.Mask is null && selection.IsWholeFrame) return (null, null);
        int batch = text.TokenIds.Shape[0], tokens = text.TokenIds.Shape[1], count = selection.Count, length = tokens + 1 + count;
        int[] mask = new int[batch * length];
        Array.Fill(mask, 1);
        int[]? words = text.Mask?.ToArray();
        for (int i = 0; i < batch; i++)
        {
            words?.AsSpan(i * tokens, tokens).CopyTo(mask.AsSpan(i * length));
            if (!selection.IsWholeFrame) selection.Mask.AsSpan(i * count, count).CopyTo(mask.AsSpan((i * length) + tokens + 1));
        }

        return (IndexTensor.FromArray(mask, [batch, length], device), selection.IsWholeFrame ? null : IndexTensor.FromArray(selection.Mask, [batch, count], device));
    }
}
