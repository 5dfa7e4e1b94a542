namespace MiniVlp.Data.Images;

/// <summary>
/// Changes brightness, contrast, saturation and hue at random and in random order, as torchvision's ColorJitter on Pillow images: a factor uniform
/// in [max(0, 1 - s), 1 + s] for the first three, a shift uniform in [-s, s] turns for the hue. It keeps contrastive learning from telling
/// pictures by their colour histograms (SimCLR, arXiv:2002.05709; MoCo, arXiv:1911.05722).
/// </summary>
public sealed class ColorJitter
{
    /// <summary>Makes the augmentation; the defaults are those of MoCo v2 (arXiv:2003.04297).</summary>
    /// <param name="brightness">Strength, at least 0; 0 leaves the brightness.</param>
    /// <param name="contrast">Strength, at least 0.</param>
    /// <param name="saturation">Strength, at least 0.</param>
    /// <param name="hue">Largest shift in turns of the colour circle, in [0, 0.5].</param>
    /// <exception cref="ArgumentOutOfRangeException">A strength is out of range.</exception>
    public ColorJitter(double brightness = 0.4, double contrast = 0.4, double saturation = 0.4, double hue = 0.1)
    {
        Brightness = Checked(brightness, nameof(brightness), double.MaxValue);
        Contrast = Checked(contrast, nameof(contrast), double.MaxValue);
        Saturation = Checked(saturation, nameof(saturation), double.MaxValue);
        Hue = Checked(hue, nameof(hue), 0.5);
    }

    /// <summary>Strength for the brightness.</summary>
    public double Brightness { get; }

    /// <summary>Strength for the contrast.</summary>
    public double Contrast { get; }

    /// <summary>Strength for the saturation.</summary>
    public double Saturation { get; }

    /// <summary>Largest shift of the hue, in turns.</summary>
    public double Hue { get; }

    /// <summary>Probability that a picture is changed at all; 1 unless told, 0.8 in MoCo v2.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The probability is outside of [0, 1].</exception>
    public double Probability
    {
        get;
        init => field = Checked(value, nameof(Probability), 1);
    } = 1;

    /// <summary>Changes the colours or not; as many numbers are drawn in either case.</summary>
    /// <param name="image">The picture; not changed.</param>
    /// <param name="random">The sample's own generator.</param>
    public RgbImage Apply(RgbImage image, ref SampleRandom random)
    {
        ArgumentNullException.ThrowIfNull(image);
        bool changes = random.Chance(Probability);
        Span<int> order = [0, 1, 2, 3];
        random.Shuffle(order);
        double brightness = Factor(Brightness, ref random);
        double contrast = Factor(Contrast, ref random);
        double saturation = Factor(Saturation, ref random);
        double hue = random.Uniform(-Hue, Hue);
        if (!changes)
        {
            return image;
        }

        foreach (int step in order)
        {
            image = step switch
            {
                0 => Brightness > 0 ? AdjustBrightness(image, brightness) : image,
                1 => Contrast > 0 ? AdjustContrast(image, contrast) : image,
                2 => Saturation > 0 ? AdjustSaturation(image, saturation) : image,
                _ => Hue > 0 ? ShiftHue(image, hue) : image,
            };
        }

        return image;
    }

    /// <summary>factor · pixel: 0 is black, 1 the picture itself.</summary>
    /// <param name="image">The picture; not changed.</param>
    /// <param name="factor">At least 0.</param>
    public static RgbImage AdjustBrightness(RgbImage image, double factor)
    {
        ArgumentNullException.ThrowIfNull(image);
        return Blend(image, factor, static (_, _) => 0, []);
    }

