using CsCheck;
using MiniVlp.Data.Metrics;
using Xunit;

namespace MiniVlp.Data.Tests.Metrics;

public sealed class VqaAccuracyTests
{
    /// <summary>
    /// Of ten annotators, n agree: leaving one of the n out leaves n - 1, leaving another out leaves n.
    /// 1: (1 · 0 + 9 · 1/3) / 10; 2: (2 · 1/3 + 8 · 2/3) / 10; 3: (3 · 2/3 + 7 · 1) / 10; 4: (4 · 1 + 6 · 1) / 10.
    /// </summary>
    [Theory]
    [InlineData(0, 0)]
    [InlineData(1, 0.3)]
    [InlineData(2, 0.6)]
    [InlineData(3, 0.9)]
    [InlineData(4, 1)]
    [InlineData(10, 1)]
    public void TenAnnotatorsGiveTheOfficialScores(int agreeing, double expected)
    {
        string[] annotators = [.. Enumerable.Range(0, 10).Select(i => i < agreeing ? "Two." : $"other{i}")];
        Assert.Equal(expected, VqaAccuracy.Score("2", annotators), 12);
    }

    [Fact]
    public void ItIsTheMeanOverAnnotatorsLeftOut()
    {
        Gen.Select(Gen.Int[0, 2], Gen.Int[0, 2].Array[2, 12]).Sample((answer, annotators) =>
        {
            double expected = Enumerable.Range(0, annotators.Length)
                .Average(left => Math.Min(annotators.Where((given, i) => i != left && given == answer).Count() / 3.0, 1));
            Assert.Equal(expected, VqaAccuracy.Score($"word{answer}", [.. annotators.Select(given => $"word{given}")]), 1e-12);
        });
    }

    [Fact]
    public void OneAnnotatorIsPlainEquality()
    {
        Assert.Equal(1, VqaAccuracy.Score("a dog", ["Dog"]));
        Assert.Equal(0, VqaAccuracy.Score("cat", ["dog"]));
        Assert.True(VqaAnswer.IsExactMatch("The dog!", "dog"));
        Assert.False(VqaAnswer.IsExactMatch("dogs", "dog"));
        Assert.Throws<ArgumentException>(() => VqaAccuracy.Score("cat", []));
    }

    [Theory]
    [InlineData("  The\tDog\n", "dog")]
    [InlineData("a an the", "")]
    [InlineData("", "")]
    [InlineData("Ten or none", "10 or 0")]
    [InlineData("eleven", "eleven")]
    [InlineData("yes.", "yes")]
    [InlineData("3.5", "3.5")]    // in front of a digit a full stop stays
    [InlineData(".5 mi.", ".5 mi")]
    [InlineData("u.s.a.", "usa")]
    [InlineData("red, white", "red white")]    // beside a space: gone
    [InlineData("red,white", "red white")]    // between letters: a space
    [InlineData("1,000", "1000")]    // between digits: gone
    [InlineData("1,000 t-shirts", "1000 tshirts")]    // and with it every other mark of the answer
    [InlineData("t-shirt", "t shirt")]
    [InlineData("black/white (old) ", "black white old")]    // " (" beside a space; ")" stands at the end and before no space: a space
    [InlineData("[no]?", "no")]
    [InlineData("dont", "don't")]
    [InlineData("Isnt", "isn't")]
    [InlineData("couldnt've", "couldn't've")]
    [InlineData("couldn'tve", "couldn't've")]
    [InlineData("yall'd've y'alld've y'all'dve", "y'all'd've y'all'd've y'all'd've")]
    [InlineData("oclock", "o'clock")]
    [InlineData("twas", "'twas")]
    [InlineData("well shell ill its were id", "well shell ill its were id")]    // words of their own
    [InlineData("man's", "man's")]
    [InlineData("x: y & z", "x: y & z")]    // marks that the script does not know
    public void AnswersAreNormalisedAsByTheScript(string answer, string expected) => Assert.Equal(expected, VqaAnswer.Normalize(answer));

    [Fact]
    public void NormalisingTwiceChangesNothing()
    {
        // Words apart from numbers with commas, where a second pass would see another text.
        Gen.Char["ab tT-'/?"].Array[0, 12].Select(letters => new string(letters))
            .Sample(text => Assert.Equal(VqaAnswer.Normalize(text), VqaAnswer.Normalize(VqaAnswer.Normalize(text))));
    }
}
