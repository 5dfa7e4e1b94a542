namespace MiniVlp.Data.Metrics;

/// <summary>
/// ROUGE-L (Lin 2004, ACL W04-1013): with L the longest common subsequence of candidate and reference, P = L / words of the candidate,
/// R = L / words of the reference, F = (1 + β²) P R / (R + β² P). Of several references the greatest P and the greatest R count, with β = 1.2,
/// as in the evaluation of COCO captions (arXiv 1504.00325, section 3.3).
/// </summary>
public static class RougeL
{
    private const double Beta = 1.2;

    /// <summary>F in [0, 1]; 0 when nothing is common.</summary>
    /// <param name="candidate">Its words.</param>
    /// <param name="references">Words of its references, at least one.</param>
    /// <exception cref="ArgumentException">There is no reference.</exception>
    public static double Score(string[] candidate, IReadOnlyList<string[]> references)
    {
        ArgumentNullException.ThrowIfNull(candidate);
        MetricArguments.NeedReference(references);
        double precision = 0, recall = 0;
        foreach (string[] reference in references)
        {
            int common = LongestCommonSubsequence(candidate, reference);
            if (common > 0)
            {
                precision = Math.Max(precision, (double)common / candidate.Length);
                recall = Math.Max(recall, (double)common / reference.Length);
            }
        }

        return precision == 0 ? 0 : (1 + (Beta * Beta)) * precision * recall / (recall + (Beta * Beta * precision));
    }

    private static int LongestCommonSubsequence(string[] first, string[] second)
    {
        int[] row = new int[second.Length + 1];
        foreach (string word in first)
        {
            int diagonal = 0;
            for (int j = 1; j <= second.Length; j++)
            {
                int above = row[j];
                row[j] = word == second[j - 1] ? diagonal + 1 : Math.Max(above, row[j - 1]);
                diagonal = above;
            }
        }

        return row[second.Length];
    }
}
