using System.Runtime.InteropServices;
using MiniVlp.Data.Images;
using SkiaSharp;

namespace MiniVlp.Data.Skia;

/// <summary>Decodes PNG, JPEG, WebP, GIF and BMP with SkiaSharp. A file that is damaged anywhere is refused, never filled up silently.</summary>
public sealed class SkiaImageDecoder : IImageDecoder
{
    /// <inheritdoc/>
    public unsafe RgbImage Decode(ReadOnlySpan<byte> file, string name, ImageLimits limits)
    {
        ImageHeader header = ImageHeader.Inspect(file, name, limits);
        fixed (byte* bytes = file)
        {
            // Skia reads the caller's bytes in place; the codec does not outlive this block.
            using SKData data = SKData.Create((nint)bytes, file.Length);
            using SKCodec codec = SKCodec.Create(data)
                ?? throw new ImageFormatException(name, $"a {header.Format} file", "data that its decoder does not accept");

            // A GIF frame may be larger than the screen in the header, and Skia makes room for it.
            limits.CheckSize(codec.Info.Width, codec.Info.Height, name);
            return Decode(codec, header.Format, name);
        }
    }

    private static unsafe RgbImage Decode(SKCodec codec, ImageFormat format, string name)
    {
        SKImageInfo info = new(codec.Info.Width, codec.Info.Height, SKColorType.Rgba8888, SKAlphaType.Unpremul);
        nuint size = (nuint)info.BytesSize64;

        // Cleared, because a first frame need not cover the whole picture.
        byte* rgba = (byte*)NativeMemory.AllocZeroed(size);
        try
        {
            SKCodecResult result = codec.GetPixels(info, (nint)rgba);
            if (result != SKCodecResult.Success)
            {
                string found = result == SKCodecResult.IncompleteInput ? "data that ends too early" : $"damaged data ({result})";
                throw new ImageFormatException(name, $"{info.Width}x{info.Height} pixels of {format} data", found);
            }

            return Upright(rgba, info.Width, info.Height, codec.EncodedOrigin);
        }
        finally
        {
            NativeMemory.Free(rgba);
        }
    }

    /// <summary>Lays the pixels over white and turns them as the EXIF orientation says, in one pass.</summary>
    private static unsafe RgbImage Upright(byte* rgba, int width, int height, SKEncodedOrigin origin)
    {
        bool transposed = origin is SKEncodedOrigin.LeftTop or SKEncodedOrigin.RightTop or SKEncodedOrigin.RightBottom or SKEncodedOrigin.LeftBottom;
        RgbImage image = transposed ? new RgbImage(height, width) : new RgbImage(width, height);

        // Where the stored pixel (0, 0) goes, and how far one stored column and one stored row move it, in bytes.
        int across = 3;
        int down = 3 * image.Width;
        int lastColumn = 3 * (image.Width - 1);
        int lastRow = down * (image.Height - 1);
        (int start, int column, int row) = origin switch
        {
            SKEncodedOrigin.TopRight => (lastColumn, -across, down),
            SKEncodedOrigin.BottomRight => (lastColumn + lastRow, -across, -down),
            SKEncodedOrigin.BottomLeft => (lastRow, across, -down),
            SKEncodedOrigin.LeftTop => (0, down, across),
            SKEncodedOrigin.RightTop => (lastColumn, down, -across),
            SKEncodedOrigin.RightBottom => (lastColumn + lastRow, -down, -across),
            SKEncodedOrigin.LeftBottom => (lastRow, -down, across),
            _ => (0, across, down),
        };

        Span<byte> pixels = image.Pixels;
        for (int y = 0; y < height; y++)
        {
            byte* source = rgba + (4L * width * y);
            int target = start + (y * row);
            for (int x = 0; x < width; x++, source += 4, target += column)
            {
                Span<byte> pixel = pixels.Slice(target, 3);
                int alpha = source[3];
                pixel[0] = OverWhite(source[0], alpha);
                pixel[1] = OverWhite(source[1], alpha);
                pixel[2] = OverWhite(source[2], alpha);
            }
        }

        return image;
    }

    private static byte OverWhite(int value, int alpha)
    {
        return alpha == 255 ? (byte)value : (byte)((((value * alpha) + (255 * (255 - alpha))) + 127) / 255);
    }
}
