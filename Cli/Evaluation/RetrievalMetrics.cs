using System.Numerics.Tensors;
using MiniVlp.Data.Metrics;

namespace MiniVlp.Cli.Evaluation;

/// <summary>How often one of the first 1, 5 or 10 answers is right, and how often a random order would be.</summary>
/// <param name="Queries">Number of queries.</param>
/// <param name="Gallery">Number of answers to choose from.</param>
/// <param name="R1">Share of queries with a right answer first.</param>
/// <param name="R5">Share with a right answer among the first 5.</param>
/// <param name="R10">Share with a right answer among the first 10.</param>
/// <param name="Chance1">What a random order would give for <paramref name="R1"/>.</param>
/// <param name="Chance5">The same for <paramref name="R5"/>.</param>
/// <param name="Chance10">The same for <paramref name="R10"/>.</param>
/// <param name="MedianRank">Median place of the first right answer, from 1.</param>
public sealed record Recall(int Queries, int Gallery, double R1, double R5, double R10, double Chance1, double Chance5, double Chance10, double MedianRank)
{
    /// <summary>95 % bootstrap intervals over the queries, of <see cref="R1"/>, <see cref="R5"/> and <see cref="R10"/>; drawn anew at each call.</summary>
    public (ConfidenceInterval R1, ConfidenceInterval R5, ConfidenceInterval R10) Intervals()
        => (EvaluationOutput.IntervalOf(R1, Queries), EvaluationOutput.IntervalOf(R5, Queries), EvaluationOutput.IntervalOf(R10, Queries));
}

/// <summary>Retrieval in both directions.</summary>
/// <param name="ImageToText">A picture asks for its captions.</param>
/// <param name="TextToImage">A caption asks for its pictures.</param>
public sealed record RetrievalResult(Recall ImageToText, Recall TextToImage);

/// <summary>
/// Recall at K with any number of right answers: an answer is right when the data pairs it with the query. Equal scores count against the
/// model, so that one vector for everything gets nothing.
/// </summary>
public static class RetrievalMetrics
{
    /// <summary>Ranks every picture against every distinct caption and the other way round.</summary>
    /// <param name="images">Unit vectors of the distinct pictures, row by row.</param>
    /// <param name="texts">Unit vectors of the distinct captions, row by row.</param>
    /// <param name="size">Length of a vector.</param>
    /// <param name="pairs">Which picture goes with which caption, by row; at least one pair.</param>
    public static RetrievalResult Evaluate(float[] images, float[] texts, int size, IReadOnlyCollection<(int Image, int Text)> pairs)
    {
        return Evaluate(images.Length / size, texts.Length / size, Products(images, texts), Products(texts, images), pairs);

        Action<int, float[]> Products(float[] queries, float[] gallery) => (query, scores) =>
        {
            ReadOnlySpan<float> vector = queries.AsSpan(query * size, size);
            for (int i = 0; i < scores.Length; i++) scores[i] = TensorPrimitives.Dot(vector, gallery.AsSpan(i * size, size));
        };
    }

    /// <summary>Ranks by scores of any kind.</summary>
    /// <param name="imageToText">[images, texts].</param>
    /// <param name="textToImage">[texts, images].</param>
    /// <param name="imageCount">Number of pictures.</param>
    /// <param name="textCount">Number of captions.</param>
    /// <param name="pairs">Which picture goes with which caption, by row; at least one pair.</param>
    public static RetrievalResult Evaluate(float[] imageToText, float[] textToImage, int imageCount, int textCount, IReadOnlyCollection<(int Image, int Text)> pairs)
    {
        return Evaluate(imageCount, textCount, Rows(imageToText), Rows(textToImage), pairs);

        static Action<int, float[]> Rows(float[] matrix) => (query, scores) => matrix.AsSpan(query * scores.Length, scores.Length).CopyTo(scores);
    }

    /// <summary>Probability that at least one of <paramref name="right"/> answers is among the first <paramref name="k"/> of <paramref name="gallery"/> in random order.</summary>
    public static double Chance(int gallery, int right, int k)
    {
        // 1 - C(gallery - right, k) / C(gallery, k), as a product.
        double miss = 1;
        for (int i = 0; i < Math.Min(k, gallery); i++) miss *= Math.Max(0, gallery - right - i) / (double)(gallery - i);
        return 1 - miss;
    }

    private static RetrievalResult Evaluate(
        int imageCount, int textCount, Action<int, float[]> scoreTexts, Action<int, float[]> scoreImages, IReadOnlyCollection<(int Image, int Text)> pairs)
    {
        List<int>[] textsOf = Group(imageCount, pairs), imagesOf = Group(textCount, pairs.Select(pair => (pair.Text, pair.Image)));
        return new RetrievalResult(Rank(textCount, textsOf, scoreTexts), Rank(imageCount, imagesOf, scoreImages));
    }

    private static Recall Rank(int count, List<int>[] rightOf, Action<int, float[]> score)
    {
        float[] scores = new float[count];
        bool[] isRight = new bool[count];
        List<int> ranks = [];
        double chance1 = 0, chance5 = 0, chance10 = 0;
        for (int query = 0; query < rightOf.Length; query++)
        {
            if (rightOf[query].Count == 0) continue;
            score(query, scores);
            int rank = RankOfFirstRight(scores, rightOf[query], isRight);
            ranks.Add(rank);
            int right = rightOf[query].Count;
            chance1 += Chance(count, right, 1);
            chance5 += Chance(count, right, 5);
            chance10 += Chance(count, right, 10);
        }

        int n = Math.Max(1, ranks.Count);
        int[] sorted = [.. ranks.Order()];
        double median = n > sorted.Length ? double.NaN : (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0;
        return new Recall(ranks.Count, count, Share(1), Share(5), Share(10), chance1 / n, chance5 / n, chance10 / n, median);

        double Share(int k) => ranks.Count(rank => rank <= k) / (double)n;
    }

    private static int RankOfFirstRight(float[] scores, List<int> right, bool[] isRight)
    {
        float best = float.NegativeInfinity;
        foreach (int i in right)
        {
            isRight[i] = true;
            best = Math.Max(best, scores[i]);
        }

        int rank = 1;
        for (int i = 0; i < scores.Length; i++)
            if (!isRight[i] && !(scores[i] < best)) rank++;    // a score that is no number counts as ahead, too
        foreach (int i in right) isRight[i] = false;
        return rank;
    }

    private static List<int>[] Group(int count, IEnumerable<(int Query, int Answer)> pairs)
    {
        List<int>[] groups = new List<int>[count];
        for (int i = 0; i < count; i++) groups[i] = [];
        foreach ((int query, int answer) in pairs)
            if (!groups[query].Contains(answer)) groups[query].Add(answer);
        return groups;
    }
}
