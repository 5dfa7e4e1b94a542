using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Images;

namespace MiniVlp.Cli.Evaluation;

/// <summary>One sample of an <see cref="EmbeddedDataset"/>.</summary>
/// <param name="Key">Its name in the data.</param>
/// <param name="Caption">Its caption.</param>
/// <param name="ImageIndex">Row of its picture; samples whose pictures are equal pixel by pixel share one.</param>
/// <param name="Metadata">Further fields of the data.</param>
public sealed record EmbeddedSample(string Key, string Caption, int ImageIndex, JsonElement? Metadata);

/// <summary>The vectors of a data set's distinct pictures, and what the data says about them.</summary>
/// <param name="Samples">One for each sample, in the order of the data.</param>
/// <param name="ImageVectors">Unit vectors of the distinct pictures, row by row.</param>
/// <param name="Size">Length of a vector.</param>
public sealed record EmbeddedDataset(IReadOnlyList<EmbeddedSample> Samples, float[] ImageVectors, int Size)
{
    /// <summary>Number of distinct pictures.</summary>
    public int ImageCount => ImageVectors.Length / Size;

    /// <summary>Encodes the pictures of a data set, each distinct one once.</summary>
    /// <param name="model">The model.</param>
    /// <param name="dataset">The data.</param>
    /// <param name="batchSize">How many go through the model at once.</param>
    /// <param name="progress">Called with the number of samples done.</param>
    /// <param name="cancellation">Checked between batches.</param>
    public static EmbeddedDataset Encode(DualEncoderFolder model, IImageTextDataset dataset, int batchSize = 64, Action<int>? progress = null, CancellationToken cancellation = default)
    {
        List<EmbeddedSample> samples = new(dataset.Count);
        List<float> vectors = [];
        Dictionary<UInt128, int> known = [];
        List<RgbImage> fresh = [];
        for (int start = 0; start < dataset.Count; start += batchSize)
        {
            cancellation.ThrowIfCancellationRequested();
            int count = Math.Min(batchSize, dataset.Count - start);
            ImageTextSample[] read = new ImageTextSample[count];
            UInt128[] hashes = new UInt128[count];
            int first = start;
            EvaluationRun.InParallel(count, i =>
            {
                read[i] = dataset.Get(first + i);
                hashes[i] = HashOf(read[i].Image);
            });
            fresh.Clear();
            for (int i = 0; i < count; i++)
            {
                if (!known.TryGetValue(hashes[i], out int row))
                {
                    row = known[hashes[i]] = known.Count;
                    fresh.Add(read[i].Image);
                }

                samples.Add(new EmbeddedSample(read[i].Key, read[i].Caption, row, read[i].Metadata));
            }

            if (fresh.Count > 0) vectors.AddRange(model.EncodeImages(fresh));
            progress?.Invoke(start + count);
        }

        return new EmbeddedDataset(samples, [.. vectors], model.EmbeddingSize);
    }

    /// <summary>Equal for pictures that are equal pixel by pixel.</summary>
    internal static UInt128 HashOf(RgbImage image)
    {
        Span<byte> hash = stackalloc byte[32];
        SHA256.HashData(image.Pixels, hash);
        return MemoryMarshal.Read<UInt128>(hash) ^ ((UInt128)(uint)image.Width << 64);
    }
}
