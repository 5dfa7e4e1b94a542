using CsCheck;
using MiniVlp.Data.Scenes;
using Xunit;

namespace MiniVlp.Data.Tests.Scenes;

public sealed class SceneGrammarTests
{
    private static readonly Gen<ObjectPhrase> AnyPhrase =
        from shape in Gen.Int[-1, 9]
        from color in Gen.Int[-1, 9]
        from size in Gen.Int[-1, 2]
        from count in Gen.Int[1, 4]
        select new ObjectPhrase(
            shape < 0 ? null : (SceneShape)shape, color < 0 ? null : (SceneColor)color, size < 0 ? null : (SceneSize)size, count);

    private static readonly Gen<SceneStatement> AnyStatement =
        from phrases in AnyPhrase.Array[1, 4]
        from relation in Gen.Int[-1, 5]
        from background in Gen.Int[-1, 5]
        select Make(phrases, relation, background < 0 ? null : (SceneBackground)background);

    [Fact]
    public void WhatIsWrittenIsReadBack()
    {
        AnyStatement.Sample(statement => Assert.Equal(statement, SceneGrammar.Parse(SceneGrammar.Write(statement))), iter: 20_000);
    }

    [Fact]
    public void AParaphraseStatesTheSameFacts()
    {
        Gen.Select(AnyStatement, Gen.ULong).Sample(
            (statement, seed) =>
            {
                string text = SceneGrammar.Paraphrase(statement, seed);
                Assert.Equal(statement.Canonical(), SceneGrammar.Parse(text).Canonical());
                Assert.All(text.Split(' '), word => Assert.Contains(word, SceneGrammar.CaptionWords));
            },
            iter: 20_000);
    }

    [Fact]
    public void CaptionsStateTrueFactsThatASecondReaderFindsToo()
    {
        Gen.Select(Gen.ULong, Gen.Int[0, 2], Gen.Bool).Sample((seed, sizes, paraphrase) =>
        {
            var style = new SceneCaptionStyle { Paraphrase = paraphrase, Sizes = (SceneSizeMention)sizes, BackgroundRate = 0.3 };
            Scene scene = new SceneWorld(new SceneOptions { Seed = seed }).At(SceneSplit.Train, 3);
            SceneStatement facts = SceneCaptions.Describe(scene, style, seed);
            string caption = SceneCaptions.Write(scene, style, seed);

            Assert.Equal(facts.Canonical(), SceneGrammar.Parse(caption).Canonical());
            Assert.True(facts.HoldsIn(scene), caption);
            Assert.True(SceneFactChecker.IsTrue(caption, scene), caption);
            if (facts.Relation is null)
            {
                Assert.Equal(scene.Objects.Length, facts.Phrases.Sum(phrase => phrase.Count));
            }
        });
    }

    [Fact]
    public void TruthAgreesWithASecondReaderOnScenesTheCaptionIsNotFrom()
    {
        SceneOptions small = new() { Shapes = [SceneShape.Circle, SceneShape.Square], Colors = [SceneColor.Red, SceneColor.Blue] };
        int agreeTrue = 0;
        int agreeFalse = 0;
        Gen.Select(Gen.ULong, Gen.ULong).Sample(
            (first, second) =>
            {
                string caption = SceneCaptions.Write(new SceneWorld(small with { Seed = first }).At(SceneSplit.Train, 0), SceneCaptionStyle.Varied, first);
                Scene scene = new SceneWorld(small with { Seed = second }).At(SceneSplit.Train, 0);
                bool truth = SceneFactChecker.IsTrue(caption, scene);
                Assert.Equal(truth, SceneGrammar.Parse(caption).HoldsIn(scene));
                Interlocked.Increment(ref truth ? ref agreeTrue : ref agreeFalse);
            },
            iter: 5000);
        Assert.True(agreeTrue > 100 && agreeFalse > 100);
    }

    [Theory]
    [InlineData("a red circle")]
    [InlineData("two green stars")]
    [InlineData("A small orange disc is to the left of a big blue plus.")]
    [InlineData("there are two green stars and an object on a striped background")]
    [InlineData("this picture shows a black moon in a ring")]
    public void SentencesOfTheGrammarAreRead(string text)
    {
        Assert.True(SceneGrammar.TryParse(text, out _));
    }

