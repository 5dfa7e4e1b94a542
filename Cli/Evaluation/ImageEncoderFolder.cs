using MiniVlp.Autograd;
using MiniVlp.Cli.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Kernels;
using MiniVlp.Models;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Evaluation;

/// <summary>A model folder with what turns pictures into features: weights and preprocessor.</summary>
public sealed class ImageEncoderFolder : IDisposable
{
    private readonly IImageEncoder _encoder;

    /// <exception cref="ToolException">The model is no image encoder.</exception>
    public ImageEncoderFolder(PretrainedModel model, ImagePreprocessor preprocessor, Device device)
    {
        Model = model;
        _encoder = model as IImageEncoder ?? throw new ToolException($"{model.Architecture} gives no features of an image.");
        Preprocessor = preprocessor;
        Device = device;
    }

    /// <summary>The model as a whole.</summary>
    public PretrainedModel Model { get; }

    public ImagePreprocessor Preprocessor { get; }

    public Device Device { get; }

    /// <summary>Side of the pictures that the model was made for.</summary>
    public int ImageSize => _encoder.ImageSize;

    /// <summary>Length of the features.</summary>
    public int Width => _encoder.FeatureWidth;

    /// <summary>Loads a Hugging Face folder.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="device">Where to run.</param>
    /// <param name="weights">Packs the weights in this format, for a model that is only run; as they are when null.</param>
    /// <exception cref="ToolException">The model is no image encoder.</exception>
    public static ImageEncoderFolder Load(string folder, Device device, WeightFormat? weights = null)
    {
        if (device.Backend is CpuBackend) KernelWarmup.Start(weights);
        PretrainedModel model = Architectures.Load(folder, device);
        if (weights is { } format) model.PackWeights(format);
        return new ImageEncoderFolder(model, ImagePreprocessor.FromPretrained(folder), device);
    }

    /// <summary>Features of pictures, [count, width], batch by batch.</summary>
    /// <param name="count">Number of pictures.</param>
    /// <param name="read">Gives picture i; called from several threads.</param>
    /// <param name="batchSize">Pictures that go through the model at once.</param>
    /// <param name="progress">Called with the number of pictures done.</param>
    /// <param name="cancellation">Checked between batches.</param>
    public Tensor Encode(int count, Func<int, RgbImage> read, int batchSize = 64, Action<int>? progress = null, CancellationToken cancellation = default)
    {
        float[] features = new float[count * Width];
        using IDisposable pause = Tape.NoGradient();
        for (int start = 0; start < count; start += batchSize)
        {
            cancellation.ThrowIfCancellationRequested();
            RgbImage[] images = new RgbImage[Math.Min(batchSize, count - start)];
            int first = start;
            try
            {
                Parallel.For(0, images.Length, i => images[i] = read(first + i));
            }
            catch (AggregateException exception)
            {
                // The first damaged picture is what the user has to look at.
                throw new InvalidDataException(exception.InnerExceptions[0].Message, exception.InnerExceptions[0]);
            }

            using TensorScope scope = new();
            _encoder.ImageFeatures(PixelBatch.ToTensor(Preprocessor, images, Device)).CopyTo(features.AsSpan(start * Width, images.Length * Width));
            progress?.Invoke(start + images.Length);
        }

        return Tensor.FromArray(features, [count, Width], Device);
    }

    public void Dispose() => Model.Dispose();
}
