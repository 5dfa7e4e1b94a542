namespace MiniVlp.Data.Images;

/// <summary>An 8-bit RGB picture in memory: <c>Pixels[(y * Width + x) * 3 + channel]</c>, rows from the top, no padding.</summary>
public sealed class RgbImage
{
    /// <summary>Wraps <paramref name="pixels"/> without copying; its length must be <c>width * height * 3</c>.</summary>
    /// <param name="width">Columns, at least 1.</param>
    /// <param name="height">Rows, at least 1.</param>
    /// <param name="pixels">Interleaved RGB, row by row.</param>
    /// <exception cref="ArgumentOutOfRangeException">A side is below 1.</exception>
    /// <exception cref="ArgumentException">The pixel array does not have <c>width * height * 3</c> bytes.</exception>
    public RgbImage(int width, int height, byte[] pixels)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(height, 1);
        ArgumentNullException.ThrowIfNull(pixels);
        long expected = (long)width * height * 3;
        if (pixels.Length != expected)
        {
            throw new ArgumentException($"An RGB image of {width}x{height} needs {expected} bytes, got {pixels.Length}.", nameof(pixels));
        }

        Width = width;
        Height = height;
        Pixels = pixels;
    }

    /// <summary>Makes a black picture of the given size.</summary>
    /// <param name="width">Columns, at least 1.</param>
    /// <param name="height">Rows, at least 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">A side is below 1, or the picture would not fit in one array.</exception>
    public RgbImage(int width, int height)
        : this(width, height, new byte[ByteCount(width, height)])
    {
    }

    /// <summary>Columns.</summary>
    public int Width { get; }

    /// <summary>Rows.</summary>
    public int Height { get; }

    /// <summary>Interleaved RGB bytes, row by row from the top: <c>Width * Height * 3</c> of them.</summary>
    public byte[] Pixels { get; }

    /// <summary>The red, green and blue value at column <paramref name="x"/> and row <paramref name="y"/>.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The position is outside the picture.</exception>
    public (byte Red, byte Green, byte Blue) this[int x, int y]
    {
        get
        {
            int offset = Offset(x, y);
            return (Pixels[offset], Pixels[offset + 1], Pixels[offset + 2]);
        }

        set
        {
            int offset = Offset(x, y);
            (Pixels[offset], Pixels[offset + 1], Pixels[offset + 2]) = value;
        }
    }

    /// <summary>The bytes of row <paramref name="y"/>: <c>Width * 3</c> of them.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is no such row.</exception>
    public Span<byte> Row(int y)
    {
        return Pixels.AsSpan(Offset(0, y), Width * 3);
    }

    private static int ByteCount(int width, int height)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(height, 1);
        long count = (long)width * height * 3;
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, Array.MaxLength, nameof(height));
        return (int)count;
    }

    private int Offset(int x, int y)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(x);
        ArgumentOutOfRangeException.ThrowIfNegative(y);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(x, Width);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(y, Height);
        return ((y * Width) + x) * 3;
    }
}
