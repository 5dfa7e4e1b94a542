namespace MiniVlp.Data.Images;

/// <summary>
/// From a picture to what a vision model takes: resize, centre crop, rescale, normalise, as the image processors of transformers do it
/// from a folder's <c>preprocessor_config.json</c>. Pixels come out planar: <c>output[c, y, x] = (pixel * RescaleFactor - Mean[c]) / Std[c]</c>.
/// </summary>
public sealed partial class ImagePreprocessor
{
    private static readonly double[] ClipMean = [0.48145466, 0.4578275, 0.40821073];
    private static readonly double[] ClipStd = [0.26862954, 0.26130258, 0.27577711];
    private static readonly double[] Half = [0.5, 0.5, 0.5];

    private float[]? _table;

    /// <summary>The class name that transformers knows it by: CLIPImageProcessor, ViTImageProcessor, BlipImageProcessor, SiglipImageProcessor.</summary>
    public string ProcessorType { get; private init; } = "CLIPImageProcessor";

    /// <summary>Whether pictures are resized at all.</summary>
    public bool DoResize { get; init; } = true;

    /// <summary>The size they are resized to.</summary>
    public ResizeTarget Size { get; init; } = ResizeTarget.ShortestEdge(224);

    /// <summary>How they are resized.</summary>
    public ResampleFilter Resample { get; init; } = ResampleFilter.Bicubic;

    /// <summary>Whether the middle is cut out after resizing.</summary>
    public bool DoCenterCrop { get; init; }

    /// <summary>The size of the middle part; where a picture is smaller, black is added around it.</summary>
    public (int Width, int Height) CropSize { get; init; } = (224, 224);

    /// <summary>Whether values are multiplied by <see cref="RescaleFactor"/>.</summary>
    public bool DoRescale { get; init; } = true;

    /// <summary>Takes bytes to [0, 1]: 1/255.</summary>
    public double RescaleFactor { get; init; } = 1.0 / 255;

    /// <summary>Whether <see cref="Mean"/> is subtracted and the result divided by <see cref="Std"/>.</summary>
    public bool DoNormalize { get; init; } = true;

    /// <summary>Mean per channel: red, green, blue.</summary>
    public IReadOnlyList<double> Mean { get; init; } = ClipMean;

    /// <summary>Standard deviation per channel: red, green, blue.</summary>
    public IReadOnlyList<double> Std { get; init; } = ClipStd;

    /// <summary>CLIP (Radford et al. 2021, arXiv 2103.00020): shorter side to <paramref name="size"/> with bicubic, square from the middle, CLIP's mean and std.</summary>
    /// <param name="size">Side of the square.</param>
    public static ImagePreprocessor Clip(int size = 224)
    {
        return new ImagePreprocessor { Size = ResizeTarget.ShortestEdge(size), DoCenterCrop = true, CropSize = (size, size) };
    }

    /// <summary>ViT (Dosovitskiy et al. 2020, arXiv 2010.11929): to a square with bilinear, mean and std 0.5.</summary>
    /// <param name="size">Side of the square.</param>
    public static ImagePreprocessor Vit(int size = 224)
    {
        return new ImagePreprocessor
        {
            ProcessorType = "ViTImageProcessor",
            Size = ResizeTarget.Exact(size, size),
            Resample = ResampleFilter.Bilinear,
            Mean = Half,
            Std = Half,
        };
    }

    /// <summary>BLIP (Li et al. 2022, arXiv 2201.12086): to a square with bicubic, CLIP's mean and std.</summary>
    /// <param name="size">Side of the square.</param>
    public static ImagePreprocessor Blip(int size = 384)
    {
        return new ImagePreprocessor { ProcessorType = "BlipImageProcessor", Size = ResizeTarget.Exact(size, size) };
    }

    /// <summary>SigLIP (Zhai et al. 2023, arXiv 2303.15343): to a square with bicubic, mean and std 0.5.</summary>
    /// <param name="size">Side of the square.</param>
    public static ImagePreprocessor Siglip(int size = 224)
    {
        return new ImagePreprocessor { ProcessorType = "SiglipImageProcessor", Size = ResizeTarget.Exact(size, size), Mean = Half, Std = Half };
    }

    /// <summary>The size that a picture of the given size comes out at; the same for all when cropping or resizing to a fixed size.</summary>
    /// <param name="width">Columns of the picture.</param>
    /// <param name="height">Rows of the picture.</param>
    public (int Width, int Height) OutputSize(int width, int height)
    {
        if (DoCenterCrop)
        {
            return CropSize;
        }

        return DoResize ? Size.Of(width, height) : (width, height);
    }

