using MiniVlp.Data.Datasets;
using MiniVlp.Data.Scenes;
using Xunit;

namespace MiniVlp.Data.Tests.Scenes;

public sealed class SceneDatasetTests
{
    [Fact]
    public void ASampleIsTheSameInAnyOrderOnAnyThread()
    {
        var options = new SceneDatasetOptions { Count = 200, ImageSize = 32, Style = SceneCaptionStyle.Varied, NoiseRate = 0.5 };
        IImageTextDataset data = new SceneDataset(options);
        ImageTextSample[] once = [.. Enumerable.Range(0, 200).Select(data.Get)];
        Parallel.For(0, 200, i =>
        {
            ImageTextSample again = new SceneDataset(options).Get(i);
            Assert.Equal(once[i].Image.Pixels, again.Image.Pixels);
            Assert.Equal((once[i].Key, once[i].Caption), (again.Key, again.Caption));
            Assert.Equal(again.Caption, data.GetCaption(i));
        });
        Assert.Equal("scenes/train/000007", once[7].Key);
        Assert.Equal((32, 32), (once[0].Image.Width, once[0].Image.Height));
    }

    [Fact]
    public void NoiseStandsInTheMetadata()
    {
        var data = new SceneDataset(new SceneDatasetOptions { Count = 50, NoiseRate = 1 });
        ImageTextSample sample = data.Get(4);
        NoisyCaption caption = data.CaptionAt(4);

        Assert.Equal(caption.Kind.ToString(), sample.Metadata!.Value.GetProperty("noise").GetString());
        Assert.Equal(caption.Clean, sample.Metadata!.Value.GetProperty("clean").GetString());
    }

    [Fact]
    public void TrainAndValidationShareNoScene()
    {
        var train = new SceneDataset(new SceneDatasetOptions { Count = 4000 });
        var validation = new SceneDataset(new SceneDatasetOptions { Count = 1000, Split = SceneSplit.Validation });
        HashSet<Scene> seen = [.. Enumerable.Range(0, train.Count).Select(train.SceneAt)];

        Assert.Equal(train.Count, seen.Count);
        Assert.DoesNotContain(Enumerable.Range(0, validation.Count).Select(validation.SceneAt), seen.Contains);
        Assert.Equal("scenes/validation", validation.Name);
    }

    [Fact]
    public void AGalleryWithUniqueCaptionsStatesEachFactOnce()
    {
        foreach (SceneCaptionStyle style in new[] { SceneCaptionStyle.Plain, SceneCaptionStyle.Varied })
        {
            var gallery = new SceneDataset(new SceneDatasetOptions { Count = 500, Split = SceneSplit.Validation, UniqueCaptions = true, Style = style });
            string[] facts = [.. Enumerable.Range(0, 500).Select(i => SceneGrammar.Write(SceneGrammar.Parse(gallery.GetCaption(i)).Canonical()))];

            Assert.Equal(500, facts.Distinct().Count());
            Assert.Equal(500, Enumerable.Range(0, 500).Select(gallery.GetCaption).Distinct().Count());
        }
    }

    [Fact]
    public void AskingForMoreUniqueCaptionsThanThereAreIsAnError()
    {
        SceneOptions tiny = SceneOptions.Demo.SingleObjects() with { Shapes = [SceneShape.Star], Colors = [SceneColor.Red] };
        ArgumentException error = Assert.Throws<ArgumentException>(
            () => new SceneDataset(new SceneDatasetOptions { World = tiny, Count = 10, UniqueCaptions = true }));
        Assert.Contains("only 1 distinct captions", error.Message);
    }

    [Fact]
    public void VariantsOfACaptionAreAllTrue()
    {
        var data = new SceneDataset(new SceneDatasetOptions { World = new SceneOptions(), Count = 100, Style = SceneCaptionStyle.Varied });
        for (int i = 0; i < 100; i++)
        {
            string[] captions = [.. Enumerable.Range(0, 5).Select(variant => data.CleanCaptionAt(i, variant))];
            Assert.True(captions.Distinct().Count() > 1);
            Assert.All(captions, caption => Assert.True(SceneFactChecker.IsTrue(caption, data.SceneAt(i)), caption));
        }
    }

    [Fact]
    public void TheDemoSpeaksOfWhatIsVisibleInFewWords()
    {
        var data = new SceneDataset(new SceneDatasetOptions { Count = 2000 });
        string[] captions = [.. Enumerable.Range(0, 2000).Select(data.GetCaption)];
        string[] words = [.. captions.SelectMany(caption => caption.Split(' ')).Distinct()];

        Assert.InRange(words.Length, 30, 60);
        Assert.True(captions.Max(caption => caption.Split(' ').Length) <= 12);
        Assert.True(Enumerable.Range(0, 2000).Average(i => data.SceneAt(i).Objects.Length) < 2.2);
    }

    [Fact]
    public void ZeroShotPromptsNameTheirClassAndLabelsAreRight()
    {
        SceneOptions world = SceneOptions.Demo.SingleObjects();
        var data = new SceneDataset(new SceneDatasetOptions { World = world, Count = 300, Split = SceneSplit.Validation });
        foreach (SceneZeroShotTask task in new[] { SceneZeroShotTask.Color(world), SceneZeroShotTask.Shape(world) })
        {
            Assert.Equal(8, task.ClassNames.Length);
            Assert.Equal(task.ClassNames.Length, task.Prompts.Length);
            for (int label = 0; label < task.ClassNames.Length; label++)
            {
                Assert.Equal(8, task.Prompts[label].Distinct().Count());
                Assert.All(task.Prompts[label], prompt => Assert.Contains(task.ClassNames[label], prompt.Split(' ')));
                Assert.All(task.Prompts[label], prompt => Assert.True(SceneGrammar.TryParse(prompt, out _)));
            }

            for (int i = 0; i < data.Count; i++)
            {
                Assert.Contains(task.ClassNames[task.LabelOf(data.SceneAt(i))], data.GetCaption(i).Split(' '));
            }
        }

        Assert.Throws<ArgumentException>(() => SceneZeroShotTask.Color(world).LabelOf(new Scene(SceneBackground.White, [])));
    }

    [Fact]
    public void WrongOptionsAreRefused()
    {
        Assert.Throws<ArgumentException>(() => new SceneDataset(new SceneDatasetOptions { Count = 0 }));
        Assert.Throws<ArgumentOutOfRangeException>(() => new SceneDataset(new SceneDatasetOptions { ImageSize = 2 }));
        Assert.Throws<ArgumentOutOfRangeException>(() => new SceneDataset(new SceneDatasetOptions { NoiseRate = 2 }));
        var data = new SceneDataset(new SceneDatasetOptions { Count = 3 });
        Assert.Throws<ArgumentOutOfRangeException>(() => data.Get(3));
        Assert.Throws<ArgumentOutOfRangeException>(() => data.GetCaption(-1));
        Assert.Throws<ArgumentOutOfRangeException>(() => data.CleanCaptionAt(0, -1));
    }
}
