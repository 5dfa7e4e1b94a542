namespace MiniVlp.Data.Images;

/// <summary>Takes the colour out of pictures at random: all three channels become the brightness (MoCo, arXiv:1911.05722; SimCLR, arXiv:2002.05709).</summary>
public sealed class RandomGrayscale
{
    /// <summary>Makes the augmentation.</summary>
    /// <param name="probability">Of a grey picture, in [0, 1]; 0.2 in MoCo.</param>
    /// <exception cref="ArgumentOutOfRangeException">The probability is outside of [0, 1].</exception>
    public RandomGrayscale(double probability = 0.2)
    {
        if (probability is not (>= 0 and <= 1))
        {
            throw new ArgumentOutOfRangeException(nameof(probability), probability, "Expected a probability in [0, 1].");
        }

        Probability = probability;
    }

    /// <summary>Probability of a grey picture.</summary>
    public double Probability { get; }

    /// <summary>Greys the picture or not; one number is drawn in either case.</summary>
    /// <param name="image">The picture; not changed.</param>
    /// <param name="random">The sample's own generator.</param>
    public RgbImage Apply(RgbImage image, ref SampleRandom random)
    {
        ArgumentNullException.ThrowIfNull(image);
        return random.Chance(Probability) ? ToGray(image) : image;
    }

    /// <summary>The picture with the brightness in all three channels.</summary>
    /// <param name="image">The picture; not changed.</param>
    public static RgbImage ToGray(RgbImage image)
    {
        byte[] grey = ImageResize.ToGrey(image);
        RgbImage result = new(image.Width, image.Height);
        for (int i = 0; i < grey.Length; i++)
        {
            result.Pixels.AsSpan(3 * i, 3).Fill(grey[i]);
        }

        return result;
    }
}