    /// <summary>All steps.</summary>
    /// <param name="image">The picture; not changed.</param>
    /// <param name="output">[3, height, width] of <see cref="OutputSize"/>; every value is written.</param>
    /// <exception cref="ArgumentException">The output has another length.</exception>
    public void Process(RgbImage image, Span<float> output)
    {
        Normalize(ResizeAndCrop(image), output);
    }

    /// <summary>All steps, into a new array [3, height, width] of <see cref="OutputSize"/>.</summary>
    /// <param name="image">The picture; not changed.</param>
    public float[] Process(RgbImage image)
    {
        RgbImage prepared = ResizeAndCrop(image);
        float[] output = new float[prepared.Pixels.Length];
        Normalize(prepared, output);
        return output;
    }

    /// <summary>The first steps only: the picture as the model will see it. Augmentation takes the place of this one in training.</summary>
    /// <param name="image">The picture; not changed.</param>
    /// <exception cref="ArgumentException">Keeping the aspect ratio without a crop would make the result larger than <see cref="ImageLimits.Default"/>.</exception>
    public RgbImage ResizeAndCrop(RgbImage image)
    {
        ArgumentNullException.ThrowIfNull(image);
        (int width, int height) = DoResize ? Size.Of(image.Width, image.Height) : (image.Width, image.Height);
        if (!DoCenterCrop)
        {
            if ((long)width * height > ImageLimits.Default.MaxPixels)
            {
                throw new ArgumentException($"Resizing {image.Width}x{image.Height} would give {width}x{height}, too large; crop it.", nameof(image));
            }

            return DoResize ? ImageResize.Resize(image, width, height, Resample) : image;
        }

        // Floor division, also where the crop is larger than the picture and the offset negative.
        (int cropWidth, int cropHeight) = CropSize;
        int left = (width - cropWidth) >> 1;
        int top = (height - cropHeight) >> 1;
        int x = Math.Max(left, 0);
        int y = Math.Max(top, 0);
        ImageRectangle window = new(x, y, Math.Min(left + cropWidth, width) - x, Math.Min(top + cropHeight, height) - y);
        RgbImage middle = DoResize ? ImageResize.ResizeAndCrop(image, width, height, Resample, window) : ImageResize.Crop(image, window);
        if (middle.Width == cropWidth && middle.Height == cropHeight)
        {
            return middle;
        }

        RgbImage padded = new(cropWidth, cropHeight);
        for (int row = 0; row < middle.Height; row++)
        {
            middle.Row(row).CopyTo(padded.Row(row + y - top)[((x - left) * 3)..]);
        }

        return padded;
    }

    /// <summary>The last steps only: rescale and normalise.</summary>
    /// <param name="image">A picture of the final size; not changed.</param>
    /// <param name="output">[3, image.Height, image.Width]; every value is written.</param>
    /// <exception cref="ArgumentException">The output has another length.</exception>
    public void Normalize(RgbImage image, Span<float> output)
    {
        ArgumentNullException.ThrowIfNull(image);
        ReadOnlySpan<byte> pixels = image.Pixels;
        if (output.Length != pixels.Length)
        {
            throw new ArgumentException($"An output of [3, {image.Height}, {image.Width}] has {pixels.Length} values, got {output.Length}.", nameof(output));
        }

        // A channel has 256 possible values; what becomes of each is worked out once.
        float[] table = _table ??= MakeTable();
        int plane = pixels.Length / 3;
        for (int c = 0; c < 3; c++)
        {
            ReadOnlySpan<float> values = table.AsSpan(256 * c, 256);
            Span<float> target = output.Slice(plane * c, plane);
            int source = c;
            for (int i = 0; i < target.Length; i++, source += 3)
            {
                target[i] = values[pixels[source]];
            }
        }
    }

    private float[] MakeTable()
    {
        if (Mean.Count != 3 || Std.Count != 3)
        {
            throw new InvalidOperationException($"Mean and Std need 3 values each, got {Mean.Count} and {Std.Count}.");
        }

        float[] table = new float[3 * 256];
        for (int i = 0; i < table.Length; i++)
        {
            double value = (i % 256) * (DoRescale ? RescaleFactor : 1);
            table[i] = (float)(DoNormalize ? (value - Mean[i / 256]) / Std[i / 256] : value);
        }

        return table;
    }
}
