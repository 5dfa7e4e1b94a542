using MiniVlp.Data.Metrics;
using Xunit;

namespace MiniVlp.Data.Tests.Metrics;

/// <summary>Caption metrics against numbers that can be worked out with a pencil.</summary>
public sealed class CaptionMetricTests
{
    private static readonly string[][] NoReferences = [];

    [Fact]
    public void BleuClipsCounts()
    {
        // Papineni et al. 2002, section 2.1: "the" seven times; a reference has it at most twice: 2 / 7. Lengths 7, and of 6 and 7 the nearer is 7.
        BleuStatistics bleu = BleuStatistics.Count(Words("the the the the the the the"), [Words("the cat is on the mat"), Words("there is a cat on the mat")]);
        Assert.Equal(2.0 / 7, bleu.Score(1), 12);
        Assert.Equal(1, bleu.BrevityPenalty);
        Assert.Equal(0, bleu.Score(2));
    }

    [Fact]
    public void BleuPunishesShortCandidates()
    {
        // All of 3 words right, the reference has 6: exp(1 - 6 / 3) = e^-1. No sequence of four words: BLEU-4 is 0.
        BleuStatistics bleu = BleuStatistics.Count(Words("the cat sat"), [Words("the cat sat on the mat")]);
        Assert.Equal(Math.Exp(-1), bleu.Score(1), 12);
        Assert.Equal(Math.Exp(-1), bleu.Score(3), 12);
        Assert.Equal(0, bleu.Score(4));
    }

    [Fact]
    public void BleuOfACorpusAddsBeforeItDivides()
    {
        // Words 3/3 and 2/3, pairs 2/2 and 0/2: p1 = 5/6, p2 = 2/4. c = 6, r = 3 + 5: exp(1 - 8/6) = 0.716531. Together 0.716531 · sqrt(5/12) = 0.462519.
        BleuStatistics bleu = BleuStatistics.Count(Words("a red circle"), [Words("a red circle")])
            + BleuStatistics.Count(Words("a blue star"), [Words("a green star on white")]);
        Assert.Equal(5.0 / 6, bleu.Precision(1), 12);
        Assert.Equal(0.5, bleu.Precision(2), 12);
        Assert.Equal(0.462519, bleu.Score(2), 5e-7);
    }

    [Theory]
    [InlineData(4, 3)]    // 3 and 5 are equally near: the shorter one
    [InlineData(5, 5)]
    [InlineData(9, 5)]
    public void BleuTakesTheNearestReferenceLength(int length, int expected)
    {
        string[] candidate = [.. Enumerable.Repeat("x", length)];
        Assert.Equal(expected, BleuStatistics.Count(candidate, [Words("a b c"), Words("a b c d e")]).ReferenceLength);
    }

    [Fact]
    public void RougeIsTheWeightedMeanOfPrecisionAndRecall()
    {
        // Longest common subsequence 3 of 3 and of 6: P = 1, R = 1/2, β² = 1.44: 2.44 · 0.5 / (0.5 + 1.44) = 0.628866.
        Assert.Equal(0.628866, RougeL.Score(Words("a red circle"), [Words("a large red circle on blue")]), 5e-7);

        // Lin 2004, section 3.1: "police kill the gunman" shares 3 words in order, P = R = 3/4; "the gunman kill police" shares 2: P = R = 1/2.
        Assert.Equal(0.75, RougeL.Score(Words("police kill the gunman"), [Words("police killed the gunman")]), 12);
        Assert.Equal(0.5, RougeL.Score(Words("the gunman kill police"), [Words("police killed the gunman")]), 12);

        // Greatest P from the first reference (2/2), greatest R from the second (1/1).
        Assert.Equal(1, RougeL.Score(Words("a b"), [Words("a x b y"), Words("b")]), 12);
    }

    [Fact]
    public void CiderWeighsByRarity()
    {
        // Two pictures; "a", "b" and "a b" are in both: weight ln(2/2) = 0, all else ln 2 = L.
        CiderD cider = new([[Words("a b c d")], [Words("a b e f")]]);

        // n = 1: (c, e) against (c, d): L² / (√2 L · √2 L) = 1/2; n = 2: (bc, ce) against (bc, cd): 1/2; n = 3: (abc, bce) against (abc, bcd): 1/2; n = 4: 0.
        Assert.Equal(10 * 1.5 / 4, cider.Score(Words("a b c e"), [Words("a b c d")]), 9);

        // One word more: exp(-1/72) = 0.986207; n = 1, 2, 3: 2 / (√3 √2) = 0.816497; n = 4: 1 / √2 = 0.707107. Mean 0.7891491.
        Assert.Equal(7.782645, cider.Score(Words("a b c d e"), [Words("a b c d")]), 5e-6);

        // Said four times, counted once: min(4L, L) · L / (4L · √2 L) = 1 / (4 √2), for n = 1 alone: 10 / (16 √2).
        Assert.Equal(10 / (16 * Math.Sqrt(2)), cider.Score(Words("c c c c"), [Words("a b c d")]), 9);

        // The mean over references: 10 for the equal one, 3.75 for the other as above.
        Assert.Equal((10 + 3.75) / 2, cider.Score(Words("a b c d"), [Words("a b c d"), Words("a b c e")]), 9);
    }

