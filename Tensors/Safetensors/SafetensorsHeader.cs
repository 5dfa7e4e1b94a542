using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Unicode;

namespace MiniVlp.Tensors.Safetensors;

/// <summary>
/// The head of a safetensors file: 8 bytes little-endian length, then that many bytes of JSON
/// <c>{"__metadata__": {text: text}, name: {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...}</c>, then the data.
/// Source: https://github.com/huggingface/safetensors.
/// </summary>
internal sealed class SafetensorsHeader
{
    public const int LengthFieldSize = 8;
    public const int MaxLength = 100_000_000;
    public const string MetadataKey = "__metadata__";
    private const int MaxRank = 64;
    private const int MaxJsonDepth = 4;

    private readonly string _file;
    private readonly long _dataStart;
    private readonly long _dataLength;
    private readonly Dictionary<string, string> _metadata = new(StringComparer.Ordinal);
    private readonly Dictionary<string, TensorEntry> _entries = new(StringComparer.Ordinal);

    private SafetensorsHeader(string file, long dataStart, long dataLength)
    {
        _file = file;
        _dataStart = dataStart;
        _dataLength = dataLength;
    }

    public IReadOnlyDictionary<string, string> Metadata => _metadata;

    public IReadOnlyDictionary<string, TensorEntry> Entries => _entries;

    /// <summary>Parses and checks a header.</summary>
    /// <param name="start">The beginning of the file, at least as far as the header reaches.</param>
    /// <param name="fileLength">The length of the whole file in bytes.</param>
    /// <param name="file">The name for messages.</param>
    public static SafetensorsHeader Parse(ReadOnlySpan<byte> start, long fileLength, string file)
    {
        if (fileLength < LengthFieldSize)
        {
            throw new SafetensorsException(file, null, "file length", $"at least {LengthFieldSize} bytes", $"{fileLength}");
        }

        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(start);
        if (length > MaxLength)
        {
            throw new SafetensorsException(file, null, "header length", $"at most {MaxLength} bytes", $"{length}");
        }

        long dataStart = LengthFieldSize + (long)length;
        if (dataStart > fileLength)
        {
            throw new SafetensorsException(file, null, "header length", $"at most the {fileLength - LengthFieldSize} bytes that follow it", $"{length}");
        }

        ReadOnlySpan<byte> json = start[LengthFieldSize..(int)dataStart];
        if (json.IsEmpty || json[0] != '{')
        {
            throw new SafetensorsException(file, null, "header", "a JSON object that starts with '{'", json.IsEmpty ? "no bytes" : $"byte 0x{json[0]:X2}");
        }

        if (!Utf8.IsValid(json))
        {
            throw new SafetensorsException(file, null, "header", "UTF-8", "an invalid byte sequence");
        }

        SafetensorsHeader header = new(file, dataStart, fileLength - dataStart);
        try
        {
            header.ReadObject(json);
        }
        catch (JsonException e)
        {
            throw new SafetensorsException(file, null, "header", "valid JSON", e.Message, e);
        }
        catch (InvalidOperationException e)
        {
            // An escape such as \ud800 that is half a character.
            throw new SafetensorsException(file, null, "header", "valid text", e.Message, e);
        }

        header.CheckLayout();
        return header;
    }

    private void ReadObject(ReadOnlySpan<byte> json)
    {
        Utf8JsonReader reader = new(json, new JsonReaderOptions { MaxDepth = MaxJsonDepth });
        bool hasMetadata = false;
        reader.Read();
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string name = reader.GetString()!;
            reader.Read();
            if (string.Equals(name, MetadataKey, StringComparison.Ordinal))
            {
                Expect(ref reader, JsonTokenType.StartObject, null, MetadataKey, "an object of texts");
                if (hasMetadata)
                {
                    throw new SafetensorsException(_file, null, MetadataKey, "one", "two");
                }

                hasMetadata = true;
                ReadMetadata(ref reader);
            }
            else
            {
                Expect(ref reader, JsonTokenType.StartObject, name, "value", "an object with dtype, shape and data_offsets");
                if (!_entries.TryAdd(name, ReadEntry(ref reader, name)))
                {
                    throw new SafetensorsException(_file, name, "name", "every name once", "the name twice");
                }
            }
        }

