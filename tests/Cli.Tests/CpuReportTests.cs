using System.Text.Json.Nodes;
using MiniVlp.Bench.Peers;
using MiniVlp.Bench.Workloads;
using Xunit;

namespace MiniVlp.Cli.Tests;

/// <summary>The table of bench/cpu/run, from files whose numbers can be checked in the head.</summary>
public sealed class CpuReportTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public CpuReportTests()
    {
        File.WriteAllText(_folder["facts.json"], """{ "date": "2026-01-02", "processor": "Test CPU", "commit": "abc" }""");
        MachineRate one = new(1, 50, 10, "read", 40), two = new(2, 100, 20, "copy", 80);
        RowsFile peers = new(_folder["peers-2.jsonl"]);
        peers.Add(new SoftwareLine(new Dictionary<string, string>(StringComparer.Ordinal) { ["libtorch"] = "9.9" }));
        peers.Add(new PeakLine(new MachinePeak(256, one, two)));

        // 1e9 operations at 100 GFLOP/s are 10 ms; 1e9 bytes at 20 GB/s, or 25 as measured at the end, are 40 ms.
        peers.Start("gemm_512x512x512");
        peers.Add(new ComparisonRow("gemm_512x512x512", 1e9, 1e6, 9, new Timing(20, 12.5, 9), new Timing(24, 15, 9), new Timing(21, 20, 9)));
        peers.Add(new ComparisonRow("softmax_4096x4096", 1e9, 1e9, 9, new Timing(44, 40, 9), new Timing(46.2, 46, 9), null));
        peers.Add(new ComparisonRow("adamw_vit_b32", 1e9, 1e9, 9, new Timing(80, 40, 9), null, null));
        peers.Start("clip_text_b8");
        peers.Add(new PeakLine(new MachinePeak(256, one, two with { GigabytesPerSecond = 25, MemoryLoop = "triad" })));
        RowsFile tier = new(_folder["tier-sse.jsonl"]);
        tier.Add(new PeakLine(new MachinePeak(128, one, two with { GigaflopsPerSecond = 50 })));
        tier.Add(new ComparisonRow("gemm_512x512x512", 1e9, 1e6, 9, new Timing(25, 20, 9), null, null));
        RowsFile memory = new(_folder["memory.jsonl"]);
        memory.Add(new MemoryUse("gemm_512x512x512", "ours", 30, 35, 40, new Timing(1, 1, 3)));
        memory.Add(new MemoryUse("gemm_512x512x512", "torch", 150, 155, 161, new Timing(1, 1, 3)));
    }

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("# Test CPU, 2026-01-02")]
    [InlineData("- libtorch: 9.9")]
    [InlineData("Peak: 2 threads 100.0 GFLOP/s, 25.0 GB/s beyond the caches (triad), 80.0 GB/s in the last-level cache.")]
    [InlineData("| gemm_512x512x512 | 20.0 (12.5) | 50 GFLOP/s | arithmetic | 50 % (80) | 1.20 (1.20) | 1.05 (1.60) | 1.05 met | 40 (10) | 161 (11) | - |")]
    [InlineData("| softmax_4096x4096 | 44.0 (40.0) | 22.7 GB/s | memory | 91 % (100) | 1.05 (1.15) | - | 1.20 or 85 % of the bandwidth met | - | - | - |")]
    [InlineData("| adamw_vit_b32 | 80.0 (40.0) | 12.5 GB/s | memory | 50 % (100) | - | - | 1.20 not measured | - | - | - |")]
    [InlineData("## Ours with 128-bit vectors, 2 threads")]
    [InlineData("| gemm_512x512x512 | 25.0 (20.0) | 40 GFLOP/s | arithmetic | 80 % (100) |")]
    public void Page_has_the_line(string line) => Assert.Contains(line, CpuReport.Read(_folder.Path).ToMarkdown().Split('\n'));

    [Fact]
    public void What_took_the_process_down_is_an_error_for_the_next_one()
    {
        RowsFile again = new(_folder["peers-2.jsonl"]);
        Assert.True(again.IsDone("clip_text_b8"));
        Assert.True(again.IsDone("gemm_512x512x512"));
        Assert.False(again.IsDone("gemm_256x256x256"));
        Assert.Contains("clip_text_b8: the process ended while it ran.", CpuReport.Read(_folder.Path).ToMarkdown().Split('\n'));
    }

    [Fact]
    public void Json_has_all_parts()
    {
        JsonNode json = JsonNode.Parse(CpuReport.Read(_folder.Path).ToJson())!;
        Assert.Equal([false, true], json["parts"]!.AsArray().Select(part => part!["isTier"]!.GetValue<bool>()));
        JsonNode gemm = json["parts"]![0]!["rows"]![0]!;
        Assert.Equal(1.05, gemm["ratio"]!.GetValue<double>(), 1e-9);
        Assert.Equal(0.5, gemm["roof"]!["shareOfBound"]!.GetValue<double>(), 1e-9);
        Assert.Equal(40, json["memory"]![0]!["peakMegabytes"]!.GetValue<double>());
    }

    [Theory]
    [InlineData("gemm_1x3072x768", 0.99, 0.9, "1.05 or 85 % of the bandwidth met")]
    [InlineData("sdpa_8x12x197x64_bwd", 1.2, 0.9, "1.50 missed by 20 %")]
    [InlineData("vit_b32_fwd_b1", 1.21, 0, "1.20 met")]
    [InlineData("clip_small_train_step_b64", 1.2, 0, "1.50 missed by 20 %")]
    [InlineData("albef_small_train_step_b64", 1.51, 0, "1.50 met")]
    public void Target_follows_the_name(string name, double ratio, double bandwidthShare, string verdict) => Assert.Equal(verdict, Target.Of(name).Judge(ratio, bandwidthShare));
}