    [Theory]
    [InlineData("")]
    [InlineData("a")]
    [InlineData("a red")]
    [InlineData("an red circle")]
    [InlineData("a orange circle")]
    [InlineData("a red circles")]
    [InlineData("two red circle")]
    [InlineData("one red circle")]
    [InlineData("five red circles")]
    [InlineData("zero red circles")]
    [InlineData("there is two red circles")]
    [InlineData("there are a red circle")]
    [InlineData("there is a circle is left of a star")]
    [InlineData("two circles left of a star")]
    [InlineData("a circle left of two stars")]
    [InlineData("a circle left a star")]
    [InlineData("a circle is")]
    [InlineData("a circle and")]
    [InlineData("a circle on a pink background")]
    [InlineData("a circle on a white")]
    [InlineData("a red circle a star")]
    [InlineData("red a circle")]
    [InlineData("click here to see more")]
    public void OtherTextsAreRefusedWithTheText(string text)
    {
        FormatException error = Assert.Throws<FormatException>(() => SceneGrammar.Parse(text));
        Assert.Contains(text, error.Message);
    }

    [Fact]
    public void NoSequenceOfWordsBreaksTheParser()
    {
        Gen.Int[0, SceneGrammar.AllWords.Length - 1].Array[0, 12].Sample(
            numbers =>
            {
                string text = string.Join(' ', numbers.Select(i => SceneGrammar.AllWords[i]));
                if (SceneGrammar.TryParse(text, out SceneStatement? statement))
                {
                    Assert.Equal(statement, SceneGrammar.Parse(SceneGrammar.Write(statement)));
                }

                if (SceneReference.TryParse("the " + text, out SceneReference? reference))
                {
                    Assert.True(SceneReference.TryParse(reference.ToString(), out SceneReference? again));
                    Assert.Equal(reference, again);
                }
            },
            iter: 20_000);
        Assert.False(SceneGrammar.TryParse(null, out _));
    }

    [Fact]
    public void TheVocabularyIsSmallAndSpelledOut()
    {
        Assert.InRange(SceneGrammar.CaptionWords.Length, 60, 100);
        Assert.Equal(SceneGrammar.CaptionWords.Order(StringComparer.Ordinal).Distinct(), SceneGrammar.CaptionWords);
        Assert.Subset(SceneGrammar.AllWords.ToHashSet(), SceneGrammar.CaptionWords.ToHashSet());
        Assert.Equal(Enum.GetNames<SceneShape>().Select(name => name.ToLowerInvariant()), SceneWords.Shapes);
        Assert.Equal(Enum.GetNames<SceneColor>().Select(name => name.ToLowerInvariant()), SceneWords.Colors);
        Assert.Equal(Enum.GetNames<SceneSize>().Select(name => name.ToLowerInvariant()), SceneWords.Sizes);
        Assert.Equal(Enum.GetNames<SceneBackground>().Select(name => name.ToLowerInvariant()), SceneWords.Backgrounds);
    }

    [Fact]
    public void StatementsThatCannotBeSaidAreRefused()
    {
        Assert.Throws<ArgumentException>(() => new SceneStatement([]));
        Assert.Throws<ArgumentException>(() => new SceneStatement([new ObjectPhrase(SceneShape.Star, Count: 5)]));
        Assert.Throws<ArgumentException>(() => new SceneStatement([new ObjectPhrase(SceneShape.Star)], SceneRelation.LeftOf));
        Assert.Throws<ArgumentException>(() => SceneCaptions.Describe(new Scene(SceneBackground.White, []), SceneCaptionStyle.Plain, 0));
    }

    private static SceneStatement Make(ObjectPhrase[] phrases, int relation, SceneBackground? background)
    {
        return relation < 0 || phrases.Length < 2
            ? new SceneStatement([.. phrases], null, background)
            : new SceneStatement([phrases[0] with { Count = 1 }, phrases[1] with { Count = 1 }], (SceneRelation)relation, background);
    }
}
