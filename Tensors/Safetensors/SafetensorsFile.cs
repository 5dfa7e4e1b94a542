using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace MiniVlp.Tensors.Safetensors;

/// <summary>
/// The tensors of a safetensors file, or of several behind a Hugging Face index, mapped into memory and readable by name from any thread
/// until disposed. Everything a header says is checked when the file is opened, before memory is taken for it.
/// Source: https://github.com/huggingface/safetensors.
/// </summary>
public sealed class SafetensorsFile : IDisposable
{
    private const int BlockBytes = 1 << 30;

    private readonly List<MappedFile> _shards = [];
    private readonly Dictionary<string, TensorEntry> _entries = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _metadata = new(StringComparer.Ordinal);

    private SafetensorsFile(string path) => Path = path;

    /// <summary>The file or index that was opened.</summary>
    public string Path { get; }

    /// <summary>What the header says about each tensor, by name.</summary>
    public IReadOnlyDictionary<string, TensorEntry> Entries => _entries;

    /// <summary>The header's <c>__metadata__</c>, for example <c>format: pt</c>; of several files the first that has a key gives its value.</summary>
    public IReadOnlyDictionary<string, string> Metadata => _metadata;

    /// <summary>Opens a file, an index, or a directory that holds one of the two.</summary>
    /// <param name="path">
    /// A <c>.safetensors</c> file, a <c>.safetensors.index.json</c> index, or a directory with <c>model.safetensors</c> or
    /// <c>model.safetensors.index.json</c>, looked for in this order.
    /// </param>
    /// <exception cref="SafetensorsException">The file or index is not what the format demands.</exception>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static SafetensorsFile Open(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        if (Directory.Exists(path))
        {
            path = InDirectory(path);
        }

        SafetensorsFile file = new(path);
        try
        {
            if (path.EndsWith(".json", StringComparison.OrdinalIgnoreCase))
            {
                file.AddIndex();
            }
            else
            {
                file.AddShard(path);
            }
        }
        catch
        {
            file.Dispose();
            throw;
        }

