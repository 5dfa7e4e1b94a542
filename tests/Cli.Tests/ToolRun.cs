using System.Text.Json.Nodes;
using Xunit;

namespace MiniVlp.Cli.Tests;

/// <summary>One run of the tool inside the test process.</summary>
/// <param name="ExitCode">What the shell would see.</param>
/// <param name="Output">Standard output.</param>
/// <param name="Error">Standard error.</param>
internal sealed record ToolRun(int ExitCode, string Output, string Error)
{
    public JsonNode Json => JsonNode.Parse(Output)!;

    public static ToolRun Of(params string[] args) => Of(CancellationToken.None, args);

    public static ToolRun Of(CancellationToken cancellation, params string[] args)
    {
        using StringWriter output = new(), error = new();
        int code = Tool.Run(args, output, error, cancellation);
        ToolRun run = new(code, output.ToString(), error.ToString());
        Assert.DoesNotContain("   at MiniVlp", run.Error + run.Output, StringComparison.Ordinal);
        return run;
    }

    /// <summary>The same, with the output on failure.</summary>
    public ToolRun Succeeds()
    {
        Assert.True(ExitCode == 0, $"exit code {ExitCode}\n{Output}\n{Error}");
        return this;
    }

    public ToolRun Fails(int code, params string[] mentions)
    {
        Assert.True(ExitCode == code, $"exit code {ExitCode}, expected {code}\n{Output}\n{Error}");
        foreach (string text in mentions) Assert.Contains(text, Error, StringComparison.Ordinal);
        return this;
    }
}
