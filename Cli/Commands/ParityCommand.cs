using System.CommandLine;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text.Json.Nodes;
using MiniVlp.Models;
using Spectre.Console;

namespace MiniVlp.Cli.Commands;

/// <summary><c>minivlp parity</c>: compares a model with stored outputs and gradients of a reference.</summary>
internal sealed class ParityCommand : ToolCommand
{
    private readonly Argument<string[]> _folders = new("DIR")
    {
        Description = "Folders with config.json, model.safetensors, inputs.safetensors and outputs.safetensors.",
        Arity = ArgumentArity.OneOrMore,
    };

    private readonly Option<double> _tolerance = OptionRules.Number(
        "--tolerance", "Allowed difference, relative to the largest value of a tensor, where meta.json does not say.", 0, 1e9, Parity.DefaultTolerance, "X");

    private readonly Option<bool> _all = new("--all") { Description = "List every tensor, not only those that fail." };

    public ParityCommand(ToolHost host)
        : base("parity", "Compare outputs and gradients with those stored in a folder.", host)
    {
        Add(_folders);
        Add(_tolerance);
        Add(_all);
    }

    protected override int Run(ToolContext context)
    {
        bool passed = true;
        JsonArray json = [];
        foreach (string folder in context.Arguments.GetRequiredValue(_folders))
        {
            context.Cancellation.ThrowIfCancellationRequested();
            (IReadOnlyList<ParityRow> rows, string? error) = Check(context, folder);
            passed &= error is null && rows.All(row => row.Passed);
            if (context.Json) json.Add(ToJson(folder, rows, error));
            else Print(context, folder, rows, error);
        }

        if (context.Json) context.WriteJson(json);
        return passed ? ExitCode.Success : ExitCode.Failure;
    }

    [SuppressMessage("Design", "CA1031", Justification = "One bad folder must not hide the results of the others; its error is reported.")]
    private (IReadOnlyList<ParityRow> Rows, string? Error) Check(ToolContext context, string folder)
    {
        try
        {
            IReadOnlyList<ParityRow> rows = Parity.Check(folder, context.Device, context.Arguments.GetValue(_tolerance), context.AskedWeights);
            return rows.Count == 0 ? (rows, $"{folder}: outputs.safetensors holds nothing to compare.") : (rows, null);
        }
        catch (Exception exception) when (exception is not (OperationCanceledException or ToolException))
        {
            return ([], exception.Message);
        }
    }

    private void Print(ToolContext context, string folder, IReadOnlyList<ParityRow> rows, string? error)
    {
        if (error is not null)
        {
            context.Error.WriteLine($"minivlp: {error}");
            context.Output.WriteLine($"FAIL {folder}");
            return;
        }

        ParityRow[] failed = [.. rows.Where(row => !row.Passed)];
        ParityRow[] shown = context.Arguments.GetValue(_all) ? [.. rows] : failed;
        if (shown.Length > 0)
        {
            Table table = new() { Border = TableBorder.Simple };
            table.AddColumn("tensor").AddColumn(new TableColumn("max abs").RightAligned()).AddColumn(new TableColumn("max rel").RightAligned());
            table.AddColumn(new TableColumn("allowed").RightAligned()).AddColumn(string.Empty);
            foreach (ParityRow row in shown)
                table.AddRow(Markup.Escape(row.Name), Number(row.MaxAbsolute), Number(row.MaxRelative), Number(row.Allowed), Markup.Escape(row.Problem ?? (row.Passed ? string.Empty : "over")));
            context.Console.Write(table);
        }

        int gradients = rows.Count(row => row.Name.Contains("grad.", StringComparison.Ordinal));
        double closest = rows.Where(row => row.Problem is null && row.Allowed > 0).Select(row => row.MaxAbsolute / row.Allowed).DefaultIfEmpty(0).Max();
        context.Output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{(failed.Length == 0 ? "PASS" : "FAIL")} {folder}: {rows.Count - gradients} outputs, {gradients} gradients, {failed.Length} fail; largest difference {closest:P1} of what is allowed"));
    }

    private static JsonObject ToJson(string folder, IReadOnlyList<ParityRow> rows, string? error) => new()
    {
        ["folder"] = folder,
        ["passed"] = error is null && rows.All(row => row.Passed),
        ["error"] = error,
        ["tensors"] = new JsonArray([.. rows.Select(row => (JsonNode?)new JsonObject
        {
            ["name"] = row.Name,
            ["max_absolute"] = JsonNumber.Of(row.MaxAbsolute),
            ["max_relative"] = JsonNumber.Of(row.MaxRelative),
            ["allowed"] = row.Allowed,
            ["passed"] = row.Passed,
            ["problem"] = row.Problem,
        })]),
    };



    private static string Number(double value) => value.ToString("0.00e+00", CultureInfo.InvariantCulture);
}
