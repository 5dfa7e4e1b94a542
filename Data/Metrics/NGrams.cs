namespace MiniVlp.Data.Metrics;

/// <summary>Sequences of n words and how often they occur.</summary>
internal static class NGrams
{
    /// <summary>Longest sequences that caption metrics look at.</summary>
    public const int Longest = 4;

    /// <summary>How often each sequence of <paramref name="length"/> words occurs; words hold no space, so that a space can join them.</summary>
    public static Dictionary<string, int> Count(string[] words, int length)
    {
        Dictionary<string, int> counts = new(StringComparer.Ordinal);
        for (int i = 0; i + length <= words.Length; i++)
        {
            string sequence = string.Join(' ', words, i, length);
            counts[sequence] = counts.GetValueOrDefault(sequence) + 1;
        }

        return counts;
    }
}
