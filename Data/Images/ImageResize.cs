namespace MiniVlp.Data.Images;

/// <summary>
/// Resizing, cropping and grey conversion of 8-bit pictures, bit for bit as PIL does it: fixed-point weights with 22 fractional bits,
/// two passes, each rounded and clipped to a byte, the filter stretched when shrinking (antialiasing).
/// </summary>
/// <remarks>
/// A model sees the pixels its training pipeline saw only if this step agrees exactly. Columns come first, then rows; but, as in
/// Pillow 13, rows come first when the height loses more than twice the pixels that the width loses. Earlier versions of Pillow knew no
/// such exception; there the two differ by a few grey levels in some pixels.
/// </remarks>
public static class ImageResize
{
    /// <summary>The whole picture at a new size, as <c>Image.resize((width, height), filter)</c>.</summary>
    /// <param name="image">The picture; not changed.</param>
    /// <param name="width">New width, at least 1.</param>
    /// <param name="height">New height, at least 1.</param>
    /// <param name="filter">The weighting.</param>
    /// <exception cref="ArgumentOutOfRangeException">A side is below 1, the filter is unknown, or the result would not fit in one array.</exception>
    public static RgbImage Resize(RgbImage image, int width, int height, ResampleFilter filter)
    {
        return Resize(image, width, height, filter, Whole(image));
    }

    /// <summary>
    /// A part of the picture at a new size, as <c>Image.resize((width, height), filter, box)</c>: pixels just outside of the box still
    /// count where the filter reaches them. To forbid that, use <see cref="CropAndResize"/>.
    /// </summary>
    /// <param name="image">The picture; not changed.</param>
    /// <param name="width">New width, at least 1.</param>
    /// <param name="height">New height, at least 1.</param>
    /// <param name="filter">The weighting.</param>
    /// <param name="box">The part, inside the picture and not empty.</param>
    /// <exception cref="ArgumentOutOfRangeException">As above, or the box is empty or leaves the picture.</exception>
    public static RgbImage Resize(RgbImage image, int width, int height, ResampleFilter filter, ImageBox box)
    {
        return Resize(image, width, height, filter, box, new ImageRectangle(0, 0, width, height));
    }

    /// <summary>
    /// The <paramref name="window"/> of the resized picture, without computing the rest of it: equal to cropping the result of
    /// <see cref="Resize(RgbImage, int, int, ResampleFilter)"/>.
    /// </summary>
    /// <param name="image">The picture; not changed.</param>
    /// <param name="width">Width of the resized picture, at least 1.</param>
    /// <param name="height">Height of the resized picture, at least 1.</param>
    /// <param name="filter">The weighting.</param>
    /// <param name="window">The part wanted, inside the resized picture.</param>
    /// <exception cref="ArgumentOutOfRangeException">As above, or the window is empty or leaves the resized picture.</exception>
    public static RgbImage ResizeAndCrop(RgbImage image, int width, int height, ResampleFilter filter, ImageRectangle window)
    {
        return Resize(image, width, height, filter, Whole(image), window);
    }

    /// <summary>Cuts <paramref name="crop"/> out and resizes it: pixels outside of the crop have no influence (torchvision's resized_crop).</summary>
    /// <param name="image">The picture; not changed.</param>
    /// <param name="crop">The part, inside the picture and not empty.</param>
    /// <param name="width">New width, at least 1.</param>
    /// <param name="height">New height, at least 1.</param>
    /// <param name="filter">The weighting.</param>
    /// <exception cref="ArgumentOutOfRangeException">As above, or the crop is empty or leaves the picture.</exception>
    public static RgbImage CropAndResize(RgbImage image, ImageRectangle crop, int width, int height, ResampleFilter filter)
    {
        ArgumentNullException.ThrowIfNull(image);
        CheckInside(crop, image.Width, image.Height, nameof(crop));
        CheckSize(width, height, 3, filter);
        ReadOnlySpan<byte> pixels = image.Pixels.AsSpan(((crop.Y * image.Width) + crop.X) * 3);
        Resampler resampler = new(pixels, crop.Width, crop.Height, image.Width * 3, 3);
        ImageBox box = new(0, 0, crop.Width, crop.Height);
        return new RgbImage(width, height, resampler.Resize(width, height, filter, box, new ImageRectangle(0, 0, width, height)));
    }

