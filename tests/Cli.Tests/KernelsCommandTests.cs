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
    }

    [Fact]
    public void Cancellation_StopsBetweenKernels()
    {
        using CancellationTokenSource source = new();
        source.Cancel();
        ToolRun.Of(source.Token, "kernels", "--emit-ptx", _folder["ptx"]).Fails(ExitCode.Interrupted, "stopped");
    }
}
