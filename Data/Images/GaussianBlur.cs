namespace MiniVlp.Data.Images;

/// <summary>
/// Blurs pictures at random with a Gaussian of random width (SimCLR, arXiv:2002.05709; MoCo v2, arXiv:2003.04297). The kernel reaches to three
/// standard deviations; pixels outside of the picture are those of its edge.
/// </summary>
public sealed class GaussianBlur
{
    private const double Widest = 100;

    /// <summary>Makes the augmentation.</summary>
    /// <param name="probability">Of blurring a picture, in [0, 1].</param>
    /// <exception cref="ArgumentOutOfRangeException">The probability is outside of [0, 1].</exception>
    public GaussianBlur(double probability = 0.5)
    {
        if (probability is not (>= 0 and <= 1))
        {
            throw new ArgumentOutOfRangeException(nameof(probability), probability, "Expected a probability in [0, 1].");
        }

        Probability = probability;
    }

    /// <summary>Probability of blurring a picture.</summary>
    public double Probability { get; }

    /// <summary>Least and greatest standard deviation in pixels; (0.1, 2) unless told, for pictures of 224 pixels.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not 0 &lt; least &lt;= greatest &lt;= 100.</exception>
    public (double Least, double Greatest) Sigma
    {
        get;
        init => field = value.Least > 0 && value.Least <= value.Greatest && value.Greatest <= Widest
            ? value
            : throw new ArgumentOutOfRangeException(nameof(Sigma), value, $"Expected 0 < least <= greatest <= {Widest}.");
    } = (0.1, 2);

    /// <summary>Blurs the picture or not; two numbers are drawn in either case.</summary>
    /// <param name="image">The picture; not changed.</param>
    /// <param name="random">The sample's own generator.</param>
    public RgbImage Apply(RgbImage image, ref SampleRandom random)
    {
        ArgumentNullException.ThrowIfNull(image);
        bool blurs = random.Chance(Probability);
        double sigma = random.Uniform(Sigma.Least, Sigma.Greatest);
        return blurs ? Blur(image, sigma) : image;
    }

    /// <summary>Each pixel becomes the mean of its neighbours with weights exp(-d² / 2σ²), first along rows, then along columns.</summary>
    /// <param name="image">The picture; not changed.</param>
    /// <param name="sigma">σ in pixels, in (0, 100].</param>
    /// <exception cref="ArgumentOutOfRangeException">σ is out of range.</exception>
    public static RgbImage Blur(RgbImage image, double sigma)
    {
        ArgumentNullException.ThrowIfNull(image);
        if (sigma is not (> 0 and <= Widest))
        {
            throw new ArgumentOutOfRangeException(nameof(sigma), sigma, $"Expected a standard deviation in (0, {Widest}].");
        }

        float[] kernel = Kernel(sigma);
        int height = image.Height;
        int rowLength = 3 * image.Width;
        float[] alongRows = new float[image.Pixels.Length];
        for (int y = 0; y < height; y++)
        {
            for (int i = 0; i < rowLength; i++)
            {
                alongRows[(y * rowLength) + i] = WeightedSum(kernel, image.Width, i / 3, image.Pixels, (y * rowLength) + (i % 3), 3);
            }
        }

        RgbImage result = new(image.Width, height);
        for (int y = 0; y < height; y++)
        {
            for (int i = 0; i < rowLength; i++)
            {
                result.Pixels[(y * rowLength) + i] = (byte)Math.Clamp(WeightedSum(kernel, height, y, alongRows, i, rowLength) + 0.5f, 0, 255);
            }
        }

        return result;
    }

    /// <summary>Half of the symmetric kernel: the weight of distance d at [d]; both halves together sum to 1.</summary>
    private static float[] Kernel(double sigma)
    {
        int radius = (int)Math.Ceiling(3 * sigma);
        double[] weights = new double[radius + 1];
        double sum = 0;
        for (int d = 0; d <= radius; d++)
        {
            weights[d] = Math.Exp(-d * d / (2 * sigma * sigma));
            sum += d == 0 ? weights[d] : 2 * weights[d];
        }

        return Array.ConvertAll(weights, weight => (float)(weight / sum));
    }

    private static float WeightedSum<T>(float[] kernel, int length, int place, T[] values, int first, int stride)
        where T : struct, System.Numerics.INumberBase<T>
    {
        float sum = 0;
        for (int d = 1 - kernel.Length; d < kernel.Length; d++)
        {
            int neighbour = Math.Clamp(place + d, 0, length - 1);
            sum += kernel[Math.Abs(d)] * float.CreateTruncating(values[first + (neighbour * stride)]);
        }

        return sum;
    }
}