    /// <summary>Cuts a rectangle out of the picture.</summary>
    /// <param name="image">The picture; not changed.</param>
    /// <param name="crop">The part, inside the picture and not empty.</param>
    /// <exception cref="ArgumentOutOfRangeException">The crop is empty or leaves the picture.</exception>
    public static RgbImage Crop(RgbImage image, ImageRectangle crop)
    {
        ArgumentNullException.ThrowIfNull(image);
        CheckInside(crop, image.Width, image.Height, nameof(crop));
        RgbImage result = new(crop.Width, crop.Height);
        for (int y = 0; y < crop.Height; y++)
        {
            image.Row(crop.Y + y).Slice(crop.X * 3, crop.Width * 3).CopyTo(result.Row(y));
        }

        return result;
    }

    /// <summary>A one-channel picture at a new size, as <c>Image.resize</c> of mode "L".</summary>
    /// <param name="pixels"><paramref name="width"/> times <paramref name="height"/> values, row by row.</param>
    /// <param name="width">Width of the input.</param>
    /// <param name="height">Height of the input.</param>
    /// <param name="newWidth">New width, at least 1.</param>
    /// <param name="newHeight">New height, at least 1.</param>
    /// <param name="filter">The weighting.</param>
    /// <returns>newWidth times newHeight values.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A side is below 1, the filter is unknown, or the result would not fit in one array.</exception>
    /// <exception cref="ArgumentException">The number of pixels is not width times height.</exception>
    public static byte[] ResizeGrey(ReadOnlySpan<byte> pixels, int width, int height, int newWidth, int newHeight, ResampleFilter filter)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(height, 1);
        if (pixels.Length != (long)width * height)
        {
            throw new ArgumentException($"A grey image of {width}x{height} needs {(long)width * height} bytes, got {pixels.Length}.", nameof(pixels));
        }

        CheckSize(newWidth, newHeight, 1, filter);
        Resampler resampler = new(pixels, width, height, width, 1);
        return resampler.Resize(newWidth, newHeight, filter, new ImageBox(0, 0, width, height), new ImageRectangle(0, 0, newWidth, newHeight));
    }

    /// <summary>Brightness by ITU-R 601: <c>(19595 R + 38470 G + 7471 B + 32768) >> 16</c>, as <c>Image.convert("L")</c>.</summary>
    /// <param name="image">The picture; not changed.</param>
    /// <returns>Width times height values, row by row.</returns>
    public static byte[] ToGrey(RgbImage image)
    {
        ArgumentNullException.ThrowIfNull(image);
        ReadOnlySpan<byte> pixels = image.Pixels;
        byte[] grey = new byte[image.Width * image.Height];
        for (int i = 0; i < grey.Length; i++)
        {
            ReadOnlySpan<byte> pixel = pixels.Slice(i * 3, 3);
            grey[i] = (byte)(((19595 * pixel[0]) + (38470 * pixel[1]) + (7471 * pixel[2]) + 32768) >> 16);
        }

        return grey;
    }

    private static RgbImage Resize(RgbImage image, int width, int height, ResampleFilter filter, ImageBox box, ImageRectangle window)
    {
        ArgumentNullException.ThrowIfNull(image);
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(height, 1);
        CheckInside(window, width, height, nameof(window));
        CheckSize(window.Width, window.Height, 3, filter);
        bool inside = box.Left >= 0 && box.Top >= 0 && box.Right <= image.Width && box.Bottom <= image.Height
            && box.Left < box.Right && box.Top < box.Bottom;
        if (!inside)
        {
            throw new ArgumentOutOfRangeException(nameof(box), box, $"The box must not be empty and must lie inside {image.Width}x{image.Height}.");
        }

        Resampler resampler = new(image.Pixels, image.Width, image.Height, image.Width * 3, 3);
        return new RgbImage(window.Width, window.Height, resampler.Resize(width, height, filter, box, window));
    }

    private static ImageBox Whole(RgbImage image)
    {
        ArgumentNullException.ThrowIfNull(image);
        return new ImageBox(0, 0, image.Width, image.Height);
    }

    private static void CheckSize(int width, int height, int channels, ResampleFilter filter)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(height, 1);
        if (!Enum.IsDefined(filter))
        {
            throw new ArgumentOutOfRangeException(nameof(filter), filter, "Unknown resample filter.");
        }

        if ((long)width * height * channels > Array.MaxLength)
        {
            throw new ArgumentOutOfRangeException(nameof(height), $"{width}x{height}", "The resized picture would not fit in one array.");
        }
    }

    private static void CheckInside(ImageRectangle part, int width, int height, string name)
    {
        bool inside = part.X >= 0 && part.Y >= 0 && part.Width >= 1 && part.Height >= 1
            && part.X <= width - part.Width && part.Y <= height - part.Height;
        if (!inside)
        {
            throw new ArgumentOutOfRangeException(name, part, $"The rectangle must not be empty and must lie inside {width}x{height}.");
        }
    }
}
