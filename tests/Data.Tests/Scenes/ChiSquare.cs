namespace MiniVlp.Data.Tests.Scenes;

/// <summary>Pearson's test of counts against expected shares.</summary>
internal static class ChiSquare
{
    /// <summary>The statistic: sum of (observed - expected)^2 / expected.</summary>
    public static double Statistic(IReadOnlyList<int> observed, IReadOnlyList<double> shares)
    {
        double total = observed.Sum();
        double sum = 0;
        for (int i = 0; i < observed.Count; i++)
        {
            double expected = total * shares[i];
            sum += Math.Pow(observed[i] - expected, 2) / expected;
        }

        return sum;
    }

    /// <summary>The value that a statistic with this many degrees of freedom passes once in 10,000 (table of the chi-square distribution).</summary>
    public static double Critical(int degreesOfFreedom)
    {
        return degreesOfFreedom switch
        {
            1 => 15.14,
            2 => 18.42,
            3 => 21.11,
            4 => 23.51,
            5 => 25.74,
            9 => 33.72,
            _ => throw new ArgumentOutOfRangeException(nameof(degreesOfFreedom)),
        };
    }
}
