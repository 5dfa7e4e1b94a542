using System.Text.Encodings.Web;
using System.Text.Json;

namespace MiniVlp.Tensors.Safetensors;

/// <summary>
/// The index of a model in several files, as Hugging Face writes it:
/// <c>{"metadata": {"total_size": 123}, "weight_map": {tensor: "model-00001-of-00002.safetensors", ...}}</c>.
/// </summary>
internal static class SafetensorsIndex
{
    public const string Extension = ".safetensors.index.json";
    private const int MaxJsonDepth = 16;

    /// <summary>The file name of each tensor; a file name has no directory part.</summary>
    public static Dictionary<string, string> Parse(ReadOnlySpan<byte> json, string file)
    {
        Utf8JsonReader reader = new(json, new JsonReaderOptions { MaxDepth = MaxJsonDepth });
        try
        {
            return ReadObject(ref reader, file);
        }
        catch (JsonException e)
        {
            throw new SafetensorsException(file, null, "index", "valid JSON", e.Message, e);
        }
        catch (InvalidOperationException e)
        {
            // Bytes that are no UTF-8, or an escape that is half a character.
            throw new SafetensorsException(file, null, "index", "valid text", e.Message, e);
        }
    }

    private static Dictionary<string, string> ReadObject(ref Utf8JsonReader reader, string file)
    {
        Dictionary<string, string>? weightMap = null;
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartObject)
        {
            throw new SafetensorsException(file, null, "index", "an object with weight_map", $"{reader.TokenType}");
        }

        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            bool isWeightMap = reader.ValueTextEquals("weight_map"u8);
            reader.Read();
            if (!isWeightMap)
            {
                reader.Skip();
                continue;
            }

            if (reader.TokenType != JsonTokenType.StartObject || weightMap is not null)
            {
                string actual = weightMap is null ? $"{reader.TokenType}" : "a second one";
                throw new SafetensorsException(file, null, "weight_map", "one object of file names", actual);
            }

            weightMap = new Dictionary<string, string>(StringComparer.Ordinal);
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                ReadWeight(ref reader, weightMap, file);
            }
        }

        reader.Read();
        return weightMap ?? throw new SafetensorsException(file, null, "weight_map", "an object of file names", "none");
    }

    private static void ReadWeight(ref Utf8JsonReader reader, Dictionary<string, string> weightMap, string file)
    {
        string name = reader.GetString()!;
        reader.Read();
        string? shard = reader.TokenType == JsonTokenType.String ? reader.GetString() : null;
        if (string.IsNullOrEmpty(shard) || shard is "." or ".." || shard.AsSpan().ContainsAny("/\\:\0"))
        {
            throw new SafetensorsException(file, name, "weight_map", "a file name without a directory", shard ?? $"{reader.TokenType}");
        }

        if (!weightMap.TryAdd(name, shard))
        {
            throw new SafetensorsException(file, name, "weight_map", "every name once", "the name twice");
        }
    }

    /// <summary>The index in UTF-8, indented, tensors by name.</summary>
    public static void Write(Stream stream, IEnumerable<(string Tensor, string File)> weights, long totalSize)
    {
        JsonWriterOptions options = new() { Indented = true, NewLine = "\n", Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
        using (Utf8JsonWriter writer = new(stream, options))
        {
            writer.WriteStartObject();
            writer.WriteStartObject("metadata");
            writer.WriteNumber("total_size", totalSize);
            writer.WriteEndObject();
            writer.WriteStartObject("weight_map");
            foreach ((string tensor, string file) in weights.OrderBy(weight => weight.Tensor, StringComparer.Ordinal))
            {
                writer.WriteString(tensor, file);
            }

            writer.WriteEndObject();
            writer.WriteEndObject();
        }

        stream.WriteByte((byte)'\n');
    }
}
