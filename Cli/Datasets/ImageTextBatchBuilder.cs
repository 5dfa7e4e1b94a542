using MiniVlp.Data.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Data.Text;

namespace MiniVlp.Cli.Datasets;

/// <summary>Turns samples into a batch: pictures augmented or only resized, texts as ids padded to the longest of the batch.</summary>
/// <param name="dataset">The samples.</param>
/// <param name="preprocessor">Resizes and normalises.</param>
/// <param name="tokenizer">Of the model; null for pictures alone.</param>
/// <param name="contextLength">Longest text of the model.</param>
/// <param name="augmentation">Takes the place of resizing in training; null for none.</param>
/// <param name="seed">Of the augmentation.</param>
public sealed class ImageTextBatchBuilder(
    IImageTextDataset dataset, ImagePreprocessor preprocessor, TextTokenizer? tokenizer, int contextLength, ImageAugmentation? augmentation = null, ulong seed = 0)
{
    /// <summary>Text lengths are rounded up to a multiple of this, so that buffers of few sizes serve all batches.</summary>
    private const int LengthStep = 4;

    /// <summary>Makes two views of each picture, for methods that compare them, in place of the augmentation; null for one picture.</summary>
    public ContrastiveAugmentation? TwoViews { get; init; }

    /// <summary>See <see cref="Datasets.PairIds"/>; null when every sample is a negative of every other.</summary>
    public IReadOnlyList<int>? PairIds { get; init; }

    /// <summary>What is read besides the pictures; captions alone when null.</summary>
    public ISampleTask? Task { get; init; }

    /// <summary>For <see cref="DataLoader{TBatch}"/>.</summary>
    public ImageTextBatch Build(int[] indices, BatchContext<ImageTextBatch> context)
        => Build(indices, context.Epoch, context.TryReuse(out ImageTextBatch? used) ? used : new ImageTextBatch());

    /// <summary>Fills a batch with the given samples; the same arguments give the same batch.</summary>
    public ImageTextBatch Build(IReadOnlyList<int> indices, long epoch, ImageTextBatch batch)
    {
        int count = indices.Count, longest = 0;
        int views = TwoViews is null ? 1 : 2;
        RgbImage[] images = new RgbImage[views * count];
        string[] captions = new string[count];
        ImageTextSample[] samples = new ImageTextSample[count];
        for (int i = 0; i < count; i++)
        {
            ImageTextSample sample = samples[i] = dataset.Get(indices[i]);
            captions[i] = Task is null ? sample.Caption : Task.TextOf(sample);
            if (TwoViews is not null) (images[i], images[count + i]) = TwoViews.Views(sample.Image, seed, epoch, indices[i]);
            else if (augmentation is not null) (images[i], captions[i]) = augmentation.Apply(sample.Image, captions[i], seed, epoch, indices[i]);
            else images[i] = preprocessor.ResizeAndCrop(sample.Image);

            if (tokenizer is not null) longest = Math.Max(longest, tokenizer.Encode(captions[i], contextLength).Length);
        }

        batch.Resize(count, views, images.Length == 0 ? 1 : images[0].Width, tokenizer is null ? 0 : PaddedLength(longest, contextLength));
        for (int i = 0; i < images.Length; i++) preprocessor.Normalize(images[i], batch.Image(i / count, i % count));
        tokenizer?.EncodeBatch(captions, batch.TextLength, batch.TokenIds, batch.Mask);
        batch.SetPairIds([.. indices.Select(index => PairIds is null ? index : PairIds[index])]);
        Task?.AddTargets(batch, samples);
        return batch;
    }

    /// <summary>The length that a batch is padded to when its longest text has <paramref name="longest"/> tokens.</summary>
    public static int PaddedLength(int longest, int contextLength) => Math.Min(contextLength, (Math.Max(longest, 1) + LengthStep - 1) / LengthStep * LengthStep);
}
