namespace MiniVlp.Cli.Effects;

/// <summary>A published effect as a statement about measures that can turn out false.</summary>
/// <param name="Id">Its name in commands and files.</param>
/// <param name="Claim">What is expected, in one sentence.</param>
/// <param name="Source">Where it was published.</param>
/// <param name="Experiment">The runs that decide.</param>
/// <param name="Measure">The measure that decides; larger is better.</param>
/// <param name="Contrast">What is compared, within one seed: positive where the claim holds.</param>
/// <param name="ContrastText">The contrast in words.</param>
/// <param name="Threshold">The mean over the seeds that the contrast has to exceed; a claim of "at least as good" has a little below 0.</param>
public sealed record Effect(
    string Id, string Claim, string Source, Experiment Experiment, string Measure, Func<ConditionValues, double> Contrast, string ContrastText, double Threshold)
{
    /// <summary>A measure, or a sentence about it, for some data: recall is counted among the ten best where the pictures come from files.</summary>
    /// <param name="text">As for scenes.</param>
    /// <param name="data">Name of the data.</param>
    public static string On(string text, string data) => data == EffectData.ScenesName ? text : text.Replace("R@1", "R@10", StringComparison.Ordinal);
}

/// <summary>The value of any measure of any condition in the runs of one seed.</summary>
/// <param name="condition">A condition of the experiment.</param>
/// <param name="measure">A measure.</param>
public delegate double ConditionValues(string condition, string measure);

/// <summary>What the runs say about an effect.</summary>
public enum EffectVerdict
{
    /// <summary>Not all runs are there.</summary>
    Incomplete,

    /// <summary>The mean exceeds the threshold and every seed has the expected sign.</summary>
    Reproduced,

    /// <summary>The mean exceeds the threshold, but not every seed has the expected sign.</summary>
    Weak,

    /// <summary>The mean does not exceed the threshold.</summary>
    NotReproduced,
}

/// <summary>An effect over the seeds.</summary>
/// <param name="Effect">The effect.</param>
/// <param name="Contrasts">The contrast of each complete seed.</param>
/// <param name="Mean">Their mean.</param>
/// <param name="HalfWidth">Half the width of the 95 % interval of the mean by Student's t; infinite for a single seed.</param>
/// <param name="Verdict">What follows.</param>
public sealed record EffectResult(Effect Effect, IReadOnlyList<double> Contrasts, double Mean, double HalfWidth, EffectVerdict Verdict)
{
    // Two-sided 95 % quantiles of Student's t for 1, 2, ... degrees of freedom.
    private static readonly double[] StudentQuantiles = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];

    /// <summary>Judges an effect by the rows that there are.</summary>
    /// <param name="effect">The effect.</param>
    /// <param name="rows">Rows of its experiment, of one data set and scale.</param>
    /// <param name="seeds">The seeds that the protocol asks for.</param>
    public static EffectResult Judge(Effect effect, IEnumerable<EffectRow> rows, IReadOnlyList<int> seeds)
    {
        ILookup<int, EffectRow> bySeed = rows.ToLookup(row => row.Seed);
        List<double> contrasts = [];
        foreach (int seed in seeds)
        {
            Dictionary<string, EffectRow> byCondition = bySeed[seed].GroupBy(row => row.Condition, StringComparer.Ordinal).ToDictionary(group => group.Key, group => group.Last(), StringComparer.Ordinal);
            bool isComplete = true;
            double contrast = effect.Contrast((condition, measure) =>
            {
                if (byCondition.TryGetValue(condition, out EffectRow? row)) return row.Measures.GetValueOrDefault(Effect.On(measure, row.Data), double.NaN);
                isComplete = false;
                return double.NaN;
            });
            if (isComplete) contrasts.Add(contrast);
        }

        int n = contrasts.Count;
        if (n == 0) return new EffectResult(effect, contrasts, double.NaN, double.PositiveInfinity, EffectVerdict.Incomplete);
        double mean = contrasts.Average();
        double deviation = n > 1 ? Math.Sqrt(contrasts.Sum(value => (value - mean) * (value - mean)) / (n - 1)) : double.PositiveInfinity;
        double half = n > 1 ? StudentQuantiles[Math.Min(n - 2, StudentQuantiles.Length - 1)] * deviation / Math.Sqrt(n) : double.PositiveInfinity;
        EffectVerdict verdict = n < seeds.Count ? EffectVerdict.Incomplete
            : !(mean > effect.Threshold) ? EffectVerdict.NotReproduced
            : contrasts.TrueForAll(value => value > Math.Min(0, effect.Threshold)) ? EffectVerdict.Reproduced : EffectVerdict.Weak;
        return new EffectResult(effect, contrasts, mean, half, verdict);
    }
}
