using System.Text.Json.Nodes;
using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Nn.Pretraining;
using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>Pictures of a reconstruction, each [batch, channels, height, width] in the normalised pixels that the model was given.</summary>
/// <param name="Masked">The images with 0, the mean colour, where a patch was removed.</param>
/// <param name="Predicted">What the decoder says of every patch.</param>
/// <param name="Completed">The images with the prediction where a patch was removed.</param>
public sealed record MaeReconstruction(Tensor Masked, Tensor Predicted, Tensor Completed);

/// <summary>
/// The masked autoencoder: an encoder that sees a quarter of the patches, and a small decoder that predicts the pixels of all others (He et al.,
/// arXiv:2111.06377). Parameter names are those of Hugging Face's <c>ViTMAEForPreTraining</c>.
/// </summary>
public sealed class Mae : PretrainedModel, IImageEncoder
{
    /// <summary>ε of the normalisation of targets.</summary>
    private const float TargetEpsilon = 1e-6f;

    /// <summary>Declares the parts.</summary>
    /// <param name="config">Sizes.</param>
    /// <exception cref="ArgumentException">A width does not fit heads or positions, or no patch would be visible.</exception>
    public Mae(MaeConfig config)
    {
        (string field, string rule) = config.Contradiction();
        if (rule.Length > 0) throw new ArgumentException($"Mae: {field} {rule}", nameof(config));
        Config = config;
        Backbone = Add("vit", new VisionTransformer(config.Encoder, pooler: false, hasFixedPositions: true, Initializers.XavierUniform));
        Decoder = Add("decoder", new MaeDecoder(config));
    }

    /// <summary>Sizes.</summary>
    public MaeConfig Config { get; }

    /// <summary>The encoder, the part that is kept after pre-training; as a whole it sees all patches.</summary>
    public VisionTransformer Backbone { get; }

    /// <summary>The decoder, which only pre-training needs.</summary>
    public MaeDecoder Decoder { get; }

    /// <inheritdoc/>
    public override string Architecture => "ViTMAEForPreTraining";

    /// <inheritdoc/>
    public int ImageSize => Config.Encoder.ImageSize;

    /// <inheritdoc/>
    public int FeatureWidth => Config.Encoder.Width;

    /// <summary>Loads a Hugging Face folder.</summary>
    /// <param name="folder">With config.json and model.safetensors.</param>
    /// <param name="device">Where the parameters are kept; the CPU when null.</param>
    public static Mae FromPretrained(string folder, Device? device = null)
    {
        Mae model = new(MaeConfig.FromJson(ConfigJson.Read(folder)));
        model.LoadWeights(folder, device ?? Device.Cpu);
        return model;
    }

    /// <inheritdoc/>
    public override JsonObject ToConfigJson() => Config.ToJson();

    /// <summary>Chooses the patches that are seen, by the config's ratio and pattern, with numbers from <see cref="Generator.Current"/>.</summary>
    /// <param name="batch">Number of images.</param>
    /// <param name="device">Where the model is.</param>
    /// <exception cref="InvalidOperationException">No grid removes the config's share of the patches.</exception>
    public VisiblePatches DrawPatches(int batch, Device device)
    {
        if (Config.MaskPattern != PatchPattern.Random)
        {
            int side = Config.Encoder.ImageSize / Config.Encoder.PatchSize;
            using IndexTensor mask = new PatchMasking(side, side, Config.Encoder.PatchCount - Config.KeptCount) { Pattern = Config.MaskPattern }.Apply(batch, Device.Cpu);
            return VisiblePatches.FromMask(mask.ToArray(), mask.Shape, device);
        }

        // On the CPU, whatever the device: the numbers are the same everywhere, and a GPU would have to be waited for.
        using Tensor noise = Tensor.RandomUniform([batch, Config.Encoder.PatchCount], device: Device.Cpu);
        return VisiblePatches.FromNoise(noise.ToArray(), noise.Shape, Config.KeptCount, device);
    }

    /// <summary>Chooses the patches with the smallest noise [batch, patches].</summary>
    /// <exception cref="ShapeException">The noise has not one number for each patch.</exception>
    public VisiblePatches SelectPatches(Tensor noise)
    {
        if (noise.Shape.Rank != 2 || noise.Shape[1] != Config.Encoder.PatchCount)
            throw new ShapeException($"Mae: the noise must be [batch, {Config.Encoder.PatchCount}], one number for each patch, found {noise.Shape}.");
        return VisiblePatches.FromNoise(noise.ToArray(), noise.Shape, Config.KeptCount, noise.Device);
    }

    /// <summary>images [batch, channels, size, size] to the tokens of the seen patches, [batch, 1 + kept, width], the class token first.</summary>
    /// <param name="images">Normalised pixels, of the size of the config.</param>
    /// <param name="patches">Which are seen.</param>
    /// <param name="hiddenStates">When given, receives the input of every block and the output of the last.</param>
    public Tensor Encode(Tensor images, VisiblePatches patches, ICollection<Tensor>? hiddenStates = null)
    {
        RequireImages(images, patches);
        return Backbone.Forward(images, patches.Visible, hiddenStates);
    }

