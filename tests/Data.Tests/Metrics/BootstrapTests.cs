using CsCheck;
using MiniVlp.Data.Metrics;
using Xunit;

namespace MiniVlp.Data.Tests.Metrics;

public sealed class BootstrapTests
{
    [Fact]
    public void IntervalOfAMeanIsTheNormalOneForManySamples()
    {
        // 400 answers, 300 right: mean 0.75, standard error √(0.75 · 0.25 / 400) = 0.02165, 95 %: 0.75 ± 0.0424.
        double[] values = [.. Enumerable.Range(0, 400).Select(i => i % 4 == 0 ? 0.0 : 1.0)];
        ConfidenceInterval interval = Bootstrap.OfMean(values, repetitions: 4000);
        Assert.Equal(0.75 - 0.0424, interval.Low, 0.005);
        Assert.Equal(0.75 + 0.0424, interval.High, 0.005);
        ConfidenceInterval narrow = Bootstrap.OfMean(values, level: 0.5, repetitions: 4000);
        Assert.Equal(0.6745 * 2 * 0.02165, narrow.High - narrow.Low, 0.006);
    }

    [Fact]
    public void IntervalCoversTheTruthAsOftenAsItSays()
    {
        // 300 experiments of 100 throws with p = 0.3; 95 % of the intervals hold 0.3. Four standard deviations: 0.95 ± 0.05, and a little less than
        // nominal, as is known of percentile intervals.
        int covered = Enumerable.Range(0, 300).Count(experiment =>
        {
            SampleRandom random = new((ulong)experiment);
            double[] values = new double[100];
            for (int i = 0; i < values.Length; i++)
            {
                values[i] = random.Chance(0.3) ? 1 : 0;
            }

            ConfidenceInterval interval = Bootstrap.OfMean(values, repetitions: 200, seed: (ulong)experiment);
            return interval.Low <= 0.3 && interval.High >= 0.3;
        });
        Assert.InRange(covered, 267, 299);
    }

    [Fact]
    public void SameSeedSameInterval()
    {
        double[] values = [0, 1, 1, 0, 0.5, 0.25, 1];
        Assert.Equal(Bootstrap.OfMean(values, seed: 7), Bootstrap.OfMean(values, seed: 7));
        Assert.NotEqual(Bootstrap.OfMean(values, seed: 7, repetitions: 50), Bootstrap.OfMean(values, seed: 8, repetitions: 50));
    }

    [Fact]
    public void ConstantValuesHaveNoWidthAndBoundsLieBetweenTheExtremes()
    {
        Assert.Equal(new ConfidenceInterval(0.4, 0.4), Bootstrap.Interval(5, _ => 0.4));
        Assert.Equal(new ConfidenceInterval(3, 3), Bootstrap.OfMean([3]));
        Gen.Double[-1, 1].Array[1, 20].Sample(values =>
        {
            ConfidenceInterval interval = Bootstrap.OfMean(values, repetitions: 50);
            Assert.True(values.Min() - 1e-12 <= interval.Low && interval.Low <= interval.High && interval.High <= values.Max() + 1e-12);
        });
    }

    [Fact]
    public void WrongNumbersAreRefused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => Bootstrap.OfMean([]));
        Assert.Throws<ArgumentOutOfRangeException>(() => Bootstrap.Interval(3, _ => 0, level: 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => Bootstrap.Interval(3, _ => 0, repetitions: 0));
    }
}
