namespace MiniVlp.Data.Images;

/// <summary>The fixed-point weights of one pass: output position i is the sum over t of <c>Values[i * Stride + t] * input[First[i] + t]</c>.</summary>
internal sealed class ResampleWeights
{
    /// <summary>Fractional bits: 32 less 8 for the pixel and 2 of headroom for negative lobes.</summary>
    public const int Bits = 32 - 8 - 2;

    private ResampleWeights(int count, int stride)
    {
        First = new int[count];
        Taps = new int[count];
        Values = new int[count * stride];
        Stride = stride;
    }

    public int[] First { get; }

    public int[] Taps { get; }

    public int[] Values { get; }

    public int Stride { get; }

    public int InputStart => First[0];

    public int InputEnd => First[^1] + Taps[^1];

    public ReadOnlySpan<int> Of(int position)
    {
        return Values.AsSpan(position * Stride, Taps[position]);
    }

    /// <summary>
    /// The interval [<paramref name="start"/>, <paramref name="end"/>) of <paramref name="size"/> input pixels is mapped to
    /// <paramref name="newSize"/> output pixels; only the outputs from <paramref name="windowStart"/> on are worked out.
    /// When shrinking, the filter is stretched by the reduction factor (antialiasing).
    /// </summary>
    public static ResampleWeights Create(
        ResampleFilter filter, int size, int newSize, float start, float end, int windowStart, int windowCount)
    {
        double scale = (double)(end - start) / newSize;
        double stretch = Math.Max(scale, 1.0);
        double support = Support(filter) * stretch;
        double inverse = 1.0 / stretch;
        int stride = ((int)Math.Ceiling(support) * 2) + 1;
        ResampleWeights weights = new(windowCount, stride);
        double[] taps = new double[stride];

        for (int i = 0; i < windowCount; i++)
        {
            double center = start + ((windowStart + i + 0.5) * scale);
            int first = Math.Max((int)(center - support + 0.5), 0);
            int count = Math.Min((int)(center + support + 0.5), size) - first;
            double total = 0;
            for (int t = 0; t < count; t++)
            {
                taps[t] = Evaluate(filter, (t + first - center + 0.5) * inverse);
                total += taps[t];
            }

            Span<int> values = weights.Values.AsSpan(i * stride, count);
            for (int t = 0; t < count; t++)
            {
                double value = (total != 0 ? taps[t] / total : taps[t]) * (1 << Bits);
                values[t] = (int)(value < 0 ? value - 0.5 : value + 0.5);
            }

            weights.First[i] = first;
            weights.Taps[i] = count;
        }

        return weights;
    }

    private static double Support(ResampleFilter filter)
    {
        return filter switch
        {
            ResampleFilter.Box => 0.5,
            ResampleFilter.Bilinear => 1,
            ResampleFilter.Bicubic => 2,
            ResampleFilter.Lanczos => 3,
            _ => throw new ArgumentOutOfRangeException(nameof(filter), filter, "Not a filter with weights."),
        };
    }

    private static double Evaluate(ResampleFilter filter, double x)
    {
        return filter switch
        {
            ResampleFilter.Box => x is > -0.5 and <= 0.5 ? 1 : 0,
            ResampleFilter.Bilinear => Math.Max(0, 1 - Math.Abs(x)),
            ResampleFilter.Bicubic => Cubic(Math.Abs(x)),
            _ => x is >= -3 and < 3 ? Sinc(x) * Sinc(x / 3) : 0,
        };
    }

    private static double Cubic(double x)
    {
        const double a = -0.5;
        return x switch
        {
            < 1 => ((((a + 2) * x) - (a + 3)) * x * x) + 1,
            < 2 => ((((x - 5) * x) + 8) * x - 4) * a,
            _ => 0,
        };
    }

    private static double Sinc(double x)
    {
        return x == 0 ? 1 : Math.Sin(x * Math.PI) / (x * Math.PI);
    }
}
