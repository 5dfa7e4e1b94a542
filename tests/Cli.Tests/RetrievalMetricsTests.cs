using CsCheck;
using MiniVlp.Cli.Evaluation;
using MiniVlp.Data.Metrics;
using Xunit;

namespace MiniVlp.Cli.Tests;

public sealed class RetrievalMetricsTests
{
    [Fact]
    public void Recall_EqualsBruteForce_WithSharedCaptionsAndSeveralCaptions()
    {
        Gen.Select(Gen.Int[1, 14], Gen.Int[1, 14], Gen.Int[1, 4], Gen.Int[0, int.MaxValue]).Sample(
            (images, texts, size, seed) =>
            {
                Random random = new(seed);
                float[] imageVectors = Vectors(random, images, size), textVectors = Vectors(random, texts, size);
                List<(int Image, int Text)> pairs = [.. Enumerable.Range(0, random.Next(1, 20)).Select(_ => (random.Next(images), random.Next(texts)))];
                RetrievalResult result = RetrievalMetrics.Evaluate(imageVectors, textVectors, size, pairs);
                AssertSame(BruteForce(imageVectors, textVectors, size, pairs), result.ImageToText);
                AssertSame(BruteForce(textVectors, imageVectors, size, [.. pairs.Select(pair => (pair.Text, pair.Image))]), result.TextToImage);
            },
            iter: 300);
    }

    [Fact]
    public void PicturesWithTheSameCaption_AllCountAsRight()
    {
        // Both pictures are paired with text 0; the query finds picture 1 first.
        float[] images = [0.6f, 0.8f, 1, 0], texts = [1, 0, 0, 1];
        RetrievalResult result = RetrievalMetrics.Evaluate(images, texts, 2, [(0, 0), (1, 0)]);
        Assert.Equal(1, result.TextToImage.R1);
        Assert.Equal(1, result.TextToImage.Queries);
        Assert.Equal(1, result.TextToImage.Chance1);
        Assert.Equal(0.5, result.ImageToText.R1);    // picture 0 is nearer to text 1
    }

    /// <summary>Of four queries three find their answer first: the interval is that of the mean of 1, 1, 1 and 0; all find it among five.</summary>
    [Fact]
    public void Intervals_AreOfTheQueries()
    {
        float[] scores = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 2, 0, 0, 1];
        Recall recall = RetrievalMetrics.Evaluate(scores, scores, 4, 4, [.. Enumerable.Range(0, 4).Select(i => (i, i))]).ImageToText;
        Assert.Equal(0.75, recall.R1);
        Assert.Equal(Bootstrap.OfMean([1, 1, 1, 0]), recall.Intervals().R1);
        Assert.True(recall.Intervals().R1.Low < 0.75 && recall.Intervals().R1.High > 0.75);
        Assert.Equal(new ConfidenceInterval(1, 1), recall.Intervals().R5);
    }

    [Fact]
    public void OneVectorForEverything_GetsNothing()
    {
        float[] same = [.. Enumerable.Repeat(new[] { 1f, 0f }, 20).SelectMany(vector => vector)];
        RetrievalResult result = RetrievalMetrics.Evaluate(same, same, 2, [.. Enumerable.Range(0, 20).Select(i => (i, i))]);
        Assert.Equal(0, result.ImageToText.R10);
        Assert.Equal(20, result.TextToImage.MedianRank);
    }

    [Fact]
    public void NotANumber_GetsNothing()
    {
        float[] broken = [float.NaN, float.NaN, float.NaN, float.NaN];
        RetrievalResult result = RetrievalMetrics.Evaluate(broken, broken, 2, [(0, 0), (1, 1)]);
        Assert.Equal(0, result.ImageToText.R1);
    }

    [Theory]
    [InlineData(100, 1, 1, 0.01)]
    [InlineData(100, 1, 10, 0.1)]
    [InlineData(10, 2, 5, 1 - (56.0 / 252))]    // 1 - C(8,5) / C(10,5)
    [InlineData(4, 3, 2, 1)]
    [InlineData(3, 1, 10, 1)]
    public void Chance_IsHypergeometric(int gallery, int right, int k, double expected) => Assert.Equal(expected, RetrievalMetrics.Chance(gallery, right, k), 12);

    private static float[] Vectors(Random random, int count, int size)
    {
        // Few distinct values, so that equal scores are common.
        return [.. Enumerable.Range(0, count * size).Select(_ => random.Next(-1, 2) * 0.5f)];
    }

    /// <summary>Sorts the gallery for each query with wrong answers first among equals.</summary>
    private static Recall BruteForce(float[] queries, float[] gallery, int size, IReadOnlyCollection<(int Query, int Answer)> pairs)
    {
        int count = gallery.Length / size;
        List<int> ranks = [];
        List<double> chance1 = [], chance5 = [], chance10 = [];
        foreach (int query in Enumerable.Range(0, queries.Length / size).Where(q => pairs.Any(pair => pair.Query == q)))
        {
            HashSet<int> right = [.. pairs.Where(pair => pair.Query == query).Select(pair => pair.Answer)];
            int[] order = [.. Enumerable.Range(0, count).OrderByDescending(answer => Score(query, answer)).ThenBy(answer => right.Contains(answer))];
            ranks.Add(Array.FindIndex(order, right.Contains) + 1);
            chance1.Add(ExpectedChance(count, right.Count, 1));
            chance5.Add(ExpectedChance(count, right.Count, 5));
            chance10.Add(ExpectedChance(count, right.Count, 10));
        }

        ranks.Sort();
        double median = (ranks[(ranks.Count - 1) / 2] + ranks[ranks.Count / 2]) / 2.0;
        return new Recall(
            ranks.Count, count, Share(1), Share(5), Share(10), chance1.Average(), chance5.Average(), chance10.Average(), median);

        double Score(int query, int answer)
        {
            double sum = 0;
            for (int i = 0; i < size; i++) sum += (double)queries[(query * size) + i] * gallery[(answer * size) + i];
            return sum;
        }

        double Share(int k) => ranks.Count(rank => rank <= k) / (double)ranks.Count;
    }

    /// <summary>1 - C(n - right, k) / C(n, k) by logarithms of factorials.</summary>
    private static double ExpectedChance(int n, int right, int k)
    {
        k = Math.Min(k, n);
        return n - right < k ? 1 : 1 - Math.Exp(LogChoose(n - right, k) - LogChoose(n, k));

        static double LogChoose(int n, int k) => Enumerable.Range(1, k).Sum(i => Math.Log(n - k + i) - Math.Log(i));
    }

    private static void AssertSame(Recall expected, Recall actual)
    {
        Assert.Equal(expected.Queries, actual.Queries);
        Assert.Equal(expected.Gallery, actual.Gallery);
        Assert.Equal([expected.R1, expected.R5, expected.R10, expected.MedianRank], [actual.R1, actual.R5, actual.R10, actual.MedianRank]);
        Assert.Equal(expected.Chance1, actual.Chance1, 9);
        Assert.Equal(expected.Chance5, actual.Chance5, 9);
        Assert.Equal(expected.Chance10, actual.Chance10, 9);
    }
}
