using System.Text.Json.Nodes;
using MiniVlp.Cli.CapFilt;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Skia;
using MiniVlp.Models;
using Xunit;

namespace MiniVlp.Cli.Tests;

/// <summary><c>minivlp capfilt</c> with a BLIP of a few steps on noisy scenes.</summary>
public sealed class CapFiltCommandTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void ASmallRunWritesModelsShardsAuditAndSummary()
    {
        ToolRun run = ToolRun.Of(Arguments(_folder["out"])).Succeeds();
        Assert.Equal(20, run.Json["pictures"]!.GetValue<int>());
        foreach (string source in (string[])["web", "synthetic"])
        {
            JsonNode counts = run.Json[source]!;
            Assert.Equal(20, counts["texts"]!.GetValue<int>());
            Assert.Equal(20, counts["judged"]!.GetValue<int>());
        }

        CaptionDecision[] lines = [.. File.ReadLines(_folder["out/audit.jsonl"]).Select(line => CaptionDecision.Parse(line, "audit.jsonl"))];
        Assert.Equal(40, lines.Length);
        Assert.All(lines, line => Assert.InRange(line.Score, 0f, 1f));
        int kept = lines.Count(line => line.IsKept);
        Assert.Equal(kept, run.Json["pairs"]!.GetValue<int>());
        string[] shards = Directory.GetFiles(_folder["out/data"], "*.tar");
        if (kept > 0) Assert.Equal(kept, new TarShardDataset([.. shards.Order(StringComparer.Ordinal)], new SkiaImageDecoder()).Count);
        Assert.Equal("BlipForConditionalGeneration", Architecture("captioner"));
        Assert.Equal("BlipForImageTextRetrieval", Architecture("filter"));
        Assert.Equal("BlipForPreTraining", Architecture("pretrained"));

        // Nothing is left to do, so the same answer comes at once.
        Assert.Equal(run.Json.ToJsonString(), ToolRun.Of(Arguments(_folder["out"])).Succeeds().Json.ToJsonString());
        ToolRun.Of(Arguments(_folder["out"], "--threshold", "0.9")).Fails(ExitCode.Failure, "threshold");
    }

    [Fact]
    public void ARunThatStartsFromATrainedModelTrainsNone()
    {
        ToolRun.Of(Arguments(_folder["first"])).Succeeds();
        string[] arguments = [.. Arguments(_folder["second"])];
        arguments[Array.IndexOf(arguments, "tiny")] = _folder["first/pretrained"];
        ToolRun.Of(arguments).Succeeds();
        Assert.False(Directory.Exists(_folder["second/pretrained"]));
        foreach (string file in (string[])["captioner/model.safetensors", "filter/model.safetensors", "audit.jsonl"])
            Assert.True(File.ReadAllBytes(_folder["first/" + file]).AsSpan().SequenceEqual(File.ReadAllBytes(_folder["second/" + file])), file);
    }

    [Fact]
    public void MistakesAreNamed()
    {
        ToolRun.Of("capfilt", "--data", "scenes:train:8", "--out", _folder["out"]).Fails(ExitCode.Usage, "--clean");
        ToolRun.Of(Arguments(_folder["out"], "--min-tokens", "13")).Fails(ExitCode.Failure, "--min-tokens");
        ToolRun.Of(Arguments(_folder["out"], "--top-p", "0")).Fails(ExitCode.Usage, "--top-p");
        ToolRun.Of("capfilt", "--data", _folder.Path, "--caption-noise", "0.4", "--clean", "scenes:validation:12", "--out", _folder["out"]).Fails(ExitCode.Failure, "--caption-noise");
    }

    private static string[] Arguments(string folder, params string[] more) =>
    [
        "capfilt", "--data", "scenes:train:20", "--caption-noise", "0.4", "--clean", "scenes:validation:12", "--model", "tiny", "--steps", "3", "--tune-steps", "2", "--batch", "4",
        "--shard-size", "8", "--max-tokens", "12", "--threads", "1", "--seed", "3", "--json", "--out", folder, .. more,
    ];

    private string Architecture(string part)
    {
        using PretrainedModel model = Architectures.Load(_folder["out/" + part]);
        return model.Architecture;
    }
}
