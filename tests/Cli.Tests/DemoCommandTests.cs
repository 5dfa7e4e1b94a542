using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Xunit;

namespace MiniVlp.Cli.Tests;

public sealed partial class DemoCommandTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Demo_WritesAReportThatNeedsNothingElse()
    {
        JsonNode json = ToolRun.Of("demo", "--out", _folder["demo"], "--steps", "3", "--batch", "8", "--gallery", "24", "--json").Succeeds().Json;
        Assert.Equal(3, json["steps"]!.GetValue<int>());
        Assert.Equal(24, json["retrieval"]!["text_to_image"]!["gallery"]!.GetValue<int>());
        Assert.Equal(2, json["zero_shot"]!.AsArray().Count);

        string html = File.ReadAllText(json["report"]!.GetValue<string>());
        Assert.DoesNotContain("<script", html, StringComparison.Ordinal);
        Assert.DoesNotMatch(Links(), html);
        MatchCollection pictures = Pictures().Matches(html);
        Assert.True(pictures.Count >= 24, $"{pictures.Count} pictures");
        foreach (Match picture in pictures) Assert.Equal((byte)'P', Convert.FromBase64String(picture.Groups["data"].Value)[1]);
        Assert.Contains("<svg", html, StringComparison.Ordinal);

        // The next demo takes the place of the first.
        string output = ToolRun.Of("demo", "--out", _folder["demo"], "--steps", "2", "--batch", "8", "--gallery", "24").Succeeds().Output;
        Assert.Contains("R@10", output, StringComparison.Ordinal);
        Assert.Contains("shape", output, StringComparison.Ordinal);
        Assert.Contains("step 2/2", output, StringComparison.Ordinal);
    }

    [Fact]
    public void Demo_LeavesOtherFoldersAlone()
    {
        File.WriteAllText(_folder["precious.txt"], "mine");
        ToolRun.Of("demo", "--out", _folder.Path, "--steps", "1", "--batch", "8").Fails(ExitCode.Failure, "something else");
        Assert.Single(Directory.EnumerateFileSystemEntries(_folder.Path));
    }

    [Fact]
    public void Interrupt_IsExitCode130()
    {
        using CancellationTokenSource interrupt = new();
        interrupt.Cancel();
        Assert.Equal(ExitCode.Interrupted, ToolRun.Of(interrupt.Token, "demo", "--out", _folder["demo"], "--batch", "8", "--gallery", "24").ExitCode);
    }

    [GeneratedRegex("(src|href)=\"(?!data:)", RegexOptions.ExplicitCapture, 5000)]
    private static partial Regex Links();

    [GeneratedRegex("src=\"data:image/png;base64,(?<data>[A-Za-z0-9+/=]+)\"", RegexOptions.ExplicitCapture, 5000)]
    private static partial Regex Pictures();
}
