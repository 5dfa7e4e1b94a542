using System.Text;
using System.Text.Json;

namespace MiniVlp.Data.Datasets;

/// <summary>Reading files that nobody vouches for: sizes are checked before memory is taken, and every message names the file.</summary>
internal static class InputFile
{
    /// <summary>Deepest nesting of json that is read; the formats here need fewer than ten levels.</summary>
    public const int JsonDepth = 32;

    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    public static byte[] ReadAllBytes(string path, long limit)
    {
        using FileStream stream = OpenRead(path);
        if (stream.Length > limit)
        {
            throw new InvalidDataException($"{path}: the file has {stream.Length} bytes; at most {limit} are read.");
        }

        byte[] bytes = new byte[stream.Length];
        stream.ReadExactly(bytes);
        return bytes;
    }

    public static FileStream OpenRead(string path)
    {
        if (!File.Exists(path))
        {
            throw new FileNotFoundException($"{path}: there is no such file.", path);
        }

        return new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read);
    }

    public static string Utf8(ReadOnlySpan<byte> bytes, string where)
    {
        if (bytes.StartsWith("\uFEFF"u8))
        {
            bytes = bytes[3..];
        }

        try
        {
            return StrictUtf8.GetString(bytes);
        }
        catch (DecoderFallbackException error)
        {
            throw new InvalidDataException($"{where}: the text is not valid UTF-8 (byte {error.Index}).", error);
        }
    }

    public static JsonDocument ParseJson(ReadOnlyMemory<byte> json, string where)
    {
        if (json.Span.StartsWith("\uFEFF"u8))
        {
            json = json[3..];
        }

        try
        {
            CheckStrings(json.Span, where);
            return JsonDocument.Parse(json, new JsonDocumentOptions { MaxDepth = JsonDepth });
        }
        catch (JsonException error)
        {
            throw new InvalidDataException($"{where}: not valid json, or nested deeper than {JsonDepth} levels: {error.Message}", error);
        }
    }

    public static JsonElement Field(JsonElement parent, string name, JsonValueKind kind, string where)
    {
        if (parent.ValueKind != JsonValueKind.Object || !parent.TryGetProperty(name, out JsonElement value))
        {
            throw new InvalidDataException($"{where}: the field '{name}' is missing.");
        }

        return value.ValueKind == kind
            ? value
            : throw new InvalidDataException($"{where}: the field '{name}' should be a json {Name(kind)} and is {Name(value.ValueKind)}.");
    }

    public static long WholeNumber(JsonElement parent, string name, string where)
    {
        return Field(parent, name, JsonValueKind.Number, where).TryGetInt64(out long value)
            ? value
            : throw new InvalidDataException($"{where}: the field '{name}' is not a whole number.");
    }

    public static string Name(JsonValueKind kind)
    {
        return kind switch
        {
            JsonValueKind.Object => "object",
            JsonValueKind.Array => "array",
            JsonValueKind.String => "string",
            JsonValueKind.Number => "number",
            JsonValueKind.True or JsonValueKind.False => "boolean",
            _ => "null",
        };
    }

    /// <summary>
    /// A document may parse and still hold strings and names that are no text (broken UTF-8, half a surrogate pair as an escape), on which
    /// every later look at it would fail in some other way; they are refused here once.
    /// </summary>
    private static void CheckStrings(ReadOnlySpan<byte> json, string where)
    {
        if (!System.Text.Unicode.Utf8.IsValid(json))
        {
            throw new InvalidDataException($"{where}: the json is not valid UTF-8.");
        }

        if (json.IndexOf("\\ud"u8) < 0 && json.IndexOf("\\uD"u8) < 0)
        {
            return;
        }

        Utf8JsonReader reader = new(json, new JsonReaderOptions { MaxDepth = JsonDepth });
        while (reader.Read())
        {
            if (reader.TokenType is JsonTokenType.String or JsonTokenType.PropertyName && reader.ValueIsEscaped)
            {
                try
                {
                    reader.GetString();
                }
                catch (InvalidOperationException error)
                {
                    throw new InvalidDataException($"{where}: the string that ends at byte {reader.BytesConsumed} is half a surrogate pair, not text.", error);
                }
            }
        }
    }
}
