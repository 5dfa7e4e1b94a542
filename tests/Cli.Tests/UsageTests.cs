using System.Text.Json.Nodes;
using MiniVlp.Data.Text;
using Xunit;

namespace MiniVlp.Cli.Tests;

public sealed class UsageTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void NoArguments_ShowTheCommands()
    {
        ToolRun run = ToolRun.Of().Succeeds();
        foreach (string command in (string[])["demo", "train", "eval", "embed", "search", "tokenize", "parity", "info", "export", "devices", "bench", "data"])
            Assert.Contains($"  {command}", run.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("trian")]
    [InlineData("eval")]
    [InlineData("tokenize", "hello")]
    [InlineData("tokenize", "--tokenizer", "x")]
    [InlineData("tokenize", "--tokenizer", "x", "--file", "y", "hello")]
    [InlineData("train", "--out", "x")]
    [InlineData("train", "--data", "scenes", "--out", "x", "--steps", "0")]
    [InlineData("train", "--data", "scenes", "--out", "x", "--steps", "ten")]
    [InlineData("train", "--data", "scenes", "--out", "x", "--steps", "3", "--epochs", "2")]
    [InlineData("train", "--data", "scenes", "--out", "x", "--recipe", "nope")]
    [InlineData("devices", "--device", "tpu")]
    [InlineData("devices", "--device", "cpu:1")]
    [InlineData("devices", "--device", "cuda:x")]
    [InlineData("devices", "--precision", "fp8")]
    [InlineData("devices", "--threads", "-1")]
    [InlineData("devices", "--seed", "1.5")]
    [InlineData("search", "--model", "x", "--index", "y", "text", "-k", "0")]
    [InlineData("parity")]
    public void BadUsage_IsExitCodeTwo(params string[] args)
    {
        ToolRun run = ToolRun.Of(args).Fails(ExitCode.Usage, "minivlp: ", "--help");
        Assert.Empty(run.Output);
    }

    [Theory]
    [InlineData("cuda")]
    [InlineData("opencl")]
    public void AnAbsentGpu_IsRefused(string device)
    {
        // No machine has a hundred of them.
        ToolRun.Of("parity", _folder["model"], "--device", $"{device}:99").Fails(ExitCode.Failure, $"--device {device}", "99");
    }

    [Fact]
    public void TheCpu_ComputesInFloat32()
        => ToolRun.Of("parity", _folder["model"], "--device", "cpu", "--precision", "bf16").Fails(ExitCode.Failure, "--precision bf16", "--device cuda");

    [Theory]
    [InlineData("cpu")]
    [InlineData("auto")]
    public void Devices_ListsTheCpu(string device)
    {
        JsonNode json = ToolRun.Of("devices", "--device", device, "--threads", "2", "--json").Succeeds().Json;
        JsonNode cpu = json["devices"]![0]!;
        Assert.StartsWith("cpu", cpu["name"]!.GetValue<string>(), StringComparison.Ordinal);
        Assert.Equal(2, cpu["threads"]!.GetValue<int>());

        // Every kind that has no device says why.
        foreach (string kind in (string[])["cuda", "opencl"])
        {
            Assert.True(
                json["devices"]!.AsArray().Any(device => device!["kind"]!.GetValue<string>() == kind)
                || json["notes"]!.AsArray().Any(note => note!.GetValue<string>().StartsWith(kind, StringComparison.Ordinal)));
        }
    }

    [Fact]
    public void MissingFiles_AreOneLineEach()
    {
        string missing = _folder["missing"];
        foreach (string[] args in (string[][])
            [
                ["info", missing],
                ["tokenize", "--tokenizer", missing, "x"],
                ["train", "--data", _folder["missing.tar"], "--out", _folder["out"]],
                ["train", "--data", "scenes:nowhere", "--out", _folder["out"]],
                ["train", "--data", "scenes", "--out", _folder["out"], "--model", "huge"],
                ["train", "--data", "scenes", "--out", missing, "--resume"],
                ["eval", "retrieval", "--model", missing, "--data", "scenes"],
                ["search", "--model", missing, "--index", _folder["missing.safetensors"], "x"],
                ["data", "emoji", "--from", missing, "--out", _folder["out"]],
                ["bench", "--filter", "nothing-has-this-name"],
            ])
        {
            ToolRun run = ToolRun.Of(args).Fails(ExitCode.Failure, "minivlp: ");
            Assert.Single(run.Error.Trim().Split('\n'));
        }
    }

    [Fact]
    public void Tokenize_ShowsTokensAndIds()
    {
        TextTokenizer tokenizer = TextTokenizer.FromVocabulary(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "circle", "##s"]);
        tokenizer.Save(_folder.Path);
        JsonNode json = ToolRun.Of("tokenize", "--tokenizer", _folder.Path, "--json", "Red circles", "blue").Succeeds().Json;
        Assert.Equal("""["[CLS]","red","circle","##s","[SEP]"]""", json[0]!["tokens"]!.ToJsonString());
        Assert.Equal("[2,5,6,7,3]", json[0]!["ids"]!.ToJsonString());
        Assert.Equal("[2,1,3]", json[1]!["ids"]!.ToJsonString());
        string table = ToolRun.Of("tokenize", "--tokenizer", _folder.Path, "red [circles]").Succeeds().Output;
        Assert.Contains("circle", table, StringComparison.Ordinal);

        File.WriteAllText(_folder["texts.txt"], "red\ncircle\n");
        json = ToolRun.Of("tokenize", "--tokenizer", _folder.Path, "--json", "--max-length", "2", "--file", _folder["texts.txt"]).Succeeds().Json;
        Assert.Equal(2, json.AsArray().Count);
        Assert.Equal("[2,3]", json[1]!["ids"]!.ToJsonString());
    }

    [Fact]
    public void Bench_PrintsThePeaksAndTheShareOfTheBound()
    {
        JsonNode json = ToolRun.Of("bench", "--suite", "cpu", "--filter", "gemm_256x, layernorm_1576x768$", "--seconds", "0", "--threads", "2", "--json").Succeeds().Json;
        Assert.Equal(["gemm_256x256x256", "layernorm_1576x768"], json["workloads"]!.AsArray().Select(workload => workload!["name"]!.GetValue<string>()));
        JsonNode gemm = json["workloads"]![0]!, norm = json["workloads"]![1]!;
        double Of(JsonNode node, string field) => node[field]!.GetValue<double>();

        JsonNode one = json["peak"]!["one_core"]!, all = json["peak"]!["all_cores"]!;
        Assert.Equal((1, 2), (one["threads"]!.GetValue<int>(), all["threads"]!.GetValue<int>()));
        foreach (string rate in (string[])["gflops", "gbytes", "cache_gbytes"]) Assert.True(Of(one, rate) > 0 && Of(all, rate) > 0, rate);

        // 2 · 256³ operations at the peak of two threads, over the median.
        Assert.Equal("arithmetic", gemm["bound"]!.GetValue<string>());
        Assert.Equal(2 * 256 * 256 * 256 / Of(gemm, "median_ms") / 1e6 / Of(all, "gflops"), Of(gemm, "share_of_bound"), 1e-6);

        // 1,576 · 768 floats in and as many out: from memory or, where the last-level cache is twice as large, from there.
        string bandwidth = norm["bound"]!.GetValue<string>() == "cache" ? "cache_gbytes" : "gbytes";
        Assert.Equal(8.0 * 1576 * 768 / Of(norm, "median_ms") / 1e6 / Of(all, bandwidth), Of(norm, "share_of_bound"), 1e-6);
        Assert.True(Of(norm, "best_share_of_bound") >= Of(norm, "share_of_bound"));
    }

    [Fact]
    public void Bench_NamesTheWorkloadsWhenTheFilterFitsNone()
        => ToolRun.Of("bench", "--filter", "gem_").Fails(1, "--filter gem_", "gemm_256x256x256", "vit_b16_train_step_b8");
}
