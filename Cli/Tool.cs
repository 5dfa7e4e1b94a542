using System.CommandLine;
using System.Diagnostics.CodeAnalysis;
using MiniVlp.Cli.Commands;

namespace MiniVlp.Cli;

/// <summary>The entry point without a process around it: arguments in, text and an exit code out.</summary>
public static class Tool
{
    /// <summary>Runs one command.</summary>
    /// <param name="args">As typed, without the tool's name.</param>
    /// <param name="output">Results.</param>
    /// <param name="error">Errors, and progress when the results are JSON.</param>
    /// <param name="cancellation">Asks a long command to save and stop.</param>
    /// <returns>One of <see cref="ExitCode"/>.</returns>
    [SuppressMessage("Design", "CA1031", Justification = "The last resort of a command-line tool: one line instead of a stack trace.")]
    public static int Run(IReadOnlyList<string> args, TextWriter output, TextWriter error, CancellationToken cancellation = default)
    {
        RootCommand root = CreateRoot(output, error, cancellation);
        ParseResult parsed = root.Parse(args.Count == 0 ? ["--help"] : args);
        if (parsed.Errors.Count > 0)
        {
            foreach (System.CommandLine.Parsing.ParseError mistake in parsed.Errors) error.WriteLine($"minivlp: {OneLine(mistake.Message)}");
            error.WriteLine($"Try 'minivlp {string.Join(' ', PathOf(parsed))}--help'.");
            return ExitCode.Usage;
        }

        try
        {
            return parsed.Invoke(new InvocationConfiguration { Output = output, Error = error, EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            error.WriteLine("minivlp: stopped.");
            return ExitCode.Interrupted;
        }
        catch (Exception exception)
        {
            error.WriteLine($"minivlp: {Describe(exception)}");
            return ExitCode.Failure;
        }
    }

    private static RootCommand CreateRoot(TextWriter output, TextWriter error, CancellationToken cancellation)
    {
        CommonOptions common = new();
        ToolHost host = new(common, output, error, cancellation);
        RootCommand root = new("MiniVlp trains, checks and uses vision-language models. Start with 'minivlp demo'.")
        {
            new DemoCommand(host),
            new TrainCommand(host),
            new CapFiltCommand(host),
            new EvalCommand(host),
            new EmbedCommand(host),
            new SearchCommand(host),
            new EffectsCommand(host),
            new DataCommand(host),
            new TokenizeCommand(host),
            new ParityCommand(host),
            new InfoCommand(host),
            new ExportCommand(host),
            new DevicesCommand(host),
            new KernelsCommand(host),
            new BenchCommand(host),
        };
        common.AddTo(root);
        return root;
    }

    private static IEnumerable<string> PathOf(ParseResult parsed)
    {
        List<string> names = [];
        for (System.CommandLine.Parsing.SymbolResult? result = parsed.CommandResult; result is not null; result = result.Parent)
        {
            if (result is System.CommandLine.Parsing.CommandResult { Command: not RootCommand } command) names.Insert(0, command.Command.Name);
        }

        return names.Count == 0 ? names : names.Append(string.Empty);
    }

    private static string Describe(Exception exception)
    {
        // A worker thread's or a lazy value's exception is a wrapper; its cause is what the user can act on.
        while (exception is AggregateException or TypeInitializationException && exception.InnerException is { } inner) exception = inner;
        return exception is ToolException or IOException or UnauthorizedAccessException or InvalidDataException or ArgumentException
            || exception.GetType().Namespace?.StartsWith("MiniVlp", StringComparison.Ordinal) == true
            ? WithoutParameter(exception)
            : $"{exception.GetType().Name}: {exception.Message}";
    }

    private static string WithoutParameter(Exception exception) => exception is ArgumentException { ParamName: { } name }
        ? exception.Message.Replace($" (Parameter '{name}')", string.Empty, StringComparison.Ordinal)
        : exception.Message;

    private static string OneLine(string text) => string.Join(' ', text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
}
