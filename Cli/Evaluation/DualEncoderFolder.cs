using MiniVlp.Cli.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Data.Text;
using MiniVlp.Kernels;
using MiniVlp.Models;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Evaluation;

/// <summary>A model folder with all that turns pictures and texts into unit vectors: weights, tokenizer, preprocessor.</summary>
public sealed class DualEncoderFolder : IDisposable
{
    private readonly PretrainedModel _model;
    private readonly bool _padsToContext;
    private readonly bool _masksPadding;

    public DualEncoderFolder(PretrainedModel model, TextTokenizer tokenizer, ImagePreprocessor preprocessor, Device device)
    {
        _model = model;
        Encoder = model as IDualEncoder ?? throw new ToolException($"{model.Architecture} has no image and text tower that meet in one space.");
        Tokenizer = tokenizer;
        Preprocessor = preprocessor;
        Device = device;
        (ContextLength, EmbeddingSize, ImageSize) = model switch
        {
            Clip clip => (clip.Config.ContextLength, clip.Config.ProjectionSize, clip.Config.ImageSize),
            Siglip siglip => (siglip.Config.ContextLength, siglip.Config.ProjectionSize, siglip.Config.ImageSize),
            VisionTextDualEncoder dual => (dual.Config.Text.MaxPositions, dual.Config.ProjectionSize, dual.Config.Vision.ImageSize),
            _ => throw new ToolException($"{model.Architecture} is not supported by this command."),
        };
        _padsToContext = model is Siglip;
        _masksPadding = model is VisionTextDualEncoder;
    }

    /// <summary>The two towers.</summary>
    public IDualEncoder Encoder { get; }

    /// <summary>The model as a whole.</summary>
    public PretrainedModel Model => _model;

    public TextTokenizer Tokenizer { get; }

    public ImagePreprocessor Preprocessor { get; }

    public Device Device { get; }

    /// <summary>Longest text in tokens.</summary>
    public int ContextLength { get; }

    /// <summary>Length of a vector.</summary>
    public int EmbeddingSize { get; }

    /// <summary>Side of the pictures that the model was made for.</summary>
    public int ImageSize { get; }

    /// <summary>Loads a Hugging Face folder.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="device">Where to run.</param>
    /// <param name="weights">Packs the weights in this format, for a model that is only run; as they are when null.</param>
    /// <exception cref="ToolException">The architecture is not one of two towers.</exception>
    public static DualEncoderFolder Load(string folder, Device device, WeightFormat? weights = null)
    {
        if (device.Backend is CpuBackend) KernelWarmup.Start(weights);
        PretrainedModel model = Architectures.Load(folder, device);
        if (weights is { } format) model.PackWeights(format);
        return new DualEncoderFolder(model, TextTokenizer.FromPretrained(folder), ImagePreprocessor.FromPretrained(folder), device);
    }

    /// <summary>Unit vectors of texts, row by row.</summary>
    /// <param name="texts">Any number.</param>
    /// <param name="batchSize">How many go through the model at once.</param>
    /// <param name="cancellation">Checked between batches.</param>
    public float[] EncodeTexts(IReadOnlyList<string> texts, int batchSize = 64, CancellationToken cancellation = default)
    {
        float[] vectors = new float[texts.Count * EmbeddingSize];
        for (int start = 0; start < texts.Count; start += batchSize)
        {
            cancellation.ThrowIfCancellationRequested();
            string[] some = [.. texts.Skip(start).Take(batchSize)];
            int length = _padsToContext ? ContextLength : ImageTextBatchBuilder.PaddedLength(some.Max(text => Tokenizer.Encode(text, ContextLength).Length), ContextLength);
            (int[] ids, int[] mask) = Tokenizer.EncodeBatch(some, length);
            using TensorScope scope = new();
            TextBatch batch = new(
                IndexTensor.FromArray(ids, [some.Length, length], Device),
                _masksPadding ? IndexTensor.FromArray(mask, [some.Length, length], Device) : null);
            Encoder.EncodeText(batch).CopyTo(vectors.AsSpan(start * EmbeddingSize, some.Length * EmbeddingSize));
        }

        return vectors;
    }

    /// <summary>Unit vectors of pictures, row by row.</summary>
    /// <param name="images">At least one; what the preprocessor makes of them has one size.</param>
    public float[] EncodeImages(IReadOnlyList<RgbImage> images)
    {
        float[] vectors = new float[images.Count * EmbeddingSize];
        using TensorScope scope = new();
        Encoder.EncodeImage(ToTensor(images)).CopyTo(vectors);
        return vectors;
    }

    /// <summary>Pictures as the model takes them, [count, 3, size, size].</summary>
    public Tensor ToTensor(IReadOnlyList<RgbImage> images) => PixelBatch.ToTensor(Preprocessor, images, Device);

    public void Dispose() => _model.Dispose();
}
