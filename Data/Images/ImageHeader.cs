namespace MiniVlp.Data.Images;

/// <summary>The kinds of picture file that are recognised.</summary>
public enum ImageFormat
{
    /// <summary>Portable Network Graphics.</summary>
    Png,

    /// <summary>JPEG (JFIF, EXIF).</summary>
    Jpeg,

    /// <summary>WebP: lossy, lossless, extended.</summary>
    WebP,

    /// <summary>Graphics Interchange Format.</summary>
    Gif,

    /// <summary>Windows bitmap.</summary>
    Bmp,
}

/// <summary>What the first bytes of a picture file say; read without a decoder and without taking memory.</summary>
/// <param name="Format">The format, by content.</param>
/// <param name="Width">Columns as stored, before an EXIF turn.</param>
/// <param name="Height">Rows as stored, before an EXIF turn.</param>
public readonly record struct ImageHeader(ImageFormat Format, int Width, int Height)
{
    /// <summary>
    /// All that can be known before decoding: format and size within the limits, and the container whole (PNG chunks and their
    /// checksums, JPEG segments and tables up to the end marker, the RIFF length of WebP). Decoders call this first, so that every
    /// machine and every library refuses the same files.
    /// </summary>
    /// <param name="file">The encoded bytes.</param>
    /// <param name="name">The file or shard member, for errors.</param>
    /// <param name="limits">How large it may be.</param>
    /// <exception cref="ImageFormatException">The file is damaged, of an unknown type, or over a limit.</exception>
    public static ImageHeader Inspect(ReadOnlySpan<byte> file, string name, ImageLimits limits)
    {
        ArgumentNullException.ThrowIfNull(limits);
        limits.CheckFile(file.Length, name);
        ImageFormat format = Recognise(file, name);
        (long width, long height) = format switch
        {
            ImageFormat.Png => PngContainer.ReadSize(file, name),
            ImageFormat.Jpeg => JpegContainer.ReadSize(file, name),
            ImageFormat.WebP => WebPContainer.ReadSize(file, name),
            ImageFormat.Gif => GifContainer.ReadSize(file, name),
            _ => BmpContainer.ReadSize(file, name),
        };
        limits.CheckSize(width, height, name);

        if (format == ImageFormat.Png)
        {
            PngContainer.Check(file, name);
        }
        else if (format == ImageFormat.Jpeg)
        {
            JpegContainer.Check(file, name);
        }

        return new ImageHeader(format, (int)width, (int)height);
    }

    private static ImageFormat Recognise(ReadOnlySpan<byte> file, string name)
    {
        if (file.StartsWith(PngContainer.Signature))
        {
            return ImageFormat.Png;
        }

        if (file.StartsWith((ReadOnlySpan<byte>)[0xFF, 0xD8]))
        {
            return ImageFormat.Jpeg;
        }

        if (file.Length >= 12 && file.StartsWith("RIFF"u8) && file[8..].StartsWith("WEBP"u8))
        {
            return ImageFormat.WebP;
        }

        if (file.StartsWith("GIF87a"u8) || file.StartsWith("GIF89a"u8))
        {
            return ImageFormat.Gif;
        }

        if (file.StartsWith("BM"u8))
        {
            return ImageFormat.Bmp;
        }

        string start = Convert.ToHexString(file[..Math.Min(file.Length, 8)]);
        throw new ImageFormatException(name, "PNG, JPEG, WebP, GIF or BMP", $"a file that starts with the bytes {start}");
    }
}