        // Only white space may follow; the reader throws on anything else.
        reader.Read();
    }

    private void ReadMetadata(ref Utf8JsonReader reader)
    {
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string key = reader.GetString()!;
            reader.Read();
            Expect(ref reader, JsonTokenType.String, null, $"{MetadataKey}.{key}", "a text");
            if (!_metadata.TryAdd(key, reader.GetString()!))
            {
                throw new SafetensorsException(_file, null, $"{MetadataKey}.{key}", "every key once", "the key twice");
            }
        }
    }

    private TensorEntry ReadEntry(ref Utf8JsonReader reader, string name)
    {
        SafetensorsDtype? dtype = null;
        ImmutableArray<long> shape = default;
        ImmutableArray<long> offsets = default;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string field = reader.GetString()!;
            reader.Read();
            bool seen;
            switch (field)
            {
                case "dtype":
                    seen = dtype.HasValue;
                    dtype = ReadDtype(ref reader, name);
                    break;
                case "shape":
                    seen = !shape.IsDefault;
                    shape = ReadIntegers(ref reader, name, field, MaxRank);
                    break;
                case "data_offsets":
                    seen = !offsets.IsDefault;
                    offsets = ReadIntegers(ref reader, name, field, 2);
                    break;
                default:
                    throw new SafetensorsException(_file, name, "fields", "dtype, shape, data_offsets", field);
            }

            if (seen)
            {
                throw new SafetensorsException(_file, name, field, "the field once", "the field twice");
            }
        }

        if (dtype is null || shape.IsDefault || offsets.IsDefault)
        {
            string missing = dtype is null ? "dtype" : shape.IsDefault ? "shape" : "data_offsets";
            throw new SafetensorsException(_file, name, missing, "a value", "none");
        }

        return CheckEntry(name, dtype.Value, shape, offsets);
    }

    private TensorEntry CheckEntry(string name, SafetensorsDtype dtype, ImmutableArray<long> shape, ImmutableArray<long> offsets)
    {
        if (!TryCountElements(shape.AsSpan(), dtype, out long elements))
        {
            throw new SafetensorsException(_file, name, "shape", $"less than 2^63 bytes of {dtype.FormatName()}", TensorEntry.ShapeText(shape));
        }

        if (offsets.Length != 2)
        {
            throw new SafetensorsException(_file, name, "data_offsets", "[begin, end]", $"{offsets.Length} numbers");
        }

        (long begin, long end) = (offsets[0], offsets[1]);
        if (begin > end || end > _dataLength)
        {
            throw new SafetensorsException(_file, name, "data_offsets", $"begin <= end <= {_dataLength} (bytes of data in the file)", $"[{begin}, {end}]");
        }

        long bytes = elements * dtype.ElementSize();
        if (end - begin != bytes)
        {
            string expected = $"{bytes} bytes for {dtype.FormatName()}{TensorEntry.ShapeText(shape)}";
            throw new SafetensorsException(_file, name, "data_offsets", expected, $"{end - begin} bytes [{begin}, {end}]");
        }

        return new TensorEntry(name, dtype, shape, elements, _file, _dataStart + begin);
    }

    /// <summary>The product of the axes, or false where it or its size in bytes passes 2^63.</summary>
    public static bool TryCountElements(ReadOnlySpan<long> shape, SafetensorsDtype dtype, out long elements)
    {
        elements = 1;
        foreach (long length in shape)
        {
            Int128 product = (Int128)elements * length;
            if (product > long.MaxValue / dtype.ElementSize())
            {
                return false;
            }

            elements = (long)product;
        }

        return true;
    }

    private SafetensorsDtype ReadDtype(ref Utf8JsonReader reader, string name)
    {
        Expect(ref reader, JsonTokenType.String, name, "dtype", "a text");
        string text = reader.GetString()!;
        return SafetensorsDtypes.TryParse(text, out SafetensorsDtype dtype)
            ? dtype
            : throw new SafetensorsException(_file, name, "dtype", $"one of {SafetensorsDtypes.KnownNames}", text);
    }

    private ImmutableArray<long> ReadIntegers(ref Utf8JsonReader reader, string name, string field, int maxCount)
    {
        Expect(ref reader, JsonTokenType.StartArray, name, field, "an array of integers");
        ImmutableArray<long>.Builder values = ImmutableArray.CreateBuilder<long>();
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt64(out long value) || value < 0)
            {
                throw new SafetensorsException(_file, name, field, "integers from 0 to 2^63 - 1", Token(ref reader));
            }

            if (values.Count == maxCount)
            {
                throw new SafetensorsException(_file, name, field, $"at most {maxCount} integers", "more");
            }

            values.Add(value);
        }

        return values.DrainToImmutable();
    }

    private void Expect(ref Utf8JsonReader reader, JsonTokenType type, string? tensor, string field, string expected)
    {
        if (reader.TokenType != type)
        {
            throw new SafetensorsException(_file, tensor, field, expected, Token(ref reader));
        }
    }

    private static string Token(ref Utf8JsonReader reader) => reader.TokenType switch
    {
        JsonTokenType.StartObject => "an object",
        JsonTokenType.StartArray => "an array",
        JsonTokenType.String => "a text",
        JsonTokenType.Number => System.Text.Encoding.UTF8.GetString(reader.ValueSpan),
        _ => reader.TokenType.ToString(),
    };

    // The tensors must cover the data without a hole, an overlap or a rest, as the reference implementation demands.
    private void CheckLayout()
    {
        TensorEntry[] inOrder = [.. _entries.Values];
        Array.Sort(inOrder, (a, b) => (a.FileOffset, a.ByteLength).CompareTo((b.FileOffset, b.ByteLength)));
        long position = 0;
        foreach (TensorEntry entry in inOrder)
        {
            long begin = entry.FileOffset - _dataStart;
            if (begin != position)
            {
                string fault = begin < position ? "overlaps the tensor before it" : "leaves a hole before it";
                throw new SafetensorsException(_file, entry.Name, "data_offsets", $"begin {position}, where the tensor before it ends", $"{begin}, which {fault}");
            }

            position += entry.ByteLength;
        }

        if (position != _dataLength)
        {
            throw new SafetensorsException(_file, null, "file length", $"{_dataStart + position} bytes, where the last tensor ends", $"{_dataStart + _dataLength}");
        }
    }

    /// <summary>Length field and JSON of a header, padded with spaces to a multiple of 8 bytes; offsets follow the order of the tensors.</summary>
    public static byte[] Serialize(
        IEnumerable<(string Name, SafetensorsDtype Dtype, ImmutableArray<long> Shape, long ByteLength)> tensors,
        IReadOnlyDictionary<string, string> metadata)
    {
        using MemoryStream buffer = new();
        buffer.Write(stackalloc byte[LengthFieldSize]);
        using (Utf8JsonWriter writer = new(buffer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            writer.WriteStartObject();
            if (metadata.Count > 0)
            {
                writer.WriteStartObject(MetadataKey);
                foreach ((string key, string value) in metadata.OrderBy(pair => pair.Key, StringComparer.Ordinal))
                {
                    writer.WriteString(key, value);
                }

                writer.WriteEndObject();
            }

            long position = 0;
            foreach ((string name, SafetensorsDtype dtype, ImmutableArray<long> shape, long byteLength) in tensors)
            {
                writer.WriteStartObject(name);
                writer.WriteString("dtype", dtype.FormatName());
                writer.WriteStartArray("shape");
                foreach (long length in shape)
                {
                    writer.WriteNumberValue(length);
                }

                writer.WriteEndArray();
                writer.WriteStartArray("data_offsets");
                writer.WriteNumberValue(position);
                writer.WriteNumberValue(position += byteLength);
                writer.WriteEndArray();
                writer.WriteEndObject();
            }

            writer.WriteEndObject();
        }

        while (buffer.Length % LengthFieldSize != 0)
        {
            buffer.WriteByte((byte)' ');
        }

        byte[] bytes = buffer.ToArray();
        int length64 = bytes.Length - LengthFieldSize;
        if (length64 > MaxLength)
        {
            throw new InvalidOperationException($"The safetensors header would take {length64} bytes; readers accept at most {MaxLength}.");
        }

        BinaryPrimitives.WriteUInt64LittleEndian(bytes, (ulong)length64);
        return bytes;
    }
}
