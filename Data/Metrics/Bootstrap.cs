using System.Runtime.InteropServices;

namespace MiniVlp.Data.Metrics;

/// <summary>Bounds between which a metric would fall in most repetitions with other samples of the same kind.</summary>
/// <param name="Low">Lower bound.</param>
/// <param name="High">Upper bound.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct ConfidenceInterval(double Low, double High);

/// <summary>
/// Percentile bootstrap (Efron and Tibshirani 1993, chapter 13): the metric of many samples drawn with replacement from the ones at hand; the
/// interval leaves out the same share of them at either end.
/// </summary>
public static class Bootstrap
{
    /// <summary>The interval of any metric that can be computed for a list of samples.</summary>
    /// <param name="count">Number of samples, at least 1.</param>
    /// <param name="metric">The metric of the samples with these indices, each as often as it is listed. Called from one thread.</param>
    /// <param name="level">Share of repetitions inside, in (0, 1).</param>
    /// <param name="repetitions">How often to draw, at least 1.</param>
    /// <param name="seed">Same seed, same interval.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is out of bounds.</exception>
    public static ConfidenceInterval Interval(int count, Func<ReadOnlySpan<int>, double> metric, double level = 0.95, int repetitions = 1000, ulong seed = 0)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(repetitions, 1);
        ArgumentNullException.ThrowIfNull(metric);
        CheckLevel(level);
        double[] drawn = new double[repetitions];
        int[] samples = new int[count];
        for (int r = 0; r < repetitions; r++)
        {
            SampleRandom random = SampleRandom.For(seed, r, 0);
            for (int i = 0; i < count; i++)
            {
                samples[i] = random.Next(count);
            }

            drawn[r] = metric(samples);
        }

        return Between(drawn, level);
    }

    /// <summary>The interval that holds this share of the values: of a metric in each repetition, where several metrics share their draws.</summary>
    /// <param name="values">At least one.</param>
    /// <param name="level">Share of the values inside, in (0, 1).</param>
    /// <exception cref="ArgumentOutOfRangeException">The level is out of bounds, or there is no value.</exception>
    public static ConfidenceInterval Between(IReadOnlyCollection<double> values, double level = 0.95)
    {
        ArgumentNullException.ThrowIfNull(values);
        ArgumentOutOfRangeException.ThrowIfLessThan(values.Count, 1, nameof(values));
        CheckLevel(level);
        double[] sorted = [.. values.Order()];
        return new ConfidenceInterval(Quantile(sorted, (1 - level) / 2), Quantile(sorted, (1 + level) / 2));
    }

    /// <summary>The interval of a mean.</summary>
    /// <param name="values">A value for each sample, at least one.</param>
    /// <param name="level">Share of repetitions inside, in (0, 1).</param>
    /// <param name="repetitions">How often to draw, at least 1.</param>
    /// <param name="seed">Same seed, same interval.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is out of bounds, or there is no value.</exception>
    public static ConfidenceInterval OfMean(IReadOnlyList<double> values, double level = 0.95, int repetitions = 1000, ulong seed = 0)
    {
        ArgumentNullException.ThrowIfNull(values);
        return Interval(
            values.Count,
            samples =>
            {
                double sum = 0;
                foreach (int i in samples)
                {
                    sum += values[i];
                }

                return sum / samples.Length;
            },
            level,
            repetitions,
            seed);
    }

    private static void CheckLevel(double level)
    {
        if (level is not (> 0 and < 1))
        {
            throw new ArgumentOutOfRangeException(nameof(level), level, "The level must be in (0, 1).");
        }
    }

    /// <summary>The value at a share of the way through sorted values, between two neighbours in proportion.</summary>
    private static double Quantile(double[] sorted, double share)
    {
        double place = share * (sorted.Length - 1);
        int below = (int)place, above = Math.Min(below + 1, sorted.Length - 1);
        return sorted[below] + ((place - below) * (sorted[above] - sorted[below]));
    }
}
