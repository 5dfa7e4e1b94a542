using MiniVlp.Data.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Data.Text;

namespace MiniVlp.Cli.Datasets;

/// <summary>Turns samples into a batch: pictures augmented or only resized, texts as ids padded to the longest of the batch.</summary>
/// <param name="dataset">The samples.</param>
/// <param name="preprocessor">Resizes and normalises.</param>
/// <param name="tokenizer">Of the model.</param>
/// <param name="contextLength">Longest text of the model.</param>
/// <param name="augmentation">Takes the place of resizing in training; null for none.</param>
/// <param name="seed">Of the augmentation.</param>
public sealed class ImageTextBatchBuilder(
    IImageTextDataset dataset, ImagePreprocessor preprocessor, TextTokenizer tokenizer, int contextLength, ImageAugmentation? augmentation = null, ulong seed = 0)
{
    /// <summary>Text lengths are rounded up to a multiple of this, so that buffers of few sizes serve all batches.</summary>
    private const int LengthStep = 4;

    /// <summary>For <see cref="DataLoader{TBatch}"/>.</summary>
    public ImageTextBatch Build(int[] indices, BatchContext<ImageTextBatch> context)
        => Build(indices, context.Epoch, context.TryReuse(out ImageTextBatch? used) ? used : new ImageTextBatch());

    /// <summary>Fills a batch with the given samples; the same arguments give the same batch.</summary>
    public ImageTextBatch Build(IReadOnlyList<int> indices, long epoch, ImageTextBatch batch)
    {
        (RgbImage Image, string Caption)[] samples = new (RgbImage, string)[indices.Count];
        string[] captions = new string[indices.Count];
        int longest = 0;
        for (int i = 0; i < samples.Length; i++)
        {
            ImageTextSample sample = dataset.Get(indices[i]);
            samples[i] = augmentation is null
                ? (preprocessor.ResizeAndCrop(sample.Image), sample.Caption)
                : augmentation.Apply(sample.Image, sample.Caption, seed, epoch, indices[i]);
            captions[i] = samples[i].Caption;
            longest = Math.Max(longest, tokenizer.Encode(captions[i], contextLength).Length);
        }

        batch.Resize(samples.Length, samples.Length == 0 ? 1 : samples[0].Image.Width, PaddedLength(longest, contextLength));
        for (int i = 0; i < samples.Length; i++) preprocessor.Normalize(samples[i].Image, batch.Image(i));
        tokenizer.EncodeBatch(captions, batch.TextLength, batch.TokenIds, batch.Mask);
        batch.SetCaptions(captions);
        return batch;
    }

    /// <summary>The length that a batch is padded to when its longest text has <paramref name="longest"/> tokens.</summary>
    public static int PaddedLength(int longest, int contextLength) => Math.Min(contextLength, (Math.Max(longest, 1) + LengthStep - 1) / LengthStep * LengthStep);
}
