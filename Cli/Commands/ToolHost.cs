using System.CommandLine;

namespace MiniVlp.Cli.Commands;

/// <summary>What all commands of one run share.</summary>
/// <param name="Options">The options that every command has.</param>
/// <param name="Output">Results.</param>
/// <param name="Error">Errors and, with --json, progress.</param>
/// <param name="Cancellation">Set by Ctrl+C.</param>
public sealed record ToolHost(CommonOptions Options, TextWriter Output, TextWriter Error, CancellationToken Cancellation);

/// <summary>A command: its options, and what it does with a <see cref="ToolContext"/>.</summary>
internal abstract class ToolCommand : Command
{
    protected ToolCommand(string name, string description, ToolHost host)
        : base(name, description)
    {
        SetAction(arguments =>
        {
            using ToolContext context = new(host, arguments);
            return Run(context);
        });
    }

    /// <summary>Does the work.</summary>
    /// <returns>One of <see cref="ExitCode"/>.</returns>
    protected abstract int Run(ToolContext context);
}
