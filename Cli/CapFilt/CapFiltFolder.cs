using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.CapFilt;

/// <summary>
/// The folder that a run writes: three model folders, the shards of the new data set, <c>audit.jsonl</c>, and while it is at work
/// <c>parts/</c> with the captions and decisions of each shard. <c>capfilt.json</c> says what the run was started with and which models are done.
/// </summary>
public sealed class CapFiltFolder
{
    private readonly string _path;
    private JsonObject _state;

    /// <summary>Opens the folder of an earlier run, or makes a new one.</summary>
    /// <param name="path">The folder.</param>
    /// <param name="settings">What the run is started with.</param>
    /// <exception cref="ToolException">The folder holds something else, or a run with other settings.</exception>
    public CapFiltFolder(string path, JsonObject settings)
    {
        _path = path;
        Directory.CreateDirectory(path);
        if (!File.Exists(StatePath))
        {
            if (Directory.EnumerateFileSystemEntries(path).Any()) throw new ToolException($"--out {path}: there are files in this folder, and no capfilt.json of an earlier run; name another folder.");
            _state = new JsonObject { ["settings"] = settings.DeepClone(), ["done"] = new JsonArray() };
            Save();
            return;
        }

        _state = Read();
        Compare(_state["settings"] as JsonObject ?? throw new ToolException($"{StatePath}: expected an object 'settings'."), settings);
    }

    /// <summary>The model that the other two start from.</summary>
    public string Pretrained => Path.Combine(_path, "pretrained");

    public string Captioner => Path.Combine(_path, "captioner");

    public string Filter => Path.Combine(_path, "filter");

    /// <summary>One line for each text, in the order of the pictures.</summary>
    public string Audit => Path.Combine(_path, "audit.jsonl");

    /// <summary>Path of the shards without their number.</summary>
    public string ShardPrefix => Path.Combine(_path, "data", "capfilt");

    public string CaptionsOf(int part) => PartFile("captions", part);

    public string DecisionsOf(int part) => PartFile("decisions", part);

    /// <summary>Whether a stage has come to its end.</summary>
    public bool IsDone(string stage) => Done().Any(done => (string?)done == stage);

    /// <summary>Notes that a stage has come to its end.</summary>
    public void SetDone(string stage)
    {
        Done().Add(stage);
        Save();
    }

    /// <summary>Joins the decisions of all parts into the audit, then removes the parts.</summary>
    public void Finish(int parts)
    {
        AtomicFile.Write(Audit, stream =>
        {
            for (int part = 0; part < parts; part++)
            {
                using FileStream decisions = File.OpenRead(DecisionsOf(part));
                decisions.CopyTo(stream);
            }
        });
        RemoveParts();
    }

    /// <summary>Removes what only a run at work needs.</summary>
    public void RemoveParts()
    {
        if (Directory.Exists(PartsFolder)) Directory.Delete(PartsFolder, recursive: true);
    }

    /// <summary>Makes the folders of parts and shards.</summary>
    public void MakeFolders()
    {
        Directory.CreateDirectory(PartsFolder);
        Directory.CreateDirectory(Path.Combine(_path, "data"));
    }

    private string StatePath => Path.Combine(_path, "capfilt.json");

    private string PartsFolder => Path.Combine(_path, "parts");

    private string PartFile(string kind, int part) => Path.Combine(PartsFolder, string.Create(CultureInfo.InvariantCulture, $"{kind}-{part:D6}.jsonl"));

    private JsonArray Done() => _state["done"] as JsonArray ?? throw new ToolException($"{StatePath}: expected an array 'done'.");

    private void Save() => AtomicFile.WriteAllText(StatePath, _state.ToJsonString(new JsonSerializerOptions { WriteIndented = true }) + "\n");

    private JsonObject Read()
    {
        try
        {
            return JsonNode.Parse(File.ReadAllText(StatePath), null, new JsonDocumentOptions { MaxDepth = 16 }) as JsonObject ?? throw new ToolException($"{StatePath}: expected an object.");
        }
        catch (JsonException exception)
        {
            throw new ToolException($"{StatePath}: not valid JSON: {exception.Message}");
        }
    }

    private void Compare(JsonObject then, JsonObject now)
    {
        foreach (string name in then.Select(pair => pair.Key).Union(now.Select(pair => pair.Key), StringComparer.Ordinal))
        {
            string before = then[name]?.ToJsonString() ?? "null", after = now[name]?.ToJsonString() ?? "null";
            if (before != after) throw new ToolException($"--out {_path}: this run was started with {name} {before}, now it is {after}; a run goes on with the same, or starts in another folder.");
        }
    }
}
