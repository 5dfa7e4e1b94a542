using System.Text.Json;
using MiniVlp.Cli.Demo;
using MiniVlp.Cli.Evaluation;
using MiniVlp.Cli.Search;
using MiniVlp.Cli.Training;
using MiniVlp.Data.Images;
using Xunit;

namespace MiniVlp.Cli.Tests;

public sealed class EvaluationTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Labels_ComeFromFieldCaptionOrMention()
    {
        EmbeddedSample[] samples = [Sample("a red hat", """{ "label": 1, "word": "Seven" }"""), Sample("the blue sea", """{ "label": 0, "word": "two" }""")];
        Assert.Equal([1, 0], SampleLabels.Find(samples, "label", ["zero", "one"]).Labels);
        Assert.Equal([0, 1], SampleLabels.Find(samples, "word", ["seven", "two"]).Labels);
        Assert.Equal([1, 0], SampleLabels.Find(samples, null, ["blue", "red"]).Labels);
        (IReadOnlyList<string> names, IReadOnlyList<int> labels) = SampleLabels.Find(samples, null, null);
        Assert.Equal(["a red hat", "the blue sea"], names);
        Assert.Equal([0, 1], labels);
        Assert.Throws<ToolException>(() => SampleLabels.Find(samples, null, ["ed", "sea"]));        // part of a word only
        Assert.Throws<ToolException>(() => SampleLabels.Find(samples, null, ["red", "hat", "sea"]));    // two at once
        Assert.Throws<ToolException>(() => SampleLabels.Find(samples, "label", ["zero"]));
        Assert.Throws<ToolException>(() => SampleLabels.Find(samples, "label", ["x", "X"]));
    }

    [Fact]
    public void Index_RoundTripsAndSearches()
    {
        EmbeddingIndex index = new("CLIPModel", [new("a/0", "eins \"zwei\""), new("a/1", ""), new("a/2", "漢")], [1, 0, 0, 1, 0.6f, 0.8f], 2);
        index.Save(_folder["x.safetensors"]);
        EmbeddingIndex read = EmbeddingIndex.Load(_folder["x.safetensors"]);
        Assert.Equal(index.Items, read.Items);
        Assert.Equal(index.Vectors, read.Vectors);
        Assert.Equal("CLIPModel", read.Architecture);
        Assert.Equal(["a/1", "a/2"], read.Search([0, 1], 2).Select(hit => hit.Item.Key));
        Assert.Equal(3, read.Search([0, 1], 10).Count);
    }

    [Fact]
    public void Metrics_RoundTripUpToACheckpoint()
    {
        MetricsHistory history = new();
        for (int i = 1; i <= 5; i++) history.Add(new TrainingMetrics(i, i / 8.0, 1f / i, 1e-3f, 0.1f * i, 0.07f, 100, 0.25, i * 0.5) { Parts = [new("itc", 2f / i), new("itm", 3f / i)] });
        history.Save(_folder["metrics.csv"]);
        MetricsHistory read = MetricsHistory.Load(_folder["metrics.csv"], lastStep: 3);
        Assert.Equal(history.Rows.Take(3).Select(row => row with { Parts = [] }), read.Rows.Select(row => row with { Parts = [] }));
        Assert.Equal(history.Rows.Take(3).SelectMany(row => row.Parts), read.Rows.SelectMany(row => row.Parts));
        File.AppendAllText(_folder["metrics.csv"], "6,oops\n");
        ToolException error = Assert.Throws<ToolException>(() => MetricsHistory.Load(_folder["metrics.csv"], 3));
        Assert.Contains("line 7", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void RunningMean_OfAConstantIsTheConstant()
    {
        TrainingMetrics[] rows = [.. Enumerable.Range(1, 300).Select(i => new TrainingMetrics(i, 0, 2.5f, 0, 0, 0, 0, 0, 0))];
        Assert.All(LossChart.RunningMean(rows), mean => Assert.Equal(2.5, mean, 9));
    }

    [Fact]
    public void AttentionMap_BlendsBetweenPatches()
    {
        Assert.Equal([2f, 3f], AttentionMap.MeanOverHeads([1, 2, 3, 4], 2));
        RgbImage white = new(4, 4);
        white.Pixels.AsSpan().Fill(255);
        RgbImage map = AttentionMap.Overlay(white, [0, 1, 0, 1], 2, 2);
        (byte leftRed, byte leftGreen, _) = map[0, 0];
        (byte rightRed, byte rightGreen, _) = map[3, 0];
        Assert.True(rightGreen > leftGreen + 50 && rightRed > leftRed, "the right half is bright");
        Assert.Equal(map[0, 0], map[0, 3]);
    }

    private static EmbeddedSample Sample(string caption, string json)
    {
        using JsonDocument document = JsonDocument.Parse(json);
        return new EmbeddedSample("key", caption, 0, document.RootElement.Clone());
    }
}
