using System.Buffers.Binary;
using System.IO.Compression;
using MiniVlp.Data.Images;
using SkiaSharp;

namespace MiniVlp.Data.Tests.Images;

/// <summary>Small picture files of every format, made on the spot.</summary>
internal static class EncodedImages
{
    /// <summary>Red, green over blue, yellow, with ramps: every turn and mirror image of it looks different.</summary>
    public static RgbImage Quadrants(int width = 24, int height = 16)
    {
        RgbImage image = new(width, height);
        for (int y = 0; y < height; y++)
        {
            for (int x = 0; x < width; x++)
            {
                bool right = x >= width / 2;
                bool bottom = y >= height / 2;
                byte red = (byte)((right == bottom ? 220 : 20) + x);
                byte green = (byte)((right ? 200 : 20) + y);
                byte blue = (byte)(bottom && !right ? 230 : 30);
                image[x, y] = (red, green, blue);
            }
        }

        return image;
    }

    public static byte[] Skia(RgbImage image, SKEncodedImageFormat format, int quality = 100)
    {
        using SKBitmap bitmap = new(image.Width, image.Height, SKColorType.Rgba8888, SKAlphaType.Opaque);
        for (int y = 0; y < image.Height; y++)
        {
            for (int x = 0; x < image.Width; x++)
            {
                (byte red, byte green, byte blue) = image[x, y];
                bitmap.SetPixel(x, y, new SKColor(red, green, blue));
            }
        }

        using SKData data = bitmap.Encode(format, quality);
        return data.ToArray();
    }

    /// <summary>A PNG file of the given type around raw rows, each beginning with its filter byte.</summary>
    public static byte[] Png(int width, int height, byte depth, byte colourType, byte[] rows, params (string Type, byte[] Data)[] chunks)
    {
        byte[] header = new byte[13];
        BinaryPrimitives.WriteInt32BigEndian(header, width);
        BinaryPrimitives.WriteInt32BigEndian(header.AsSpan(4), height);
        header[8] = depth;
        header[9] = colourType;
        byte[] signature = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A];
        IEnumerable<byte> file = signature.Concat(Chunk("IHDR", header));
        foreach ((string type, byte[] data) in chunks)
        {
            file = file.Concat(Chunk(type, data));
        }

        return [.. file, .. Chunk("IDAT", ZLib(rows)), .. Chunk("IEND", [])];
    }

    public static byte[] Chunk(string type, byte[] data)
    {
        byte[] chunk = new byte[data.Length + 12];
        BinaryPrimitives.WriteInt32BigEndian(chunk, data.Length);
        System.Text.Encoding.ASCII.GetBytes(type, chunk.AsSpan(4));
        data.CopyTo(chunk, 8);
        BinaryPrimitives.WriteUInt32BigEndian(chunk.AsSpan(data.Length + 8), Crc(chunk.AsSpan(4, data.Length + 4)));
        return chunk;
    }

    public static byte[] ZLib(byte[] data)
    {
        using MemoryStream compressed = new();
        using (ZLibStream zlib = new(compressed, CompressionLevel.Optimal))
        {
            zlib.Write(data);
        }

        return compressed.ToArray();
    }

    /// <summary>A 24-bit BMP file, rows from the bottom unless <paramref name="topDown"/>.</summary>
    public static byte[] Bmp(RgbImage image, bool topDown = false)
    {
        int stride = ((image.Width * 3) + 3) / 4 * 4;
        byte[] file = new byte[54 + (stride * image.Height)];
        "BM"u8.CopyTo(file);
        BinaryPrimitives.WriteInt32LittleEndian(file.AsSpan(2), file.Length);
        BinaryPrimitives.WriteInt32LittleEndian(file.AsSpan(10), 54);
        BinaryPrimitives.WriteInt32LittleEndian(file.AsSpan(14), 40);
        BinaryPrimitives.WriteInt32LittleEndian(file.AsSpan(18), image.Width);
        BinaryPrimitives.WriteInt32LittleEndian(file.AsSpan(22), topDown ? -image.Height : image.Height);
        file[26] = 1;
        file[28] = 24;
        for (int y = 0; y < image.Height; y++)
        {
            int row = 54 + (stride * (topDown ? y : image.Height - 1 - y));
            for (int x = 0; x < image.Width; x++)
            {
                (file[row + (3 * x) + 2], file[row + (3 * x) + 1], file[row + (3 * x)]) = image[x, y];
            }
        }

        return file;
    }

    /// <summary>
    /// A GIF file of 4 colours: codes of 3 bits with a clear code before every other pixel, so that no dictionary is ever needed.
    /// A second, all-zero frame may follow.
    /// </summary>
    public static byte[] Gif(int width, int height, byte[] palette, byte[] indices, bool secondFrame = false)
    {
        List<byte> file = [.. "GIF89a"u8, (byte)width, (byte)(width >> 8), (byte)height, (byte)(height >> 8), 0x81, 0, 0, .. palette];
        AddFrame(indices);
        if (secondFrame)
        {
            AddFrame(new byte[indices.Length]);
        }

        return [.. file, 0x3B];

        void AddFrame(byte[] frame)
        {
            file.AddRange([0x2C, 0, 0, 0, 0, (byte)width, (byte)(width >> 8), (byte)height, (byte)(height >> 8), 0, 2]);
            List<int> codes = [];
            for (int i = 0; i < frame.Length; i++)
            {
                if (i % 2 == 0)
                {
                    codes.Add(4);
                }

                codes.Add(frame[i]);
            }

            codes.Add(5);
            byte[] packed = new byte[((codes.Count * 3) + 7) / 8];
            for (int i = 0; i < codes.Count * 3; i++)
            {
                packed[i / 8] |= (byte)(((codes[i / 3] >> (i % 3)) & 1) << (i % 8));
            }

            foreach (byte[] block in packed.Chunk(255))
            {
                file.Add((byte)block.Length);
                file.AddRange(block);
            }

            file.Add(0);
        }
    }

    /// <summary>Puts an EXIF segment with an orientation tag behind the start marker of a JPEG file.</summary>
    public static byte[] WithOrientation(byte[] jpeg, byte orientation)
    {
        byte[] exif = [.. "Exif\0\0"u8, .. "MM\0*\0\0\0\b"u8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0];
        return [.. jpeg.AsSpan(0, 2), 0xFF, 0xE1, 0, (byte)(exif.Length + 2), .. exif, .. jpeg.AsSpan(2)];
    }

    private static uint Crc(ReadOnlySpan<byte> bytes)
    {
        uint crc = uint.MaxValue;
        foreach (byte value in bytes)
        {
            crc ^= value;
            for (int bit = 0; bit < 8; bit++)
            {
                crc = (crc & 1) != 0 ? 0xEDB88320 ^ (crc >> 1) : crc >> 1;
            }
        }

        return ~crc;
    }
}