        return file;
    }

    private static string InDirectory(string directory)
    {
        string single = System.IO.Path.Combine(directory, "model.safetensors");
        string index = System.IO.Path.Combine(directory, $"model{SafetensorsIndex.Extension}");
        return File.Exists(single) ? single
            : File.Exists(index) ? index
            : throw new SafetensorsException(directory, null, "directory", $"model.safetensors or model{SafetensorsIndex.Extension}", "neither");
    }

    // The length is asked for before the file is opened, because opening a pipe would wait for its other end: it has length 0.
    private static FileStream OpenForReading(string path, long minLength, long maxLength)
    {
        long length = new FileInfo(path).Length;
        return length < minLength || length > maxLength
            ? throw new SafetensorsException(path, null, "file length", $"{minLength} to {maxLength} bytes", $"{length}")
            : new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
    }

    private SafetensorsHeader AddShard(string path)
    {
        using FileStream stream = OpenForReading(path, SafetensorsHeader.LengthFieldSize, long.MaxValue);
        MappedFile shard = new(stream);
        _shards.Add(shard);
        int headLength = (int)Math.Min(shard.Length, SafetensorsHeader.LengthFieldSize + SafetensorsHeader.MaxLength);
        SafetensorsHeader header = SafetensorsHeader.Parse(shard.Bytes(0, headLength), shard.Length, path);
        foreach (TensorEntry entry in header.Entries.Values)
        {
            entry.Shard = _shards.Count - 1;
            if (!_entries.TryAdd(entry.Name, entry))
            {
                throw new SafetensorsException(path, entry.Name, "name", "every name in one file", $"the name also in '{_entries[entry.Name].FilePath}'");
            }
        }

        foreach ((string key, string value) in header.Metadata)
        {
            _metadata.TryAdd(key, value);
        }

        return header;
    }

    private void AddIndex()
    {
        byte[] json;
        using (FileStream stream = OpenForReading(Path, 0, SafetensorsHeader.MaxLength))
        {
            json = new byte[stream.Length];
            stream.ReadExactly(json);
        }

        Dictionary<string, string> weightMap = SafetensorsIndex.Parse(json, Path);
        string directory = System.IO.Path.GetDirectoryName(Path) ?? "";
        foreach (string shard in weightMap.Values.Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal))
        {
            string shardPath = System.IO.Path.Combine(directory, shard);
            if (!File.Exists(shardPath))
            {
                throw new SafetensorsException(Path, null, "weight_map", $"the file '{shard}' beside the index", "no such file");
            }

            foreach (string name in AddShard(shardPath).Entries.Keys)
            {
                if (!weightMap.TryGetValue(name, out string? mapped) || !string.Equals(mapped, shard, StringComparison.Ordinal))
                {
                    throw new SafetensorsException(Path, name, "weight_map", $"'{shard}', which holds the tensor", mapped ?? "no entry");
                }
            }
        }

        foreach ((string name, string shard) in weightMap)
        {
            if (!_entries.ContainsKey(name))
            {
                throw new SafetensorsException(Path, name, "weight_map", "a tensor that is in its file", $"none in '{shard}'");
            }
        }
    }

    /// <summary>What the header says about one tensor.</summary>
    /// <exception cref="SafetensorsException">The file has no tensor of this name.</exception>
    public TensorEntry Entry(string name) => _entries.TryGetValue(name, out TensorEntry? entry)
        ? entry
        : throw new SafetensorsException(Path, name, "name", $"one of the {_entries.Count} tensors in the file", "a name that is not among them");

    /// <summary>The bytes of a tensor as they lie in the mapped file, little-endian and possibly unaligned; not to be used after <see cref="Dispose"/>.</summary>
    /// <exception cref="SafetensorsException">The file has no tensor of this name, or it is longer than a span can be (2^31 - 1 bytes).</exception>
    public ReadOnlySpan<byte> ReadBytes(string name)
    {
        TensorEntry entry = Entry(name);
        return entry.ByteLength <= int.MaxValue
            ? ReadBytes(name, 0, (int)entry.ByteLength)
            : throw new SafetensorsException(entry.FilePath, name, "byte length", $"at most {int.MaxValue} to be read at once", $"{entry.ByteLength}");
    }

    /// <summary>A part of the bytes of a tensor; see <see cref="ReadBytes(string)"/>.</summary>
    /// <param name="name">The tensor.</param>
    /// <param name="offset">Where the part starts, in bytes from the start of the tensor.</param>
    /// <param name="length">The length of the part in bytes.</param>
    /// <exception cref="SafetensorsException">The file has no tensor of this name.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The part is not inside the tensor.</exception>
    public ReadOnlySpan<byte> ReadBytes(string name, long offset, int length)
    {
        TensorEntry entry = Entry(name);
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset, entry.ByteLength - length);
        return _shards[entry.Shard].Bytes(entry.FileOffset + offset, length);
    }

    /// <summary>Reads an F32, F16, BF16 or F64 tensor as float32: exact, but F64 is rounded to nearest even.</summary>
    /// <param name="name">The tensor.</param>
    /// <param name="destination">Row-major values; as long as the tensor has elements.</param>
    /// <exception cref="SafetensorsException">The file has no tensor of this name, or it is not of a floating-point type.</exception>
    /// <exception cref="ArgumentException">The destination has another length.</exception>
    public void ReadFloat32(string name, Span<float> destination)
    {
        TensorEntry entry = EntryFor(name, destination.Length);
        int size = entry.Dtype.ElementSize();
        int block = BlockBytes / size;
        for (int start = 0; ; start += block)
        {
            Span<float> part = destination.Slice(start, Math.Min(block, destination.Length - start));
            if (!ElementConversion.TryToFloat32(entry.Dtype, ReadBytes(name, (long)start * size, part.Length * size), part))
            {
                ThrowForDtype(entry, "F32, F16, BF16 or F64 to be read as float32");
            }

            if (destination.Length - start <= block)
            {
                return;
            }
        }
    }

    /// <summary>
    /// The values of an F32 tensor as they lie in the mapped file, without a copy; not to be used after <see cref="Dispose"/>. False for another
    /// type, for a tensor longer than 2³¹ - 1 bytes, and on a big-endian machine: <see cref="ReadFloat32"/> reads those.
    /// </summary>
    /// <param name="name">The tensor.</param>
    /// <param name="values">Row-major values; they may be unaligned.</param>
    /// <exception cref="SafetensorsException">The file has no tensor of this name.</exception>
    public bool TryMapFloat32(string name, out ReadOnlySpan<float> values)
    {
        TensorEntry entry = Entry(name);
        bool isMapped = entry.Dtype == SafetensorsDtype.F32 && entry.ByteLength <= int.MaxValue && BitConverter.IsLittleEndian;
        values = isMapped ? MemoryMarshal.Cast<byte, float>(ReadBytes(name)) : default;
        return isMapped;
    }

    /// <summary>Reads an integer or BOOL tensor as int32; true is 1.</summary>
    /// <param name="name">The tensor.</param>
    /// <param name="destination">Row-major values; as long as the tensor has elements.</param>
    /// <exception cref="SafetensorsException">
    /// The file has no tensor of this name, it is of a floating-point type, or an element does not fit an int32 (for BOOL: is neither 0 nor 1).
    /// </exception>
    /// <exception cref="ArgumentException">The destination has another length.</exception>
    public void ReadInt32(string name, Span<int> destination)
    {
        TensorEntry entry = EntryFor(name, destination.Length);
        int size = entry.Dtype.ElementSize();
        int block = BlockBytes / size;
        for (int start = 0; ; start += block)
        {
            Span<int> part = destination.Slice(start, Math.Min(block, destination.Length - start));
            ReadOnlySpan<byte> bytes = ReadBytes(name, (long)start * size, part.Length * size);
            if (!ElementConversion.TryToInt32(entry.Dtype, bytes, part, out int outOfRange))
            {
                ThrowForDtype(entry, "an integer type or BOOL to be read as int32");
            }

            if (outOfRange >= 0)
            {
                string expected = entry.Dtype == SafetensorsDtype.Bool ? "0 or 1" : "a value from -2^31 to 2^31 - 1";
                string actual = $"0x{Convert.ToHexString([.. bytes.Slice(outOfRange * size, size).ToArray().Reverse()])} ({entry.Dtype.FormatName()})";
                throw new SafetensorsException(entry.FilePath, name, $"element {start + outOfRange}", expected, actual);
            }

            if (destination.Length - start <= block)
            {
                return;
            }
        }
    }

    private TensorEntry EntryFor(string name, int destinationLength)
    {
        TensorEntry entry = Entry(name);
        return entry.ElementCount == destinationLength
            ? entry
            : throw new ArgumentException($"The tensor {entry} has {entry.ElementCount} elements, the destination {destinationLength}.", "destination");
    }

    [DoesNotReturn]
    private static void ThrowForDtype(TensorEntry entry, string expected) =>
        throw new SafetensorsException(entry.FilePath, entry.Name, "dtype", expected, entry.Dtype.FormatName());

    /// <summary>Unmaps the file; spans from <see cref="ReadBytes(string)"/> must not be used any more.</summary>
    public void Dispose() => _shards.ForEach(shard => shard.Dispose());
}
