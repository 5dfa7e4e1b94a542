using System.Text.Json;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Scenes;
using Xunit;

namespace MiniVlp.Data.Tests.Scenes;

public sealed class SceneTaskDatasetTests
{
    private static readonly SceneDatasetOptions Options = new() { World = new SceneOptions(), Split = SceneSplit.Validation, Count = 300, ImageSize = 16 };

    [Fact]
    public void ASampleIsTheSameInAnyOrderOnAnyThread()
    {
        foreach (Func<SceneTaskDataset> make in (Func<SceneTaskDataset>[])
            [() => new SceneQuestionDataset(Options with { Count = 40 }), () => new SceneReferenceDataset(Options with { Count = 40 }), () => new SceneEntailmentDataset(Options with { Count = 40 })])
        {
            SceneTaskDataset data = make();
            ImageTextSample[] once = [.. Enumerable.Range(0, data.Count).Select(data.Get)];
            SceneTaskDataset other = make();
            Parallel.For(0, data.Count, i =>
            {
                ImageTextSample again = other.Get(data.Count - 1 - i), first = once[data.Count - 1 - i];
                Assert.Equal((first.Key, first.Caption, first.Metadata!.Value.GetRawText()), (again.Key, again.Caption, again.Metadata!.Value.GetRawText()));
                Assert.Equal(first.Image.Pixels, again.Image.Pixels);
                Assert.Equal(first.Caption, other.GetCaption(data.Count - 1 - i));
            });
            Assert.StartsWith(data.Name + "/0000", once[0].Key);
        }
    }

    [Fact]
    public void QuestionsHaveAnAnswerOfTheWorld()
    {
        SceneQuestionDataset data = new(Options);
        Assert.Contains("yes", data.Answers);
        Assert.Contains("zero", data.Answers);
        HashSet<string> kinds = [];
        for (int i = 0; i < data.Count; i++)
        {
            ImageTextSample sample = data.Get(i);
            kinds.Add(Field(sample, "kind"));
            Assert.Contains(Field(sample, "answer"), data.Answers);
        }

        Assert.Equal(Enum.GetNames<SceneQuestionKind>().Order(StringComparer.Ordinal), kinds.Order(StringComparer.Ordinal));
    }

    [Fact]
    public void ReferencesPointAtOneObjectOfSeveral()
    {
        SceneReferenceDataset data = new(Options);
        for (int i = 0; i < data.Count; i++)
        {
            ImageTextSample sample = data.Get(i);
            Scene scene = data.SceneAt(i);
            Assert.True(SceneReference.TryParse(sample.Caption, out SceneReference? reference));
            int target = Assert.Single(reference.Resolve(scene));
            Assert.Equal(scene.Objects[target].Box, Box(sample.Metadata!.Value.GetProperty("box")));
            SceneBox[] proposals = [.. sample.Metadata!.Value.GetProperty("proposals").EnumerateArray().Select(Box)];
            Assert.Equal(scene.Objects.Select(item => item.Box), proposals);
            Assert.True(proposals.Length >= 2);
        }
    }

    [Fact]
    public void SentencesAreTrueHalfOfTheTimeAndDifferByOneWordWhereTheyAreNot()
    {
        SceneEntailmentDataset data = new(Options);
        int entailed = 0;
        for (int i = 0; i < data.Count; i++)
        {
            ImageTextSample sample = data.Get(i);
            bool holds = SceneFactChecker.IsTrue(sample.Caption, data.SceneAt(i));
            Assert.Equal(holds ? "entailment" : "contradiction", Field(sample, "label"));
            entailed += holds ? 1 : 0;
        }

        // Four standard deviations of 300 throws of a coin are 35.
        Assert.InRange(entailed, 115, 185);
    }

    [Fact]
    public void AWorldThatLeavesNothingToAskIsAnError()
    {
        SceneDatasetOptions single = Options with { World = SceneOptions.Demo.SingleObjects(), Count = 2 };
        InvalidOperationException error = Assert.Throws<InvalidOperationException>(() => new SceneReferenceDataset(single).Get(0));
        Assert.Contains("only 0 of 400 scenes", error.Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => new SceneQuestionDataset(Options with { Count = 0 }));
        Assert.Throws<ArgumentOutOfRangeException>(() => new SceneQuestionDataset(Options).Get(Options.Count));
    }

    private static string Field(ImageTextSample sample, string name) => sample.Metadata!.Value.GetProperty(name).GetString()!;

    private static SceneBox Box(JsonElement json)
    {
        double[] edges = [.. json.EnumerateArray().Select(edge => edge.GetDouble())];
        return new SceneBox(edges[0], edges[1], edges[2], edges[3]);
    }
}
