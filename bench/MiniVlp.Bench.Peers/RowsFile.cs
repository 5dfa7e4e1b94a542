using System.Text.Json;
using System.Text.Json.Nodes;
using MiniVlp.Bench.Workloads;

namespace MiniVlp.Bench.Peers;

/// <summary>A measurement of the machine, as a line.</summary>
/// <param name="Peak">What it can do.</param>
internal sealed record PeakLine(MachinePeak Peak);

/// <summary>Versions, as a line.</summary>
/// <param name="Software">What and which version.</param>
internal sealed record SoftwareLine(IReadOnlyDictionary<string, string> Software);

/// <summary>A workload that ended without a result.</summary>
/// <param name="Name">Of the workload.</param>
/// <param name="Error">What is known of it.</param>
internal sealed record ErrorLine(string Name, string Error);

/// <summary>The mark of a workload that was begun; when it is the last line, the process did not live to end it.</summary>
/// <param name="Started">Name of the workload.</param>
internal sealed record StartLine(string Started);

/// <summary>
/// Results as JSON lines, each written at once, so that a run that was stopped goes on where it was: what has a line is done, and so is what took
/// the process down.
/// </summary>
internal sealed class RowsFile
{
    private readonly string _path;
    private readonly HashSet<string> _done = new(StringComparer.Ordinal);

    /// <param name="path">The file, which need not be there.</param>
    public RowsFile(string path)
    {
        _path = path;
        if (!File.Exists(path)) return;
        string? started = null;
        foreach (JsonNode line in Read(path))
        {
            started = (string?)line["started"] ?? started;
            if (line["name"] is not { } name) continue;
            _done.Add((string)name!);
            started = null;
        }

        if (started is null) return;
        Add(new ErrorLine(started, "the process ended while it ran"));
        _done.Add(started);
    }

    public static JsonSerializerOptions Indented { get; } = new(JsonSerializerDefaults.Web) { WriteIndented = true };

    private static JsonSerializerOptions OneLine { get; } = new(JsonSerializerDefaults.Web);

    /// <summary>The lines of a file; a last one that was cut off is left out.</summary>
    public static IEnumerable<JsonNode> Read(string path)
    {
        foreach (string line in File.ReadLines(path))
        {
            JsonNode? node;
            try
            {
                node = JsonNode.Parse(line);
            }
            catch (JsonException)
            {
                continue;
            }

            if (node is not null) yield return node;
        }
    }

    public bool IsDone(string name) => _done.Contains(name);

    public void Start(string name) => Add(new StartLine(name));

    public void Add(object line) => File.AppendAllText(_path, JsonSerializer.Serialize(line, OneLine) + Environment.NewLine);
}
