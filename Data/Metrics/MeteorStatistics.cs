using System.Numerics;
using System.Runtime.InteropServices;

namespace MiniVlp.Data.Metrics;

/// <summary>
/// A metric like METEOR (Banerjee and Lavie 2005, ACL W05-0909), without its synonyms, for which it takes WordNet: words match when they are
/// equal or have the same stem (Porter). Of the alignments with the most matches m, that with the fewest chunks counts, a chunk being matches that
/// are neighbours in both sentences. P = m / words of the candidate, R = m / words of the reference, F = P R / (α P + (1 - α) R),
/// score = F · (1 - γ (chunks / m)^β), with α = 0.9, β = 3, γ = 0.5. Of a corpus the counts are added before anything is divided.
/// </summary>
/// <param name="Matches">Matched words.</param>
/// <param name="Chunks">Runs of neighbouring matches.</param>
/// <param name="Length">Words of the candidates.</param>
/// <param name="ReferenceLength">Words of the references that were chosen.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct MeteorStatistics(long Matches, long Chunks, long Length, long ReferenceLength)
{
    private const double Alpha = 0.9, Beta = 3, Gamma = 0.5;

    // Captions that repeat no word have one alignment; enough for several words that occur several times.
    private const int BeamWidth = 512;

    private const int NoMatch = -1;

    /// <summary>The score in [0, 1), 0 without a match; equal sentences of m words get 1 - 0.5 / m³.</summary>
    public double Score
    {
        get
        {
            if (Matches == 0)
            {
                return 0;
            }

            double precision = (double)Matches / Length, recall = (double)Matches / ReferenceLength;
            double mean = precision * recall / ((Alpha * precision) + ((1 - Alpha) * recall));
            return mean * (1 - (Gamma * Math.Pow((double)Chunks / Matches, Beta)));
        }
    }

    /// <summary>Aligns one candidate with each reference and keeps the one with the best score, of equals the one nearest in length, then the shorter.</summary>
    /// <param name="candidate">Its words, in lower case.</param>
    /// <param name="references">Words of its references, at least one.</param>
    /// <exception cref="ArgumentException">There is no reference.</exception>
    public static MeteorStatistics Count(string[] candidate, IReadOnlyList<string[]> references)
    {
        ArgumentNullException.ThrowIfNull(candidate);
        MetricArguments.NeedReference(references);
        string[] stems = [.. candidate.Select(PorterStemmer.Stem)];
        return references.Select(words => Align(stems, [.. words.Select(PorterStemmer.Stem)]))
            .OrderByDescending(statistics => statistics.Score)
            .ThenBy(statistics => Math.Abs(statistics.ReferenceLength - statistics.Length))
            .ThenBy(statistics => statistics.ReferenceLength)
            .ThenByDescending(statistics => statistics.Matches)
            .First();
    }

    /// <summary>The counts of both together.</summary>
    public static MeteorStatistics operator +(MeteorStatistics left, MeteorStatistics right)
        => new(left.Matches + right.Matches, left.Chunks + right.Chunks, left.Length + right.Length, left.ReferenceLength + right.ReferenceLength);

    /// <summary>
    /// Equal words have equal stems, so words match within classes of equal stems, and a class that the candidate has c times and the reference
    /// r times gives min(c, r) matches whatever is chosen. Fewest chunks are found word by word over sets of reference words that are taken.
    /// </summary>
    private static MeteorStatistics Align(string[] candidate, string[] reference)
    {
        ILookup<string, int> places = Enumerable.Range(0, reference.Length).ToLookup(i => reference[i], StringComparer.Ordinal);
        Dictionary<string, int> left = candidate.GroupBy(stem => stem, StringComparer.Ordinal).ToDictionary(group => group.Key, group => group.Count(), StringComparer.Ordinal);
        int matches = left.Sum(pair => Math.Min(pair.Value, places[pair.Key].Count()));
        Dictionary<(BigInteger Taken, int Last), int> states = new() { [(BigInteger.Zero, NoMatch)] = 0 };
        foreach (string stem in candidate)
        {
            int after = --left[stem];
            Dictionary<(BigInteger Taken, int Last), int> next = [];
            foreach (((BigInteger taken, int last), int chunks) in states)
            {
                int[] free = [.. places[stem].Where(place => ((taken >> place) & 1).IsZero)];
                foreach (int place in free)
                {
                    Keep(next, (taken | (BigInteger.One << place), place), chunks + (last != NoMatch && place == last + 1 ? 0 : 1));
                }

                // Passed over only where the words of this kind that follow still fill all free places.
                if (after >= free.Length)
                {
                    Keep(next, (taken, NoMatch), chunks);
                }
            }

            states = next.Count <= BeamWidth ? next : next.OrderBy(state => state.Value).Take(BeamWidth).ToDictionary();
        }

        return new MeteorStatistics(matches, states.Values.Min(), candidate.Length, reference.Length);
    }

    private static void Keep(Dictionary<(BigInteger Taken, int Last), int> states, (BigInteger Taken, int Last) state, int chunks)
    {
        if (!states.TryGetValue(state, out int known) || chunks < known)
        {
            states[state] = chunks;
        }
    }
}
