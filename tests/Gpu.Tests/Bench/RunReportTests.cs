using System.Text.Json;
using System.Text.Json.Nodes;
using MiniVlp.Bench.Gpu;
using Xunit;

namespace MiniVlp.Gpu.Tests.Bench;

/// <summary>The table and the JSON of a run of bench/gpu/run, from numbers that can be checked in the head.</summary>
public sealed class RunReportTests
{
    /// <summary>As bench/gpu/run writes it: a copy at 2,000 GB/s by the peer, a product at 0.8 of the peer, a norm at 90 % of the copy, and what can go wrong.</summary>
    private const string Results = """
        {
          "date": "2026-01-02", "card": "Test Card", "seconds": 61.4, "facts": { "driver": "1.2.3" },
          "sections": [
            { "name": "kernels", "seconds": 3.5, "note": "70 loaded | 1 failed", "failed": true },
            { "name": "gemm", "seconds": 20, "note": null, "failed": false }
          ],
          "rows": [
            { "section": "bandwidth", "name": "copy", "isCopy": true, "bytes": 2e9, "ours": { "milliseconds": 1.25 }, "peer": { "milliseconds": 1.0 } },
            { "section": "bandwidth", "name": "norm", "bytes": 1.8e9, "targetKind": "copy", "targets": [0.85], "ours": { "milliseconds": 1.0 }, "peer": { "milliseconds": 2.0 } },
            { "section": "gemm", "name": "gemm", "operations": 1e12, "targets": [0.55, 0.75, 1.0], "ours": { "milliseconds": 2.5 }, "peer": { "milliseconds": 2.0 } },
            { "section": "gemm", "name": "broken", "operations": 1e12, "targets": [0.75], "ours": { "error": "no|kernel" }, "peer": { "milliseconds": 2.0 } },
            { "section": "contrastive", "name": "65536", "targetKind": "runs",
              "ours": { "milliseconds": 40, "peakBytes": 1048576000 }, "peer": { "error": "CUDA out of memory", "outOfMemory": true } }
          ]
        }
        """;

    private readonly RunReport _report = RunReport.Read(Results);

    [Fact]
    public void Bandwidth_is_that_of_the_better_copy() => Assert.Equal(2000, _report.CopyGigabytesPerSecond!.Value, 6);

    [Theory]
    [InlineData("| copy | 1.2500 | 1.0000 | 0.80 | 1600 GB/s | - |  |")]
    [InlineData("| norm | 1.0000 | 2.0000 | 2.00 | 1800 GB/s | 90 % | 0.85 met |")]
    [InlineData("| gemm | 2.5000 | 2.0000 | 0.80 | 400.0 TFLOP/s | - | 0.55 met; 0.75 met; 1 missed by 20 % |")]
    [InlineData("| broken | error | 2.0000 | - | - TFLOP/s | - | not measured |")]
    [InlineData("| 65536 | 40.00 | out of memory | - | - | - | 1000 | - | met: the peer ran out of memory |")]
    [InlineData("- broken, ours: no\\|kernel")]
    [InlineData("| kernels | 3.5 | **failed** 70 loaded \\| 1 failed |")]
    [InlineData("- driver: 1.2.3")]
    [InlineData("- copy on the device: 2000 GB/s")]
    public void The_page_has_the_line(string line) => Assert.Contains(line, _report.ToMarkdown().Split('\n'));

    [Fact]
    public void The_file_has_ratios_shares_and_verdicts()
    {
        JsonArray rows = JsonNode.Parse(_report.ToJson())!["rows"]!.AsArray();
        Assert.Equal(0.8, rows[2]!["ratio"]!.GetValue<double>(), 6);
        Assert.Equal(0.9, rows[1]!["shareOfCopy"]!.GetValue<double>(), 6);
        Assert.Equal("0.85 met", rows[1]!["verdict"]!.GetValue<string>());
        Assert.Equal("not measured", rows[3]!["verdict"]!.GetValue<string>());
    }

    [Fact]
    public void What_was_written_can_be_read_again() => Assert.Equal(_report.ToMarkdown(), RunReport.Read(_report.ToJson()).ToMarkdown());

    [Fact]
    public void A_dry_run_says_so() => Assert.Contains("A dry run", RunReport.Read(Results.Replace("\"seconds\": 61.4", "\"dryRun\": true", StringComparison.Ordinal)).ToMarkdown(), StringComparison.Ordinal);

    [Fact]
    public void Something_else_is_refused() => Assert.Throws<JsonException>(() => RunReport.Read("{\"rows\": 3}"));
}
