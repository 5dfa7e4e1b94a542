using System.Buffers.Binary;
using System.IO.Compression;

namespace MiniVlp.Data.Images;

/// <summary>Writes pictures as 8-bit RGB PNG without native code: for reports, shards and tests.</summary>
public static class PngWriter
{
    private const byte None = 0;
    private const byte Sub = 1;
    private const byte Up = 2;
    private const byte Paeth = 4;

    /// <summary>The bytes of a PNG file (lossless; each row filtered by the least sum of absolute differences, W3C PNG section 12.7).</summary>
    /// <param name="image">The picture.</param>
    public static byte[] Encode(RgbImage image)
    {
        ArgumentNullException.ThrowIfNull(image);
        using MemoryStream png = new();
        png.Write(PngContainer.Signature);

        Span<byte> header = stackalloc byte[13];
        header.Clear();
        BinaryPrimitives.WriteInt32BigEndian(header, image.Width);
        BinaryPrimitives.WriteInt32BigEndian(header[4..], image.Height);
        header[8] = 8;
        header[9] = 2;
        WriteChunk(png, "IHDR"u8, header);
        WriteChunk(png, "IDAT"u8, Compress(image));
        WriteChunk(png, "IEND"u8, []);
        return png.ToArray();
    }

    private static byte[] Compress(RgbImage image)
    {
        using MemoryStream compressed = new();
        using (ZLibStream zlib = new(compressed, CompressionLevel.Optimal, leaveOpen: true))
        {
            int length = image.Width * 3;
            byte[] best = new byte[length + 1];
            byte[] candidate = new byte[length + 1];
            ReadOnlySpan<byte> above = new byte[length];
            for (int y = 0; y < image.Height; y++)
            {
                ReadOnlySpan<byte> row = image.Row(y);
                long least = Filter(None, row, above, best);
                foreach (byte filter in (ReadOnlySpan<byte>)[Sub, Up, Paeth])
                {
                    long cost = Filter(filter, row, above, candidate);
                    if (cost < least)
                    {
                        least = cost;
                        (best, candidate) = (candidate, best);
                    }
                }

                zlib.Write(best);
                above = row;
            }
        }

        return compressed.ToArray();
    }

    /// <summary>Writes the filter's number and the filtered row; returns the sum of absolute values, bytes taken as signed.</summary>
    private static long Filter(byte filter, ReadOnlySpan<byte> row, ReadOnlySpan<byte> above, Span<byte> output)
    {
        output[0] = filter;
        long cost = 0;
        for (int i = 0; i < row.Length; i++)
        {
            int left = i < 3 ? 0 : row[i - 3];
            int prediction = filter switch
            {
                Sub => left,
                Up => above[i],
                Paeth => PaethPredictor(left, above[i], i < 3 ? 0 : above[i - 3]),
                _ => 0,
            };
            byte value = (byte)(row[i] - prediction);
            output[i + 1] = value;
            cost += Math.Abs((int)(sbyte)value);
        }

        return cost;
    }

    private static int PaethPredictor(int left, int above, int aboveLeft)
    {
        int estimate = left + above - aboveLeft;
        int toLeft = Math.Abs(estimate - left);
        int toAbove = Math.Abs(estimate - above);
        int toAboveLeft = Math.Abs(estimate - aboveLeft);
        if (toLeft <= toAbove && toLeft <= toAboveLeft)
        {
            return left;
        }

        return toAbove <= toAboveLeft ? above : aboveLeft;
    }

    private static void WriteChunk(MemoryStream png, ReadOnlySpan<byte> type, ReadOnlySpan<byte> data)
    {
        Span<byte> number = stackalloc byte[4];
        BinaryPrimitives.WriteInt32BigEndian(number, data.Length);
        png.Write(number);
        png.Write(type);
        png.Write(data);
        BinaryPrimitives.WriteUInt32BigEndian(number, Crc32.Compute(data, Crc32.Compute(type)));
        png.Write(number);
    }
}
