using System.Text.Json.Nodes;
using Xunit;

namespace MiniVlp.Cli.Tests;

/// <summary><c>minivlp kernels</c>: no GPU is needed for any of it.</summary>
public sealed class KernelsCommandTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void List_NamesEveryKernel()
    {
        JsonArray kernels = ToolRun.Of("kernels", "--json").Succeeds().Json.AsArray();
        string[] names = [.. kernels.Select(kernel => kernel!["name"]!.GetValue<string>())];
        Assert.Contains("FillKernel", names);
        Assert.Contains("UnaryKernel_Gelu", names);
        string table = ToolRun.Of("kernels", "--filter", "fillkernel").Succeeds().Output;
        Assert.Contains("FillKernel", table, StringComparison.Ordinal);
        Assert.Contains("1 kernels", table, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("sm_80", ".version 7.8\n")]
    [InlineData("sm_90a", ".version 8.3\n")]
    public void EmitPtx_WritesOneFileForEachKernel(string architecture, string version)
    {
        string folder = Path.Combine(_folder["ptx"], architecture);
        JsonNode json = ToolRun.Of("kernels", "--emit-ptx", folder, "--arch", architecture, "--filter", "UnaryKernel_Re", "--json").Succeeds().Json;
        Assert.Equal(architecture, json["arch"]!.GetValue<string>());
        JsonArray kernels = json["kernels"]!.AsArray();
        Assert.Equal(kernels.Count, Directory.GetFiles(folder).Length);
        string relu = File.ReadAllText(Path.Combine(folder, "UnaryKernel_Relu.ptx"));
        Assert.Contains(version, relu, StringComparison.Ordinal);
        Assert.Contains(".visible .entry UnaryKernel_Relu(", relu, StringComparison.Ordinal);
        Assert.Contains($"{kernels.Count} kernels", ToolRun.Of("kernels", "--emit-ptx", folder, "--filter", "UnaryKernel_Re").Succeeds().Output, StringComparison.Ordinal);
    }

    [Fact]
    public void Cache_IsFilledOnce_AndMendedWhereItIsDamaged()
    {
        string folder = _folder["cache"];
        JsonNode json = Fill("--json").Json;
        string[] files = Directory.GetFiles(folder);
        Assert.Equal(json["kernels"]!.GetValue<int>(), files.Length);
        Assert.Equal("sm_90a", json["arch"]!.GetValue<string>());
        Assert.Equal("8.8", json["ptx_version"]!.GetValue<string>());
        string relu = Assert.Single(files, file => Path.GetFileName(file).StartsWith("UnaryKernel_Relu-", StringComparison.Ordinal)), good = File.ReadAllText(relu);
        Assert.Contains(".version 8.8\n", good, StringComparison.Ordinal);
        Assert.Contains(".visible .entry UnaryKernel_Relu(", good, StringComparison.Ordinal);
        File.WriteAllText(relu, good[..^10]);
        Assert.Contains($"{files.Length} kernels for sm_90a, PTX 8.8", Fill().Output, StringComparison.Ordinal);
        Assert.Equal(good, File.ReadAllText(relu));
        Assert.Equal(files.Order(StringComparer.Ordinal), Directory.GetFiles(folder).Order(StringComparer.Ordinal));

        ToolRun Fill(params string[] more) => ToolRun.Of(["kernels", "--cache", folder, "--arch", "sm_90a", "--ptx", "8.8", "--filter", "UnaryKernel_Re", .. more]).Succeeds();
    }

    [Theory]
    [InlineData("newest", "sm_80", "7.8")]
    [InlineData("8", "sm_80", "7.8")]
    [InlineData("7.5", "sm_80", "7.8")]
    [InlineData("8.0", "sm_90a", "8.3")]
    public void PtxVersion_ThatDoesNotFit_IsNamedWithTheLeast(string version, string architecture, string least)
    {
        ToolRun.Of("kernels", "--cache", _folder["cache"], "--ptx", version, "--arch", architecture).Fails(ExitCode.Failure, $"--ptx {version}", $"from {least} on", architecture);
        Assert.False(Directory.Exists(_folder["cache"]));
    }

    [Fact]
    public void SassReport_IsATable_OrSaysWhatIsMissing()
    {
        string file = _folder["report.md"];
        ToolRun run = ToolRun.Of("kernels", "--sass-report", file, "--filter", "FillKernel");
        if (run.ExitCode == 0) Assert.Contains("| FillKernel | 256 | ", File.ReadAllText(file), StringComparison.Ordinal);
        else run.Fails(ExitCode.Failure, "--sass-report", "ptxas");
    }

    [Fact]
    public void Mistakes_AreNamed()
    {
        ToolRun.Of("kernels", "--arch", "sm_10").Fails(ExitCode.Usage, "sm_10");
        ToolRun.Of("kernels", "--filter", "nothing-has-this-name").Fails(ExitCode.Failure, "nothing-has-this-name");
        File.WriteAllText(_folder["file"], string.Empty);
        ToolRun.Of("kernels", "--emit-ptx", _folder["file"], "--filter", "FillKernel").Fails(ExitCode.Failure, "file");
        ToolRun.Of("kernels", "--cache", _folder["file"], "--filter", "FillKernel").Fails(ExitCode.Failure, "--cache", "cannot be written");
    }

    [Fact]
    public void Cancellation_StopsBetweenKernels()
    {
        using CancellationTokenSource source = new();
        source.Cancel();
        ToolRun.Of(source.Token, "kernels", "--emit-ptx", _folder["ptx"]).Fails(ExitCode.Interrupted, "stopped");
    }
}