    /// <summary>
    /// tokens [batch, 1 + kept, width] of <see cref="Encode"/> to a prediction for every patch of the image, [batch, patches, side · side · channels]:
    /// normalised pixels or pixels, channels last.
    /// </summary>
    public Tensor Decode(Tensor tokens, VisiblePatches patches) => Decoder.Forward(tokens, patches);

    /// <summary>
    /// What the decoder is to predict, [batch, patches, side · side · channels] with the channels last: the pixels x of each patch, or
    /// (x - mean) / √(variance + 1e-6) with the unbiased variance of the patch.
    /// </summary>
    /// <param name="images">[batch, channels, size, size].</param>
    public Tensor Targets(Tensor images)
    {
        Tensor pixels = PixelsOf(images);
        return Config.NormalizesPixels ? (pixels - pixels.Mean(-1, keep: true)) / DeviationOf(pixels) : pixels;
    }

    /// <summary>
    /// Mean over the removed patches of mean((prediction - target)²) of a patch: Σ m · mean((x̂ - x)²) / Σ m. What is predicted for a seen patch does not count.
    /// </summary>
    /// <param name="images">[batch, channels, size, size].</param>
    /// <param name="predictions">[batch, patches, side · side · channels].</param>
    /// <param name="patches">Which were seen.</param>
    /// <exception cref="InvalidOperationException">No patch was removed, so that there is no mean.</exception>
    public Tensor Loss(Tensor images, Tensor predictions, VisiblePatches patches)
    {
        RequireImages(images, patches);
        int removed = (patches.PatchCount - patches.KeptCount) * images.Shape[0];
        if (removed == 0) throw new InvalidOperationException($"Mae: the loss is a mean over removed patches, but all {patches.PatchCount} are seen; the mask ratio is {Config.MaskRatio}.");
        Tensor errors = predictions.MeanSquaredError(Targets(images), Kernels.Reduction.None).Mean(-1);
        return (errors * patches.Removed).Sum() * (1f / removed);
    }

    /// <summary>The loss of images with patches removed at random, by <see cref="Generator.Current"/>.</summary>
    /// <param name="images">[batch, channels, size, size].</param>
    public Tensor Loss(Tensor images)
    {
        VisiblePatches patches = DrawPatches(images.Shape[0], images.Device);
        return Loss(images, Decode(Encode(images, patches), patches), patches);
    }

    /// <summary>Removes patches, predicts them, and turns the prediction into pixels again.</summary>
    /// <param name="images">[batch, channels, size, size].</param>
    /// <param name="patches">Which are seen.</param>
    public MaeReconstruction Reconstruct(Tensor images, VisiblePatches patches)
    {
        using IDisposable pause = Tape.NoGradient();
        return Reconstruct(images, patches, Decode(Encode(images, patches), patches));
    }

    /// <summary>Turns predictions into pixels: where targets are normalised, by the mean and the deviation of the true patch, as the paper's figures do.</summary>
    /// <param name="images">[batch, channels, size, size].</param>
    /// <param name="patches">Which are seen.</param>
    /// <param name="predictions">[batch, patches, side · side · channels].</param>
    public MaeReconstruction Reconstruct(Tensor images, VisiblePatches patches, Tensor predictions)
    {
        RequireImages(images, patches);
        using IDisposable pause = Tape.NoGradient();
        Tensor pixels = PixelsOf(images), removed = patches.Removed.Reshape([images.Shape[0], patches.PatchCount, 1]);
        Tensor predicted = Config.NormalizesPixels ? (predictions * DeviationOf(pixels)) + pixels.Mean(-1, keep: true) : predictions;
        Tensor masked = pixels * (1f - removed);
        return new MaeReconstruction(ImagesOf(masked), ImagesOf(predicted), ImagesOf(masked + (predicted * removed)));
    }

    /// <inheritdoc/>
    public Tensor ImageFeatures(Tensor images) => Backbone.ImageFeatures(images);

    /// <summary>Gives the encoder's parameters to a vision transformer of the same sizes, to be fine-tuned or probed; its positions start as ours and may be trained.</summary>
    /// <param name="target">Without a pooler, such as the backbone of a <see cref="VisionTransformerClassifier"/>; it gets memory on the device of this model.</param>
    /// <exception cref="ArgumentException">It has other parameters.</exception>
    public void CopyEncoderTo(VisionTransformer target)
    {
        (string Name, Parameter Parameter)[] sources = [.. Backbone.NamedParameters()], targets = [.. target.NamedParameters()];
        string[] expected = [.. sources.Select(named => $"{named.Name} {named.Parameter.Shape}")], actual = [.. targets.Select(named => $"{named.Name} {named.Parameter.Shape}")];
        string[] misfits = [.. expected.Except(actual, StringComparer.Ordinal), .. actual.Except(expected, StringComparer.Ordinal)];
        if (misfits.Length > 0) throw new ArgumentException($"Mae: the vision transformer must have the encoder's parameters, but these differ: {string.Join(", ", misfits)}.", nameof(target));
        for (int i = 0; i < sources.Length; i++) targets[i].Parameter.Assign(sources[i].Parameter.Value.ToArray(), sources[i].Parameter.Value.Device);
    }

