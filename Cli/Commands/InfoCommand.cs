using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using MiniVlp.Models;
using Spectre.Console;

namespace MiniVlp.Cli.Commands;

/// <summary><c>minivlp info</c>: what is in a model folder.</summary>
internal sealed class InfoCommand : ToolCommand
{
    // AdamW keeps two moments, and training a gradient, for each parameter.
    private const int TrainingCopies = 4;

    private readonly Argument<string> _folder = new("DIR") { Description = "A Hugging Face model folder." };

    public InfoCommand(ToolHost host)
        : base("info", "Show a model folder: parameters, memory, config.", host)
    {
        Add(_folder);
    }

    protected override int Run(ToolContext context)
    {
        string folder = context.Arguments.GetRequiredValue(_folder);
        using PretrainedModel model = Architectures.Load(folder, context.Device);
        long total = model.ParameterCount(), bytes = total * sizeof(float);
        (string Part, long Count)[] parts = [.. model.NamedParameters().GroupBy(named => PartOf(named.Name), StringComparer.Ordinal).Select(group => (group.Key, group.Sum(named => (long)named.Parameter.Shape.Length)))];
        if (context.Json)
        {
            context.WriteJson(new JsonObject
            {
                ["folder"] = folder,
                ["architecture"] = model.Architecture,
                ["parameters"] = total,
                ["parameters_by_part"] = new JsonObject(parts.Select(part => KeyValuePair.Create(part.Part, (JsonNode?)JsonValue.Create(part.Count)))),
                ["bytes"] = bytes,
                ["training_bytes"] = bytes * TrainingCopies,
                ["config"] = model.ToConfigJson(),
                ["warnings"] = new JsonArray([.. model.Warnings.Select(warning => (JsonNode?)JsonValue.Create(warning))]),
            });
            return ExitCode.Success;
        }

        Table table = new() { Border = TableBorder.Simple };
        table.AddColumn("part").AddColumn(new TableColumn("parameters").RightAligned());
        foreach ((string part, long count) in parts) table.AddRow(Markup.Escape(part), count.ToString("N0", CultureInfo.InvariantCulture));
        table.AddRow("total", total.ToString("N0", CultureInfo.InvariantCulture));
        context.Output.WriteLine($"{model.Architecture} in {folder}");
        context.Console.Write(table);
        context.Output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"memory: {Mebibytes(bytes)} for the weights, {Mebibytes(bytes * TrainingCopies)} to train with AdamW, activations not counted"));
        PrintConfig(context, model.ToConfigJson(), string.Empty);
        foreach (string warning in model.Warnings) context.Warn(warning);
        return ExitCode.Success;
    }

    private static string PartOf(string name)
    {
        int dot = name.IndexOf('.', StringComparison.Ordinal);
        return dot < 0 ? name : name[..dot];
    }

    private static string Mebibytes(long bytes) => string.Create(CultureInfo.InvariantCulture, $"{bytes / (1024.0 * 1024.0):N1} MiB");

    private static void PrintConfig(ToolContext context, JsonObject config, string prefix)
    {
        foreach ((string field, JsonNode? value) in config)
        {
            if (value is JsonObject inner) PrintConfig(context, inner, $"{prefix}{field}.");
            else context.Output.WriteLine($"  {prefix}{field} = {value?.ToJsonString() ?? "null"}");
        }
    }
}
