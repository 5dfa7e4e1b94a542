using Xunit;

namespace MiniVlp.Engine.Tests.Pretraining;

/// <summary>Pearson's test that counts come from given probabilities; the seeds of the tests are fixed, so it passes always or never.</summary>
internal static class ChiSquare
{
    /// <summary>Fails when Σ (observed - expected)² / expected is beyond the 99.99th percentile (Wilson and Hilferty's approximation).</summary>
    public static void Check(ReadOnlySpan<int> observed, ReadOnlySpan<double> probabilities, int draws)
    {
        double statistic = 0;
        int cells = 0;
        for (int i = 0; i < observed.Length; i++)
        {
            double expected = probabilities[i] * draws;
            if (expected == 0)
            {
                Assert.Equal(0, observed[i]);
                continue;
            }

            Assert.True(expected >= 5, $"cell {i} expects only {expected} draws: too few for the test");
            statistic += (observed[i] - expected) * (observed[i] - expected) / expected;
            cells++;
        }

        double freedom = cells - 1, spread = 2 / (9 * freedom), limit = freedom * Math.Pow(1 - spread + (3.719 * Math.Sqrt(spread)), 3);
        Assert.True(statistic <= limit, $"χ² = {statistic:F1} with {freedom} degrees of freedom; the limit is {limit:F1}");
    }
}
