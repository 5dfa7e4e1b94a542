using System.Globalization;

namespace MiniVlp.Data.Images;

/// <summary>How large a picture file may be; checked against its header before memory is taken for its pixels.</summary>
public sealed record ImageLimits
{
    /// <summary>64 Mi pixels, 128 MiB as a file, sides up to 65535.</summary>
    public static ImageLimits Default { get; } = new();

    /// <summary>Most pixels, width times height. Decoding takes about 7 bytes a pixel, 13 for a progressive JPEG.</summary>
    public long MaxPixels { get; init; } = 64L << 20;

    /// <summary>Most bytes of the encoded file.</summary>
    public long MaxFileBytes { get; init; } = 128L << 20;

    /// <summary>Largest width or height.</summary>
    public int MaxSide { get; init; } = 65535;

    /// <summary>Refuses a file by its length alone.</summary>
    /// <param name="bytes">Length of the encoded file.</param>
    /// <param name="name">Its name, for the error.</param>
    /// <exception cref="ImageFormatException">The file is empty or over the limit.</exception>
    public void CheckFile(long bytes, string name)
    {
        if (bytes == 0)
        {
            throw new ImageFormatException(name, "a picture", "an empty file");
        }

        if (bytes > MaxFileBytes)
        {
            throw new ImageFormatException(name, Text($"a file of at most {MaxFileBytes} bytes"), Text($"{bytes} bytes"));
        }
    }

    /// <summary>Refuses a picture by the size in its header.</summary>
    /// <param name="width">Columns.</param>
    /// <param name="height">Rows.</param>
    /// <param name="name">The file's name, for the error.</param>
    /// <exception cref="ImageFormatException">A side is below 1 or over <see cref="MaxSide"/>, or there are more than <see cref="MaxPixels"/>.</exception>
    public void CheckSize(long width, long height, string name)
    {
        if (width < 1 || height < 1)
        {
            throw new ImageFormatException(name, "a picture of at least 1x1", Text($"{width}x{height}"));
        }

        if (width > MaxSide || height > MaxSide)
        {
            throw new ImageFormatException(name, Text($"sides of at most {MaxSide} pixels"), Text($"{width}x{height}"));
        }

        long mostPixels = Math.Min(MaxPixels, Array.MaxLength / 3);
        if (width * height > mostPixels)
        {
            throw new ImageFormatException(name, Text($"at most {mostPixels} pixels"), Text($"{width}x{height} = {width * height}"));
        }
    }

    private static string Text(FormattableString text)
    {
        return text.ToString(CultureInfo.InvariantCulture);
    }
}