    [Fact]
    public void CiderOfOneWordReachesAQuarter()
    {
        CiderD cider = new([[Words("star")], [Words("ring")]]);
        Assert.Equal(2.5, cider.Score(Words("star"), [Words("star")]), 9);
        Assert.Equal(0, cider.Score(Words("ring"), [Words("star")]));
    }

    [Fact]
    public void CiderOfOnePictureIsZero()
        => Assert.Equal(0, new CiderD([[Words("a b c d")]]).Score(Words("a b c d"), [Words("a b c d")]));

    [Theory]
    [InlineData("the cat sat on the mat", "the cat sat on the mat", 6, 1, 1 - (0.5 / 216))]    // one chunk: 1 - 0.5 (1/6)³
    [InlineData("on the mat sat the cat", "the cat sat on the mat", 6, 3, 0.9375)]    // "on the mat", "sat", "the cat": 1 - 0.5 (3/6)³
    [InlineData("the cat was sat on the mat", "the cat sat on the mat", 6, 2, 0.965392)]    // P = 6/7, R = 1: F = 0.983607; 1 - 0.5 (2/6)³ = 0.981481
    [InlineData("cats running", "a cat runs", 2, 1, 0.646552)]    // stems; P = 1, R = 2/3: F = 0.689655; 1 - 0.5 (1/2)³ = 0.9375
    [InlineData("dog", "cat", 0, 0, 0)]
    [InlineData("dog", "dog", 1, 1, 0.5)]
    [InlineData("", "dog", 0, 0, 0)]
    public void MeteorCountsMatchesAndChunks(string candidate, string reference, int matches, int chunks, double score)
    {
        MeteorStatistics statistics = MeteorStatistics.Count(Words(candidate), [Words(reference)]);
        Assert.Equal((matches, chunks), (statistics.Matches, statistics.Chunks));
        Assert.Equal(score, statistics.Score, 5e-7);
    }

    [Fact]
    public void MeteorChoosesAmongRepeatedWordsTheFewestChunks()
    {
        // "a" stands twice in both. "a star" must take the second "a" of the reference and "a ring" the first: 2 chunks, not 4.
        MeteorStatistics statistics = MeteorStatistics.Count(Words("a star a ring"), [Words("a ring a star")]);
        Assert.Equal((4, 2), (statistics.Matches, statistics.Chunks));

        // The candidate has three "a", the reference one: "a b" is one chunk when the last is taken.
        statistics = MeteorStatistics.Count(Words("a a a b"), [Words("a b")]);
        Assert.Equal((2, 1), (statistics.Matches, statistics.Chunks));
    }

    [Fact]
    public void MeteorOfACorpusAddsBeforeItDivides()
    {
        // m = 1 + 2, chunks 1 + 1, words 1 + 2 and 2 + 2: P = 1, R = 3/4: F = 0.75 / (0.9 + 0.075) = 0.769231; 1 - 0.5 (2/3)³ = 0.851852.
        MeteorStatistics statistics = MeteorStatistics.Count(Words("star"), [Words("red star")]) + MeteorStatistics.Count(Words("a ring"), [Words("a ring")]);
        Assert.Equal(0.655271, statistics.Score, 5e-7);
    }

    [Fact]
    public void TheBestReferenceCountsForMeteor()
        => Assert.Equal(4, MeteorStatistics.Count(Words("a b c d"), [Words("a b"), Words("a b c d"), Words("d c b a")]).Matches);

    [Fact]
    public void NoReferenceIsAnError()
    {
        Assert.Throws<ArgumentException>(() => BleuStatistics.Count(["a"], NoReferences));
        Assert.Throws<ArgumentException>(() => RougeL.Score(["a"], NoReferences));
        Assert.Throws<ArgumentException>(() => new CiderD([]));
        Assert.Throws<ArgumentException>(() => new CiderD([[["a"]]]).Score(["a"], NoReferences));
        Assert.Throws<ArgumentException>(() => MeteorStatistics.Count(["a"], NoReferences));
        Assert.Throws<ArgumentException>(() => new CaptionEvaluation(["a"], [[]]));
        Assert.Throws<ArgumentException>(() => new CaptionEvaluation(["a", "b"], [["a"]]));
        Assert.Throws<ArgumentException>(() => new CaptionEvaluation([], []));
    }

    private static string[] Words(string text) => text.Split(' ', StringSplitOptions.RemoveEmptyEntries);
}
