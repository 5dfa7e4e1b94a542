using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using MiniVlp.Cli.Evaluation;
using MiniVlp.Data.Datasets;

namespace MiniVlp.Cli.Datasets;

/// <summary>Tells two data sets of the same size apart, wherever they lie.</summary>
public static class DataFingerprint
{
    private const int Pictures = 8;

    /// <summary>Sixteen hexadecimal digits over all captions, which of them share a picture, and a few pictures from the first to the last.</summary>
    /// <param name="dataset">All captions are read once, and a few pictures decoded.</param>
    public static string Of(IImageTextDataset dataset)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Span<byte> number = stackalloc byte[16];
        for (int i = 0; i < dataset.Count; i++)
        {
            byte[] caption = Encoding.UTF8.GetBytes(dataset.GetCaption(i));
            BinaryPrimitives.WriteInt32LittleEndian(number, dataset.PictureOf(i));
            BinaryPrimitives.WriteInt32LittleEndian(number[4..], caption.Length);
            hash.AppendData(number[..8]);
            hash.AppendData(caption);
        }

        for (int i = 0; i < Math.Min(Pictures, dataset.Count); i++)
        {
            int index = (int)((long)i * (dataset.Count - 1) / Math.Max(1, Math.Min(Pictures, dataset.Count) - 1));
            BinaryPrimitives.WriteUInt128LittleEndian(number, EmbeddedDataset.HashOf(dataset.Get(index).Image));
            hash.AppendData(number);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset().AsSpan(0, 8));
    }
}
