using System.Text.Json;
using System.Text.Json.Nodes;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Effects;

/// <summary>One run and what came of it.</summary>
/// <param name="Experiment">Id of the experiment.</param>
/// <param name="Data">Name of the data.</param>
/// <param name="Scale">Size of the runs.</param>
/// <param name="Condition">The condition.</param>
/// <param name="Seed">The seed.</param>
/// <param name="Seconds">Time it took.</param>
/// <param name="Measures">Every measure by its name; none where the training diverged.</param>
/// <param name="Version">Of the experiment's protocol.</param>
public sealed record EffectRow(
    string Experiment, string Data, EffectScale Scale, string Condition, int Seed, double Seconds, IReadOnlyDictionary<string, double> Measures, string Version)
{
    /// <summary>Whether this row stands for the given run.</summary>
    public bool IsOf(Experiment experiment, string data, EffectScale scale)
        => Experiment == experiment.Id && Version == experiment.Version(scale, data) && Data == data && Scale == scale && experiment.Conditions.Contains(Condition, StringComparer.Ordinal);

    internal JsonObject ToJson() => new()
    {
        ["experiment"] = Experiment,
        ["data"] = Data,
        ["scale"] = Scale.ToString(),
        ["version"] = Version,
        ["condition"] = Condition,
        ["seed"] = Seed,
        ["seconds"] = Math.Round(Seconds, 1),
        ["measures"] = new JsonObject(Measures.Select(measure => KeyValuePair.Create(measure.Key, JsonNumber.Of(Math.Round(measure.Value, 5))))),
    };

    internal static EffectRow FromJson(JsonElement json) => new(
        json.GetProperty("experiment").GetString()!,
        json.GetProperty("data").GetString()!,
        Enum.Parse<EffectScale>(json.GetProperty("scale").GetString()!),
        json.GetProperty("condition").GetString()!,
        json.GetProperty("seed").GetInt32(),
        json.GetProperty("seconds").GetDouble(),
        json.GetProperty("measures").EnumerateObject().ToDictionary(
            measure => measure.Name, measure => measure.Value.ValueKind == JsonValueKind.Number ? measure.Value.GetDouble() : double.NaN, StringComparer.Ordinal),
        json.GetProperty("version").GetString()!);
}

/// <summary>The rows of all runs so far, one JSON object a line: a run that is in the file is not done again.</summary>
public sealed class EffectRows
{
    private readonly string _path;
    private readonly List<EffectRow> _rows = [];

    private EffectRows(string path) => _path = path;

    /// <summary>In the order of the runs.</summary>
    public IReadOnlyList<EffectRow> Rows => _rows;

    /// <summary>Reads the file, or starts with no rows where there is none.</summary>
    /// <exception cref="ToolException">A line is no row.</exception>
    public static EffectRows Open(string path)
    {
        EffectRows rows = new(path);
        if (!File.Exists(path)) return rows;
        int number = 0;
        foreach (string line in File.ReadLines(path))
        {
            number++;
            try
            {
                using JsonDocument document = JsonDocument.Parse(line, new JsonDocumentOptions { MaxDepth = 8 });
                rows._rows.Add(EffectRow.FromJson(document.RootElement));
            }
            catch (Exception exception) when (exception is JsonException or KeyNotFoundException or InvalidOperationException or ArgumentException or FormatException)
            {
                throw new ToolException($"{path}: line {number} is no row of an experiment: {exception.Message}");
            }
        }

        return rows;
    }

    /// <summary>Adds a row and writes the file; it appears whole or not at all.</summary>
    public void Add(EffectRow row)
    {
        _rows.Add(row);
        if (Path.GetDirectoryName(_path) is { Length: > 0 } folder) Directory.CreateDirectory(folder);
        AtomicFile.WriteAllText(_path, string.Concat(_rows.Select(each => each.ToJson().ToJsonString() + "\n")));
    }

    /// <summary>The row of a run, if it was done.</summary>
    public EffectRow? Find(Experiment experiment, string data, EffectScale scale, string condition, int seed)
        => _rows.FindLast(row => row.IsOf(experiment, data, scale) && row.Condition == condition && row.Seed == seed);
}
