namespace MiniVlp.Data.Images;

/// <summary>
/// Cuts out a rectangle of random area and aspect ratio and resizes it, as torchvision's RandomResizedCrop draws it (Szegedy et al. 2014,
/// arXiv 1409.4842): area uniform in <see cref="Scale"/>, aspect ratio log-uniform in <see cref="Ratio"/>, position uniform.
/// </summary>
public sealed class RandomResizedCrop
{
    private const int Attempts = 10;

    /// <summary>Makes the augmentation for square outputs.</summary>
    /// <param name="size">Width and height of the result.</param>
    /// <exception cref="ArgumentOutOfRangeException">The size is below 1.</exception>
    public RandomResizedCrop(int size)
        : this(size, size)
    {
    }

    /// <summary>Makes the augmentation.</summary>
    /// <param name="width">Width of the result.</param>
    /// <param name="height">Height of the result.</param>
    /// <exception cref="ArgumentOutOfRangeException">A side is below 1.</exception>
    public RandomResizedCrop(int width, int height)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(height, 1);
        Width = width;
        Height = height;
    }

    /// <summary>Width of the result.</summary>
    public int Width { get; }

    /// <summary>Height of the result.</summary>
    public int Height { get; }

    /// <summary>Least and greatest share of the picture's area; (0.08, 1) unless told, CLIP uses (0.9, 1), BLIP (0.5, 1).</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not 0 &lt; least &lt;= greatest.</exception>
    public (double Least, double Greatest) Scale
    {
        get;
        init => field = Checked(value, nameof(Scale));
    } = (0.08, 1);

    /// <summary>Least and greatest width over height of the cut; (3/4, 4/3) unless told.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not 0 &lt; least &lt;= greatest.</exception>
    public (double Least, double Greatest) Ratio
    {
        get;
        init => field = Checked(value, nameof(Ratio));
    } = (3.0 / 4, 4.0 / 3);

    /// <summary>How the cut is resized; bicubic unless told.</summary>
    public ResampleFilter Resample { get; init; } = ResampleFilter.Bicubic;

    /// <summary>Draws a rectangle and returns it at the result's size.</summary>
    /// <param name="image">The picture; not changed.</param>
    /// <param name="random">The sample's own generator.</param>
    public RgbImage Apply(RgbImage image, ref SampleRandom random)
    {
        ArgumentNullException.ThrowIfNull(image);
        return ImageResize.CropAndResize(image, Draw(image.Width, image.Height, ref random), Width, Height, Resample);
    }

    /// <summary>Draws a rectangle inside a picture of the given size; after ten that do not fit, the largest in the middle with an allowed ratio.</summary>
    /// <param name="width">Columns of the picture.</param>
    /// <param name="height">Rows of the picture.</param>
    /// <param name="random">The sample's own generator.</param>
    public ImageRectangle Draw(int width, int height, ref SampleRandom random)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(height, 1);
        double area = (double)width * height;
        for (int attempt = 0; attempt < Attempts; attempt++)
        {
            double cropArea = area * random.Uniform(Scale.Least, Scale.Greatest);
            double ratio = Math.Exp(random.Uniform(Math.Log(Ratio.Least), Math.Log(Ratio.Greatest)));
            double cropWidth = Math.Round(Math.Sqrt(cropArea * ratio));
            double cropHeight = Math.Round(Math.Sqrt(cropArea / ratio));
            if (cropWidth > 0 && cropWidth <= width && cropHeight > 0 && cropHeight <= height)
            {
                int top = random.Next(height - (int)cropHeight + 1);
                int left = random.Next(width - (int)cropWidth + 1);
                return new ImageRectangle(left, top, (int)cropWidth, (int)cropHeight);
            }
        }

        return Middle(width, height);
    }

    private ImageRectangle Middle(int width, int height)
    {
        double ratio = (double)width / height;
        int cropWidth = ratio > Ratio.Greatest ? AtLeastOne(height * Ratio.Greatest, width) : width;
        int cropHeight = ratio < Ratio.Least ? AtLeastOne(width / Ratio.Least, height) : height;
        return new ImageRectangle((width - cropWidth) / 2, (height - cropHeight) / 2, cropWidth, cropHeight);
    }

    private static int AtLeastOne(double side, int most)
    {
        return (int)Math.Clamp(Math.Round(side), 1, most);
    }

    private static (double Least, double Greatest) Checked((double Least, double Greatest) range, string name)
    {
        return range.Least > 0 && range.Least <= range.Greatest && double.IsFinite(range.Greatest)
            ? range
            : throw new ArgumentOutOfRangeException(name, range, "Expected 0 < least <= greatest.");
    }
}
