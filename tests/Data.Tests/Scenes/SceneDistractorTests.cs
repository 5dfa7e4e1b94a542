using CsCheck;
using MiniVlp.Data.Scenes;
using Xunit;

namespace MiniVlp.Data.Tests.Scenes;

public sealed class SceneDistractorTests
{
    private static readonly SceneOptions Options = new();

    [Fact]
    public void ADistractorDiffersInOneWordAndIsFalse()
    {
        Gen.Select(Gen.ULong, Gen.Bool).Sample((seed, varied) =>
        {
            Scene scene = new SceneWorld(Options with { Seed = seed }).At(SceneSplit.Train, 0);
            string caption = SceneCaptions.Write(scene, varied ? SceneCaptionStyle.Varied : SceneCaptionStyle.Plain, seed);
            SceneDistractor? distractor = SceneDistractor.Draw(caption, scene, Options, seed);

            Assert.NotNull(distractor);
            string[] before = caption.Split(' ');
            string[] after = distractor.Text.Split(' ');
            Assert.Equal(before.Length, after.Length);
            Assert.Equal([distractor.WordIndex], Enumerable.Range(0, before.Length).Where(i => before[i] != after[i]));
            Assert.Equal((distractor.Original, distractor.Replacement), (before[distractor.WordIndex], after[distractor.WordIndex]));
            Assert.False(SceneFactChecker.IsTrue(distractor.Text, scene), $"{caption} -> {distractor.Text}");
            Assert.True(SceneGrammar.TryParse(distractor.Text, out _));
        });
    }

    [Fact]
    public void EveryKindOfWordIsExchanged()
    {
        var world = new SceneWorld(Options);
        HashSet<SceneWordKind> kinds = [];
        for (int i = 0; i < 400; i++)
        {
            Scene scene = world.At(SceneSplit.Train, i);
            kinds.Add(SceneDistractor.Draw(SceneCaptions.Write(scene, SceneCaptionStyle.Varied, (ulong)i), scene, Options, (ulong)i)!.Kind);
        }

        Assert.Equal(Enum.GetValues<SceneWordKind>().ToHashSet(), kinds);
    }

    [Fact]
    public void ReplacementsAreWordsOfTheWorld()
    {
        SceneOptions small = Options with { Colors = [SceneColor.Red, SceneColor.Blue], Sizes = [SceneSize.Small, SceneSize.Large] };
        var scene = new Scene(SceneBackground.White, [new SceneObject(SceneShape.Star, SceneColor.Red, SceneSize.Small, 0.5, 0.5, 0.1)]);

        Assert.Equal(["blue"], SceneDistractor.All("a small red star", scene, small).Where(d => d.Kind == SceneWordKind.Color).Select(d => d.Replacement));
        Assert.Equal(["large", "big"], SceneDistractor.All("a small red star", scene, small).Where(d => d.Kind == SceneWordKind.Size).Select(d => d.Replacement));
        Assert.DoesNotContain(SceneDistractor.All("a red star", scene, Options), d => d.Replacement == "orange");
        Assert.Null(SceneDistractor.Draw("nothing to see", scene, Options, 0));
    }
}
