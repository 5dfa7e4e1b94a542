using System.Text.Json;
using System.Text.Json.Nodes;
using MiniVlp.Nn;
using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>A model folder or its <c>config.json</c> cannot be used; the message names the file, the field, what was expected and what is there.</summary>
/// <param name="message">What is wrong.</param>
public sealed class ModelFormatException(string message) : IOException(message);

/// <summary>
/// One JSON object of a <c>config.json</c>, read with checks: every error names the file, the field, the expected and the actual value.
/// </summary>
public sealed class ConfigJson
{
    private const int MaxBytes = 16 * 1024 * 1024;
    private const int MaxDepth = 32;
    private readonly JsonObject _object;
    private readonly string _path;

    private ConfigJson(JsonObject json, string file, string path)
    {
        _object = json;
        File = file;
        _path = path;
    }

    /// <summary>The file it came from.</summary>
    public string File { get; }

    /// <summary>Reads <c>config.json</c> of a model folder.</summary>
    /// <param name="folder">The folder.</param>
    /// <exception cref="ModelFormatException">There is no such file, it is too large, or it is not a JSON object.</exception>
    public static ConfigJson Read(string folder)
    {
        string file = Path.Combine(folder, "config.json");
        FileInfo info = new(file);
        if (!Directory.Exists(folder)) throw new ModelFormatException($"{folder}: there is no such folder.");
        if (!info.Exists) throw new ModelFormatException($"{file}: a model folder must hold a config.json; there is none.");
        if (info.Length > MaxBytes) throw new ModelFormatException($"{file}: a config has at most {MaxBytes} bytes, this one has {info.Length}.");
        try
        {
            return Parse(System.IO.File.ReadAllText(file), file);
        }
        catch (JsonException exception)
        {
            throw new ModelFormatException($"{file}: not valid JSON: {exception.Message}");
        }
    }

    /// <summary>Takes a config from a string; <paramref name="file"/> is the name that errors show.</summary>
    /// <exception cref="ModelFormatException">It is not a JSON object.</exception>
    /// <exception cref="JsonException">It is not JSON.</exception>
    public static ConfigJson Parse(string json, string file = "config.json")
    {
        JsonNode? node = JsonNode.Parse(json, null, new JsonDocumentOptions { MaxDepth = MaxDepth });
        return new ConfigJson(node as JsonObject ?? throw new ModelFormatException($"{file}: expected a JSON object, found {Describe(node)}."), file, string.Empty);
    }

    /// <summary>Whether a field is there and not null.</summary>
    public bool Has(string field) => _object.TryGetPropertyValue(field, out JsonNode? node) && node is not null;

    /// <summary>An integer between two bounds; the default when the field is absent, or an error when there is no default.</summary>
    public int Integer(string field, int? defaultValue = null, int minimum = 1, int maximum = 1 << 24)
    {
        JsonNode? node = Find(field, defaultValue is not null, "an integer");
        if (node is null) return defaultValue!.Value;
        if (node is not JsonValue value || !value.TryGetValue(out int number)) throw Wrong(field, "an integer", node);
        if (number < minimum || number > maximum) throw Wrong(field, $"an integer from {minimum} to {maximum}", node);
        return number;
    }

    /// <summary>A number between two bounds; the default when the field is absent, or an error when there is no default.</summary>
    public float Number(string field, float? defaultValue = null, double minimum = -1e30, double maximum = 1e30) => (float)Real(field, defaultValue, minimum, maximum);

    /// <summary>The same in double precision, for numbers that are computed with before they are rounded.</summary>
    public double Real(string field, double? defaultValue = null, double minimum = -1e30, double maximum = 1e30)
    {
        JsonNode? node = Find(field, defaultValue is not null, "a number");
        if (node is null) return defaultValue!.Value;
        if (node is not JsonValue value || !value.TryGetValue(out double number)) throw Wrong(field, "a number", node);
        if (!(number >= minimum && number <= maximum)) throw Wrong(field, $"a number from {minimum} to {maximum}", node);
        return number;
    }

    /// <summary>true or false; the default when the field is absent.</summary>
    public bool Flag(string field, bool defaultValue)
    {
        JsonNode? node = Find(field, true, "true or false");
        if (node is null) return defaultValue;
        return node is JsonValue value && value.TryGetValue(out bool flag) ? flag : throw Wrong(field, "true or false", node);
    }

    /// <summary>A text; the default when the field is absent, or an error when there is no default.</summary>
    public string Text(string field, string? defaultValue = null)
    {
        JsonNode? node = Find(field, defaultValue is not null, "a text");
        if (node is null) return defaultValue!;
        return node is JsonValue value && value.TryGetValue(out string? text) ? text : throw Wrong(field, "a text", node);
    }

    /// <summary>The activation a field names; the default when the field is absent.</summary>
    public Activation Activation(string field, Activation defaultValue)
    {
        string name = Text(field, defaultValue.Name);
        try
        {
            return Nn.Activation.FromName(name);
        }
        catch (ArgumentException exception)
        {
            throw new ModelFormatException($"{File}: field '{_path}{field}': {exception.Message}");
        }
    }

    /// <summary>The first element of a list of texts, or null when the field is absent or the list empty.</summary>
    public string? FirstText(string field)
        => _object[field] is JsonArray { Count: > 0 } list && list[0] is JsonValue value && value.TryGetValue(out string? text) ? text : null;

    /// <summary>Number of fields of an object, or null when the field is absent.</summary>
    public int? Count(string field) => (_object[field] as JsonObject)?.Count;

    /// <summary>An object in a field; an empty one when the field is absent.</summary>
    public ConfigJson Object(string field)
    {
        JsonNode? node = Find(field, true, "an object");
        if (node is null) return new ConfigJson([], File, $"{_path}{field}.");
        return new ConfigJson(node as JsonObject ?? throw Wrong(field, "an object", node), File, $"{_path}{field}.");
    }

    /// <summary>Throws the error for a field whose value contradicts another.</summary>
    public ModelFormatException Contradiction(string field, string rule) => new($"{File}: field '{_path}{field}': {rule}");

    /// <summary>Writes a config where <see cref="Read"/> finds it; the file appears whole or not at all.</summary>
    public static void Write(string folder, JsonObject config)
        => AtomicFile.WriteAllText(Path.Combine(folder, "config.json"), config.ToJsonString(new JsonSerializerOptions { WriteIndented = true }) + "\n");

    private JsonNode? Find(string field, bool hasDefault, string expected)
    {
        JsonNode? node = _object[field];
        if (node is null && !hasDefault) throw new ModelFormatException($"{File}: field '{_path}{field}' is missing; expected {expected}.");
        return node;
    }

    private ModelFormatException Wrong(string field, string expected, JsonNode node)
        => new($"{File}: field '{_path}{field}' must be {expected}, found {Describe(node)}.");

    private static string Describe(JsonNode? node)
    {
        string text = node?.ToJsonString() ?? "null";
        return text.Length > 60 ? text[..60] + "..." : text;
    }
}