    /// <summary>The pixels of each patch, [batch, patches, side · side · channels], channels last as in Hugging Face's weights.</summary>
    internal Tensor PixelsOf(Tensor images)
    {
        int side = Config.Encoder.PatchSize, batch = images.Shape[0];
        Tensor patches = images.Patchify(side);
        int count = patches.Shape[1];
        return patches.Reshape([batch, count, Config.Encoder.Channels, side * side]).Transpose().Reshape([batch, count, Config.PatchLength]);
    }

    /// <summary>The inverse of <see cref="PixelsOf"/>.</summary>
    private Tensor ImagesOf(Tensor pixels)
    {
        int side = Config.Encoder.PatchSize, channels = Config.Encoder.Channels, size = Config.Encoder.ImageSize, rows = size / side, batch = pixels.Shape[0];
        return pixels.Reshape([batch, rows, rows, side, side, channels]).Permute(0, 5, 1, 3, 2, 4).Reshape([batch, channels, size, size]);
    }

    private static Tensor DeviationOf(Tensor pixels) => (pixels.Variance(-1, keep: true, unbiased: true) + TargetEpsilon).Sqrt();

    private void RequireImages(Tensor images, VisiblePatches patches)
    {
        VisionTransformerConfig encoder = Config.Encoder;
        if (images.Shape.Rank != 4 || images.Shape[1] != encoder.Channels || images.Shape[2] != encoder.ImageSize || images.Shape[3] != encoder.ImageSize)
            throw new ShapeException($"Mae: images must be [batch, {encoder.Channels}, {encoder.ImageSize}, {encoder.ImageSize}], found {images.Shape}.");
        if (patches.Removed.Shape[0] != images.Shape[0] || patches.PatchCount != encoder.PatchCount)
            throw new ShapeException($"Mae: {images.Shape[0]} images have {encoder.PatchCount} patches each, but patches were chosen for {patches.Removed.Shape}.");
    }
}

/// <summary>
/// MAE's decoder: tokens of the seen patches and one learned mask token for all others, back in the order of the image, through a few blocks to pixels.
/// </summary>
public sealed class MaeDecoder : Module
{
    private readonly Linear _embed;
    private readonly Parameter _maskToken;
    private readonly Parameter _positions;
    private readonly LayerNorm _norm;
    private readonly Linear _predict;

    internal MaeDecoder(MaeConfig config)
    {
        int width = config.DecoderWidth, patches = config.Encoder.PatchCount;
        _embed = Add("decoder_embed", new Linear(config.Encoder.Width, width, initializer: Initializers.XavierUniform));
        _maskToken = Add("mask_token", [1, 1, width], Initializers.Normal(0.02f));
        _positions = Add("decoder_pos_embed", [1, 1 + patches, width], SineCosinePositions.Fill);
        _positions.IsTrainable = false;
        Blocks = Add(string.Empty, new Transformer("decoder_layers", config.DecoderLayers, new TransformerBlockOptions
        {
            Width = width,
            Heads = config.DecoderHeads,
            HiddenWidth = config.DecoderHiddenWidth,
            Activation = config.Encoder.Activation,
            Names = TransformerBlockNames.Vit,
            NormEpsilon = config.Encoder.NormEpsilon,
            AttentionBias = config.Encoder.AttentionBias,
            AttentionInitializer = Initializers.XavierUniform,
            HiddenInitializer = Initializers.XavierUniform,
            ResidualInitializer = Initializers.XavierUniform,
            DropoutRate = config.Encoder.DropoutRate,
        }));
        _norm = Add("decoder_norm", new LayerNorm(width, config.Encoder.NormEpsilon));
        _predict = Add("decoder_pred", new Linear(width, config.PatchLength, initializer: Initializers.XavierUniform));
    }

    /// <summary>The stack of blocks.</summary>
    public Transformer Blocks { get; }

    /// <summary>tokens [batch, 1 + kept, encoder width] to predictions [batch, patches, side · side · channels].</summary>
    /// <exception cref="ShapeException">There are not as many tokens as patches were kept.</exception>
    public Tensor Forward(Tensor tokens, VisiblePatches patches)
    {
        int batch = patches.Removed.Shape[0];
        if (tokens.Shape.Rank != 3 || tokens.Shape[0] != batch || tokens.Shape[1] != 1 + patches.KeptCount)
            throw new ShapeException($"MaeDecoder: tokens must be [{batch}, {1 + patches.KeptCount}, width], the class token and the seen patches, found {tokens.Shape}.");

        // One mask token for each image is enough: the gather repeats it for every patch that was removed.
        Tensor known = Tensor.Concatenate(1, _embed.Forward(tokens), _maskToken.Value.Expand(batch));
        Tensor positions = _positions.Value.Detach();
        Tensor x = known.GatherTokens(patches.Unshuffle) + positions.Reshape([positions.Shape[1], positions.Shape[2]]);
        return _predict.Forward(_norm.Forward(Blocks.Forward(x).Narrow(1, 1, patches.PatchCount)));
    }
}