    /// <summary>g + factor · (pixel - g) with g the mean brightness of the picture, rounded: 0 is one grey, 1 the picture itself.</summary>
    /// <param name="image">The picture; not changed.</param>
    /// <param name="factor">At least 0.</param>
    public static RgbImage AdjustContrast(RgbImage image, double factor)
    {
        byte[] grey = ImageResize.ToGrey(image);
        long sum = 0;
        foreach (byte value in grey)
        {
            sum += value;
        }

        byte mean = (byte)(((double)sum / grey.Length) + 0.5);
        return Blend(image, factor, static (values, _) => values[0], [mean]);
    }

    /// <summary>g + factor · (pixel - g) with g the pixel's own brightness: 0 is a grey picture, 1 the picture itself.</summary>
    /// <param name="image">The picture; not changed.</param>
    /// <param name="factor">At least 0.</param>
    public static RgbImage AdjustSaturation(RgbImage image, double factor)
    {
        return Blend(image, factor, static (values, i) => values[i], ImageResize.ToGrey(image));
    }

    /// <summary>Turns the hue of every pixel, as hue, saturation and value have it; greys stay.</summary>
    /// <param name="image">The picture; not changed.</param>
    /// <param name="turns">1/3 makes red green, green blue and blue red; a whole turn is none.</param>
    /// <exception cref="ArgumentOutOfRangeException">The number of turns is not finite.</exception>
    public static RgbImage ShiftHue(RgbImage image, double turns)
    {
        ArgumentNullException.ThrowIfNull(image);
        if (!double.IsFinite(turns))
        {
            throw new ArgumentOutOfRangeException(nameof(turns), turns, "Expected a finite number of turns.");
        }

        RgbImage result = new(image.Width, image.Height);
        for (int i = 0; i < image.Pixels.Length; i += 3)
        {
            Turn(image.Pixels.AsSpan(i, 3), turns, result.Pixels.AsSpan(i, 3));
        }

        return result;
    }

    private static void Turn(ReadOnlySpan<byte> pixel, double turns, Span<byte> result)
    {
        (int red, int green, int blue) = (pixel[0], pixel[1], pixel[2]);
        int largest = Math.Max(red, Math.Max(green, blue));
        int chroma = largest - Math.Min(red, Math.Min(green, blue));
        if (chroma == 0)
        {
            pixel.CopyTo(result);
            return;
        }

        // The hue in sixths of a turn: 0 red, 2 green, 4 blue.
        double hue = largest == red ? (double)(green - blue) / chroma
            : largest == green ? 2 + ((double)(blue - red) / chroma)
            : 4 + ((double)(red - green) / chroma);
        hue += 6 * turns;
        for (int channel = 0; channel < 3; channel++)
        {
            // How far the hue is from this channel's own, on the circle: up to one sixth full, from two on nothing of the chroma.
            double distance = Math.Abs(Math.IEEERemainder(hue - (2 * channel), 6));
            result[channel] = Clamp(largest - (chroma * Math.Clamp(distance - 1, 0, 1)) + 0.5);
        }
    }

    private static RgbImage Blend(RgbImage image, double factor, Func<byte[], int, byte> other, byte[] values)
    {
        if (!(factor >= 0 && double.IsFinite(factor)))
        {
            throw new ArgumentOutOfRangeException(nameof(factor), factor, "Expected a finite factor of at least 0.");
        }

        RgbImage result = new(image.Width, image.Height);
        for (int i = 0; i < image.Pixels.Length; i++)
        {
            int from = other(values, i / 3);
            result.Pixels[i] = Clamp(from + (factor * (image.Pixels[i] - from)));
        }

        return result;
    }

    /// <summary>Cut off as Pillow does: towards zero inside of the range.</summary>
    private static byte Clamp(double value)
    {
        return (byte)Math.Clamp(value, 0, 255);
    }

    private static double Factor(double strength, ref SampleRandom random)
    {
        return random.Uniform(Math.Max(0, 1 - strength), 1 + strength);
    }

    private static double Checked(double value, string name, double largest)
    {
        return value >= 0 && value <= largest
            ? value
            : throw new ArgumentOutOfRangeException(name, value, $"Expected a number in [0, {largest}].");
    }
}
