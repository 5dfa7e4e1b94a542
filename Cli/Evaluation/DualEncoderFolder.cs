using MiniVlp.Data.Images;
using MiniVlp.Data.Text;
using MiniVlp.Kernels;
using MiniVlp.Models;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Evaluation;

/// <summary>A folder of a model with two towers, which turns pictures and texts into unit vectors.</summary>
public sealed class DualEncoderFolder : ModelFolder
{
    public DualEncoderFolder(PretrainedModel model, TextTokenizer tokenizer, ImagePreprocessor preprocessor, Device device)
        : base(model, tokenizer, preprocessor, device)
    {
        Encoder = model as IDualEncoder ?? throw new ToolException($"{model.Architecture} has no image and text tower that meet in one space.");
        EmbeddingSize = model switch
        {
            Clip clip => clip.Config.ProjectionSize,
            Siglip siglip => siglip.Config.ProjectionSize,
            VisionTextDualEncoder dual => dual.Config.ProjectionSize,
            _ => throw new ToolException($"{model.Architecture} is not supported by this command."),
        };
    }

    /// <summary>The two towers.</summary>
    public IDualEncoder Encoder { get; }

    /// <summary>Length of a vector.</summary>
    public int EmbeddingSize { get; }

    /// <summary>Loads a Hugging Face folder.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="device">Where to run.</param>
    /// <param name="weights">Packs the weights in this format, for a model that is only run; as they are when null.</param>
    /// <exception cref="ToolException">The architecture is not one of two towers.</exception>
    public static DualEncoderFolder Load(string folder, Device device, WeightFormat? weights = null)
        => Load(folder, device, weights, (model, tokenizer, preprocessor) => new DualEncoderFolder(model, tokenizer, preprocessor, device));

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
            using TensorScope scope = new();
            Encoder.EncodeText(ToTexts(some)).CopyTo(vectors.AsSpan(start * EmbeddingSize, some.Length * EmbeddingSize));
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
}
