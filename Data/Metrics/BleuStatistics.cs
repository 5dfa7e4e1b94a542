using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace MiniVlp.Data.Metrics;

/// <summary>
/// What BLEU counts of one candidate, and by addition of a corpus (Papineni et al. 2002, ACL P02-1040):
/// BLEU-n = min(1, exp(1 - r / c)) · (p_1 · ... · p_n)^(1/n), where p_k is the share of the candidates' k-grams that a reference has (each
/// counted at most as often as in the reference that has it most often), c the number of words of the candidates and r that of the references
/// nearest in length, the shorter one of two equally near. All sums run over the corpus before anything is divided.
/// </summary>
[StructLayout(LayoutKind.Auto)]
public readonly struct BleuStatistics
{
    private readonly Counts _matches;
    private readonly Counts _totals;

    private BleuStatistics(long length, long referenceLength, Counts matches, Counts totals)
    {
        Length = length;
        ReferenceLength = referenceLength;
        _matches = matches;
        _totals = totals;
    }

    /// <summary>Words of the candidates.</summary>
    public long Length { get; }

    /// <summary>Words of the references nearest in length.</summary>
    public long ReferenceLength { get; }

    /// <summary>Factor for candidates that are too short: 1 when they are not, exp(1 - r / c) when they are, 0 without any word.</summary>
    public double BrevityPenalty => Length >= ReferenceLength ? 1 : Length == 0 ? 0 : Math.Exp(1 - ((double)ReferenceLength / Length));

    /// <summary>Counts one candidate.</summary>
    /// <param name="candidate">Its words.</param>
    /// <param name="references">Words of its references, at least one.</param>
    /// <exception cref="ArgumentException">There is no reference.</exception>
    public static BleuStatistics Count(string[] candidate, IReadOnlyList<string[]> references)
    {
        ArgumentNullException.ThrowIfNull(candidate);
        MetricArguments.NeedReference(references);
        int nearest = references.Select(words => words.Length).OrderBy(length => Math.Abs(length - candidate.Length)).ThenBy(length => length).First();
        Counts matches = default, totals = default;
        for (int n = 1; n <= NGrams.Longest; n++)
        {
            Dictionary<string, int>[] ofReferences = [.. references.Select(words => NGrams.Count(words, n))];
            foreach ((string sequence, int count) in NGrams.Count(candidate, n))
            {
                matches[n - 1] += Math.Min(count, ofReferences.Max(counts => counts.GetValueOrDefault(sequence)));
                totals[n - 1] += count;
            }
        }

        return new BleuStatistics(candidate.Length, nearest, matches, totals);
    }

    /// <summary>The counts of both together.</summary>
    public static BleuStatistics operator +(BleuStatistics left, BleuStatistics right)
    {
        Counts matches = default, totals = default;
        for (int n = 0; n < NGrams.Longest; n++)
        {
            matches[n] = left._matches[n] + right._matches[n];
            totals[n] = left._totals[n] + right._totals[n];
        }

        return new BleuStatistics(left.Length + right.Length, left.ReferenceLength + right.ReferenceLength, matches, totals);
    }

    /// <summary>Clipped precision p_n in [0, 1]; 0 when no candidate has so many words.</summary>
    /// <param name="n">Length of the sequences, 1 to 4.</param>
    /// <exception cref="ArgumentOutOfRangeException">n is not 1 to 4.</exception>
    public double Precision(int n)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(n, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(n, NGrams.Longest);
        return _totals[n - 1] == 0 ? 0 : (double)_matches[n - 1] / _totals[n - 1];
    }

    /// <summary>BLEU-n in [0, 1], without smoothing: 0 as soon as one of the precisions is.</summary>
    /// <param name="n">Longest sequences, 1 to 4.</param>
    /// <exception cref="ArgumentOutOfRangeException">n is not 1 to 4.</exception>
    public double Score(int n)
    {
        double product = Precision(n);
        for (int k = 1; k < n; k++)
        {
            product *= Precision(k);
        }

        return BrevityPenalty * Math.Pow(product, 1.0 / n);
    }

    [InlineArray(NGrams.Longest)]
    private struct Counts
    {
        private long _first;
    }
}
