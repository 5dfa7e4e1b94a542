using CsCheck;
using MiniVlp.Data.Metrics;
using MiniVlp.Data.Scenes;
using Xunit;

namespace MiniVlp.Data.Tests.Metrics;

public sealed class CaptionEvaluationTests
{
    private static readonly Gen<string> Sentences = Gen.Int[0, 5].Array[0, 9].Select(words => string.Join(' ', words.Select(word => "abcdef"[word])));
    private static readonly Gen<(string Candidate, string[] References)[]> Corpora = Gen.Select(Sentences, Sentences.Array[1, 3]).Array[1, 6];

    [Fact]
    public void OrderOfPicturesDoesNotMatter()
    {
        Gen.Select(Corpora, Gen.ULong).Sample((corpus, seed) =>
        {
            (string Candidate, string[] References)[] shuffled = [.. corpus];
            new SampleRandom(seed).Shuffle(shuffled.AsSpan());
            AssertEqual(Evaluate(corpus).Score(), Evaluate(shuffled).Score());
        });
    }

    [Fact]
    public void OrderOfReferencesDoesNotMatter()
        => Corpora.Sample(corpus => AssertEqual(Evaluate(corpus).Score(), Evaluate([.. corpus.Select(picture => (picture.Candidate, picture.References.Reverse().ToArray()))]).Score()));

    [Fact]
    public void ScoresStayWithinTheirBounds()
    {
        Corpora.Sample(corpus =>
        {
            CaptionScores scores = Evaluate(corpus).Score();
            foreach (double score in (double[])[scores.Bleu1, scores.Bleu2, scores.Bleu3, scores.Bleu4, scores.RougeL, scores.MeteorLike, scores.CiderD / 10])
            {
                Assert.InRange(score, 0, 1 + 1e-12);
            }
        });
    }

    [Fact]
    public void ACaptionThatIsItsReferenceGetsTheMost()
    {
        // Every picture has words of its own, so that each n-gram tells something: CIDEr-D 10. Five words in one chunk: 1 - 0.5 (pictures / (5 pictures))³ = 0.996.
        Gen.Int[2, 6].Sample(pictures =>
        {
            string[] captions = [.. Enumerable.Range(0, pictures).Select(i => string.Join(' ', Enumerable.Range(0, 5).Select(word => $"w{i}x{word}")))];
            CaptionScores scores = new CaptionEvaluation(captions, [.. captions.Select(caption => (IReadOnlyList<string>)[caption.ToUpperInvariant() + "."])]).Score();
            AssertEqual(new CaptionScores(1, 1, 1, 1, 1, 10, 0.996), scores);
        });
    }

    [Fact]
    public void ASampleOfPicturesIsScoredWithTheFrequenciesOfAll()
    {
        CaptionEvaluation all = new(["a b c d", "e f g h"], [["a b c d"], ["x"]]);
        Assert.Equal(10, all.Score([0]).CiderD, 9);
        Assert.Equal(5, all.Score().CiderD, 9);
        Assert.Equal(10, all.Score([0, 0, 0]).CiderD, 9);
        Assert.Equal(0, all.Score([1]).Bleu1);
        Assert.Throws<ArgumentException>(() => all.Score([]));
    }

    [Fact]
    public void CaptionsWithoutAWordGetNothing()
    {
        CaptionScores scores = new CaptionEvaluation(["", "?"], [["a b"], ["c d"]]).Score();
        Assert.Equal(new CaptionScores(0, 0, 0, 0, 0, 0, 0), scores);
    }

    [Fact]
    public void CaptionsOfScenesAreReadAndCheckedAgainstTheScene()
    {
        Scene scene = new(
            SceneBackground.White,
            [
                new SceneObject(SceneShape.Circle, SceneColor.Red, SceneSize.Large, 0.25, 0.5, 0.15),
                new SceneObject(SceneShape.Star, SceneColor.Blue, SceneSize.Small, 0.75, 0.5, 0.08),
            ]);
        const string Reference = "a large red circle left of a small blue star";
        Assert.Equal(new(true, true, true), SceneCaptionJudgement.Of(Reference, Reference, scene));
        Assert.Equal(new(true, true, true), SceneCaptionJudgement.Of("a small blue star to the right of a large red circle", Reference, scene));
        Assert.Equal(new(true, false, true), SceneCaptionJudgement.Of("a blue star", Reference, scene));
        Assert.Equal(new(true, false, false), SceneCaptionJudgement.Of("a blue circle", Reference, scene));
        Assert.Equal(new(true, false, false), SceneCaptionJudgement.Of("a small blue star left of a large red circle", Reference, scene));
        Assert.Equal(new(false, false, false), SceneCaptionJudgement.Of("circle red a", Reference, scene));
        Assert.Equal(new(false, false, false), SceneCaptionJudgement.Of("", Reference, scene));
        Assert.Throws<FormatException>(() => SceneCaptionJudgement.Of(Reference, "no caption", scene));
    }

    private static CaptionEvaluation Evaluate((string Candidate, string[] References)[] corpus)
        => new([.. corpus.Select(picture => picture.Candidate)], [.. corpus.Select(picture => (IReadOnlyList<string>)picture.References)]);

    private static void AssertEqual(CaptionScores expected, CaptionScores actual)
    {
        double[] left = Numbers(expected), right = Numbers(actual);
        for (int i = 0; i < left.Length; i++)
        {
            Assert.Equal(left[i], right[i], 1e-9);
        }

        static double[] Numbers(CaptionScores scores)
            => [scores.Bleu1, scores.Bleu2, scores.Bleu3, scores.Bleu4, scores.RougeL, scores.CiderD, scores.MeteorLike];
    }
}
