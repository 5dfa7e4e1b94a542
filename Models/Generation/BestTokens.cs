using MiniVlp.Autograd;
using MiniVlp.Tensors;

namespace MiniVlp.Models.Generation;

/// <summary>A token that may come next.</summary>
internal readonly record struct ScoredToken(int Token, float Score);

/// <summary>The best tokens of each row of scores, best first, of equals the earlier.</summary>
internal static class BestTokens
{
    /// <summary>Found where the scores are [rows, vocabulary]; only they come to the host.</summary>
    public static ScoredToken[][] OnDevice(Tensor scores, int count)
    {
        (Tensor values, IndexTensor positions) = scores.TopK(count);
        float[] best = values.ToArray();
        int[] tokens = positions.ToArray();
        return [.. Enumerable.Range(0, scores.Shape[0]).Select(row => Enumerable.Range(row * count, count).Select(i => new ScoredToken(tokens[i], best[i])).ToArray())];
    }

    /// <summary>The best of one row; tokens at -∞ are left out.</summary>
    public static ScoredToken[] Of(ReadOnlySpan<float> scores, int count)
    {
        ScoredToken[] best = new ScoredToken[count];
        int found = 0;
        for (int token = 0; token < scores.Length; token++)
        {
            float score = scores[token];
            if (!(score > float.NegativeInfinity) || (found == count && score <= best[found - 1].Score)) continue;
            int place = found < count ? found++ : found - 1;
            for (; place > 0 && best[place - 1].Score < score; place--) best[place] = best[place - 1];
            best[place] = new ScoredToken(token, score);
        }

        return best[..found];
    }
}
