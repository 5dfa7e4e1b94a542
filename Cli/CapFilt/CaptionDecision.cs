using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace MiniVlp.Cli.CapFilt;

/// <summary>Where a text comes from.</summary>
public enum CaptionSource
{
    /// <summary>The data set that was given.</summary>
    Web,

    /// <summary>The captioner.</summary>
    Synthetic,
}

/// <summary>One line of <c>audit.jsonl</c>: what became of one text.</summary>
/// <param name="Key">Of the picture in the data set that was given.</param>
/// <param name="Source">Where the text comes from.</param>
/// <param name="Text">The text.</param>
/// <param name="Score">Probability of a match by the filter.</param>
/// <param name="Decision"><c>kept</c>, <c>dropped</c>, <c>empty</c>, or <c>duplicate</c> for a synthetic text that says what the kept web text says.</param>
/// <param name="Truth">Whether the text is true of the picture, where the data knows.</param>
public sealed record CaptionDecision(string Key, CaptionSource Source, string Text, float Score, string Decision, bool? Truth)
{
    public const string Kept = "kept", Dropped = "dropped", Empty = "empty", Duplicate = "duplicate";

    // Captions are written as they are: no \u escapes for what a terminal can show.
    private static readonly JsonWriterOptions Readable = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Whether the text goes into the new data set.</summary>
    public bool IsKept => Decision == Kept;

    /// <summary>As it stands in JSON: <c>web</c> or <c>synthetic</c>.</summary>
    public string SourceName => Source == CaptionSource.Web ? "web" : "synthetic";

    /// <summary>The line, without its end.</summary>
    public string ToJson() => Encoding.UTF8.GetString(Write());

    /// <summary>The fields as the metadata of a sample.</summary>
    public JsonElement ToMetadata()
    {
        using JsonDocument document = JsonDocument.Parse(Write());
        return document.RootElement.Clone();
    }

    /// <summary>Reads a line.</summary>
    /// <param name="line">The line.</param>
    /// <param name="file">For errors.</param>
    /// <exception cref="ToolException">The line is damaged.</exception>
    public static CaptionDecision Parse(string line, string file)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(line, new JsonDocumentOptions { MaxDepth = 4 });
            JsonElement root = document.RootElement;
            CaptionSource source = root.GetProperty("source").GetString() switch
            {
                "web" => CaptionSource.Web,
                "synthetic" => CaptionSource.Synthetic,
                string other => throw new FormatException($"source '{other}'"),
                null => throw new FormatException("source null"),
            };
            bool? truth = root.TryGetProperty("truth", out JsonElement value) ? value.GetBoolean() : null;
            return new CaptionDecision(Text("key"), source, Text("text"), root.GetProperty("score").GetSingle(), Text("decision"), truth);

            string Text(string name) => root.GetProperty(name).GetString() ?? throw new FormatException($"{name} null");
        }
        catch (Exception exception) when (exception is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw new ToolException($"{file}: a damaged line: {exception.Message}");
        }
    }

    private byte[] Write()
    {
        using MemoryStream stream = new();
        using (Utf8JsonWriter writer = new(stream, Readable))
        {
            writer.WriteStartObject();
            writer.WriteString("key", Key);
            writer.WriteString("source", SourceName);
            writer.WriteString("text", Text);
            writer.WriteNumber("score", Score);
            writer.WriteString("decision", Decision);
            if (Truth is { } truth) writer.WriteBoolean("truth", truth);
            writer.WriteEndObject();
        }

        return stream.ToArray();
    }
}
