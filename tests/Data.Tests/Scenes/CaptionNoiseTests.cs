using MiniVlp.Data.Scenes;
using Xunit;

namespace MiniVlp.Data.Tests.Scenes;

public sealed class CaptionNoiseTests
{
    [Fact]
    public void RateAndKindsAreAsAskedAndEveryNoisyCaptionIsWrong()
    {
        CaptionNoiseKind[] kinds = [CaptionNoiseKind.WrongColor, CaptionNoiseKind.WrongShape, CaptionNoiseKind.Unrelated, CaptionNoiseKind.Boilerplate];
        var data = new SceneDataset(new SceneDatasetOptions
        {
            World = new SceneOptions(),
            Count = 5000,
            NoiseRate = 0.3,
            NoiseKinds = [.. kinds],
        });
        int[] counts = new int[5];
        for (int i = 0; i < data.Count; i++)
        {
            NoisyCaption caption = data.CaptionAt(i);
            counts[Array.IndexOf(kinds, caption.Kind) + 1]++;
            Scene scene = data.SceneAt(i);
            Assert.True(SceneFactChecker.IsTrue(caption.Clean, scene));
            Assert.Equal(caption.Kind == CaptionNoiseKind.None, caption.Text == caption.Clean);
            if (caption.Kind == CaptionNoiseKind.Boilerplate)
            {
                Assert.False(SceneGrammar.TryParse(caption.Text, out _));
            }
            else
            {
                Assert.Equal(caption.Kind == CaptionNoiseKind.None, SceneFactChecker.IsTrue(caption.Text, scene));
            }
        }

        Assert.True(ChiSquare.Statistic(counts, [0.7, 0.075, 0.075, 0.075, 0.075]) < ChiSquare.Critical(4));
    }

    [Theory]
    [InlineData(CaptionNoiseKind.WrongColor)]
    [InlineData(CaptionNoiseKind.WrongShape)]
    [InlineData(CaptionNoiseKind.WrongSize)]
    [InlineData(CaptionNoiseKind.WrongCount)]
    [InlineData(CaptionNoiseKind.WrongRelation)]
    [InlineData(CaptionNoiseKind.SwappedPair)]
    public void AKindChangesWhatItSays(CaptionNoiseKind kind)
    {
        var data = new SceneDataset(new SceneDatasetOptions { World = new SceneOptions(), Count = 400, NoiseRate = 1, NoiseKinds = [kind] });
        NoisyCaption[] noisy = [.. Enumerable.Range(0, 400).Select(data.CaptionAt).Where(caption => caption.Kind != CaptionNoiseKind.None)];

        Assert.True(noisy.Length > 20);
        Assert.All(noisy, caption =>
        {
            Assert.Equal(kind, caption.Kind);
            SceneStatement before = SceneGrammar.Parse(caption.Clean);
            SceneStatement after = SceneGrammar.Parse(caption.Text);
            Assert.Equal(before.Phrases.Length, after.Phrases.Length);
            (int colors, int shapes, int sizes, int counts) = (0, 0, 0, 0);
            foreach ((ObjectPhrase was, ObjectPhrase now) in before.Phrases.Zip(after.Phrases))
            {
                colors += was.Color != now.Color ? 1 : 0;
                shapes += was.Shape != now.Shape ? 1 : 0;
                sizes += was.Size != now.Size ? 1 : 0;
                counts += was.Count != now.Count ? 1 : 0;
            }

            int relations = before.Relation != after.Relation ? 1 : 0;
            (int, int, int, int, int) changed = (colors, shapes, sizes, counts, relations);
            (int, int, int, int, int) expected = kind switch
            {
                CaptionNoiseKind.WrongColor => (1, 0, 0, 0, 0),
                CaptionNoiseKind.WrongShape => (0, 1, 0, 0, 0),
                CaptionNoiseKind.WrongSize => (0, 0, 1, 0, 0),
                CaptionNoiseKind.WrongCount => (0, 0, 0, 1, 0),
                CaptionNoiseKind.WrongRelation => (0, 0, 0, 0, 1),
                _ => colors > 0 ? (2, 0, 0, 0, 0) : (0, 2, 0, 0, 0),
            };
            Assert.Equal(expected, changed);
        });
    }

    [Fact]
    public void NoNoiseChangesNothing()
    {
        var clean = new SceneDataset(new SceneDatasetOptions { Count = 100 });
        Assert.All(Enumerable.Range(0, 100), i => Assert.Equal(clean.CleanCaptionAt(i), clean.GetCaption(i)));
        Assert.Null(clean.Get(3).Metadata);
    }

    [Fact]
    public void AWorldWhereEveryCaptionIsTrueHasNoUnrelatedOnes()
    {
        SceneOptions tiny = new SceneOptions { Shapes = [SceneShape.Star], Colors = [SceneColor.Red], Sizes = [SceneSize.Small] }.SingleObjects();
        var data = new SceneDataset(new SceneDatasetOptions { World = tiny, Count = 5, NoiseRate = 1, NoiseKinds = [CaptionNoiseKind.Unrelated] });
        Assert.All(Enumerable.Range(0, 5), i => Assert.Equal(CaptionNoiseKind.None, data.CaptionAt(i).Kind));
    }

    [Fact]
    public void WrongSettingsAreRefused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new CaptionNoise(1.5, [CaptionNoiseKind.Unrelated]));
        Assert.Throws<ArgumentOutOfRangeException>(() => new CaptionNoise(double.NaN, [CaptionNoiseKind.Unrelated]));
        Assert.Throws<ArgumentException>(() => new CaptionNoise(0.5, []));
        Assert.Throws<ArgumentException>(() => new CaptionNoise(0.5, [CaptionNoiseKind.None]));
    }
}
