using System.Runtime.InteropServices;

namespace MiniVlp.Data.Metrics;

/// <summary>
/// CIDEr-D (Vedantam et al. 2015, arXiv 1411.5726, section 5.1 and appendix): sentences as vectors of n-gram counts times ln(N / df), N the number of
/// pictures and df that of pictures whose references hold the n-gram; a candidate scores
/// 10 · mean over n = 1..4 and over references of exp(-(difference in words)² / (2 · 6²)) · Σ min(c, r) · r / (|c| |r|).
/// A candidate that equals its reference gets 10 when both have for each n an n-gram that not every picture has; one picture alone gets 0.
/// </summary>
public sealed class CiderD
{
    private const double Sigma = 6, Scale = 10;

    private readonly Dictionary<string, int>[] _pictures = new Dictionary<string, int>[NGrams.Longest];
    private readonly double _logPictures;

    /// <summary>Counts in how many pictures' references each n-gram occurs.</summary>
    /// <param name="references">For each picture of the corpus the words of its references; at least one picture.</param>
    /// <exception cref="ArgumentException">There is no picture.</exception>
    public CiderD(IReadOnlyList<IReadOnlyList<string[]>> references)
    {
        MetricArguments.NeedReference(references);
        _logPictures = Math.Log(references.Count);
        for (int n = 1; n <= NGrams.Longest; n++)
        {
            Dictionary<string, int> pictures = _pictures[n - 1] = new(StringComparer.Ordinal);
            foreach (IReadOnlyList<string[]> ofPicture in references)
            {
                foreach (string sequence in ofPicture.SelectMany(words => NGrams.Count(words, n).Keys).Distinct(StringComparer.Ordinal))
                {
                    pictures[sequence] = pictures.GetValueOrDefault(sequence) + 1;
                }
            }
        }
    }

    /// <summary>The score of one candidate in [0, 10]; that of a corpus is the mean.</summary>
    /// <param name="candidate">Its words.</param>
    /// <param name="references">Words of its references, at least one.</param>
    /// <exception cref="ArgumentException">There is no reference.</exception>
    public double Score(string[] candidate, IReadOnlyList<string[]> references)
    {
        ArgumentNullException.ThrowIfNull(candidate);
        MetricArguments.NeedReference(references);
        double sum = 0;
        for (int n = 1; n <= NGrams.Longest; n++)
        {
            SequenceVector vector = Weigh(candidate, n);
            sum += references.Sum(reference => Similarity(vector, Weigh(reference, n)) * LengthPenalty(candidate.Length - reference.Length));
        }

        return Scale * sum / (NGrams.Longest * references.Count);
    }

    private static double LengthPenalty(int difference) => Math.Exp(-difference * (double)difference / (2 * Sigma * Sigma));

    private static double Similarity(SequenceVector candidate, SequenceVector reference)
    {
        if (candidate.Norm == 0 || reference.Norm == 0)
        {
            return 0;
        }

        double sum = 0;
        foreach ((string sequence, double weight) in candidate.Weights)
        {
            double other = reference.Weights.GetValueOrDefault(sequence);
            sum += Math.Min(weight, other) * other;
        }

        return sum / (candidate.Norm * reference.Norm);
    }

    private SequenceVector Weigh(string[] words, int n)
    {
        Dictionary<string, double> weights = new(StringComparer.Ordinal);
        double squares = 0;
        foreach ((string sequence, int count) in NGrams.Count(words, n))
        {
            double weight = count * (_logPictures - Math.Log(Math.Max(1, _pictures[n - 1].GetValueOrDefault(sequence))));
            weights[sequence] = weight;
            squares += weight * weight;
        }

        return new SequenceVector(weights, Math.Sqrt(squares));
    }

    [StructLayout(LayoutKind.Auto)]
    private readonly record struct SequenceVector(Dictionary<string, double> Weights, double Norm);
}
