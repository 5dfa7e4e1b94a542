using System.Buffers;
using System.Collections.Immutable;
using System.Text;

namespace MiniVlp.Tensors.Safetensors;

/// <summary>
/// Writes a safetensors file, or several with a Hugging Face index, in two phases: first <see cref="Declare(string, SafetensorsDtype, ReadOnlySpan{long})"/>
/// every tensor, then write each one's data, in any order and without keeping it. Bytes are laid out as the reference implementation does
/// (by element type, then by name, header padded to 8 bytes). Files get their names only in <see cref="Complete"/>; a writer disposed before
/// leaves old files untouched.
/// </summary>
public sealed class SafetensorsWriter : IDisposable
{
    private const int BlockElements = 1 << 16;
    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    private readonly string _directory;
    private readonly string _baseName;
    private readonly long? _maxShardBytes;
    private readonly IReadOnlyDictionary<string, string> _metadata;
    private readonly Dictionary<string, PendingTensor> _tensors = new(StringComparer.Ordinal);
    private readonly List<PendingTensor> _declared = [];
    private readonly List<AtomicFile> _files = [];
    private bool _started;
    private bool _closed;

    private SafetensorsWriter(string directory, string baseName, long? maxShardBytes, IReadOnlyDictionary<string, string>? metadata)
    {
        _directory = directory;
        _baseName = baseName;
        _maxShardBytes = maxShardBytes;
        _metadata = metadata ?? new Dictionary<string, string>(StringComparer.Ordinal) { ["format"] = "pt" };
        foreach ((string key, string value) in _metadata)
        {
            CheckText(key, nameof(metadata));
            CheckText(value, nameof(metadata));
        }
    }

    /// <summary>Starts one file.</summary>
    /// <param name="path">The file to create or replace; its directory must exist.</param>
    /// <param name="metadata">The header's <c>__metadata__</c>; null for <c>format: pt</c>, which transformers asks for; empty for none.</param>
    /// <exception cref="ArgumentException">A metadata text is not valid UTF-16.</exception>
    public static SafetensorsWriter Create(string path, IReadOnlyDictionary<string, string>? metadata = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        string fullPath = Path.GetFullPath(path);
        return new SafetensorsWriter(Path.GetDirectoryName(fullPath) ?? fullPath, Path.GetFileName(fullPath), null, metadata);
    }

    /// <summary>
    /// Starts <c>model.safetensors</c> in a directory or, where that would be too large, <c>model-00001-of-0000N.safetensors</c> and so on with
    /// <c>model.safetensors.index.json</c>. What an earlier save left there under the names of the other form is removed at the end.
    /// </summary>
    /// <param name="directory">An existing directory.</param>
    /// <param name="maxShardBytes">The most bytes of data in one file; a tensor that is larger gets a file of its own.</param>
    /// <param name="baseName">The start of the file names.</param>
    /// <param name="metadata">As for <see cref="Create"/>.</param>
    /// <exception cref="ArgumentException">A limit is not positive, or a metadata text is not valid UTF-16.</exception>
    public static SafetensorsWriter CreateSharded(
        string directory,
        long maxShardBytes = 5_000_000_000,
        string baseName = "model",
        IReadOnlyDictionary<string, string>? metadata = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(directory);
        ArgumentException.ThrowIfNullOrEmpty(baseName);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(maxShardBytes);
        return new SafetensorsWriter(Path.GetFullPath(directory), baseName, maxShardBytes, metadata);
    }

    /// <summary>Announces a tensor; all are announced before the first is written.</summary>
    /// <param name="name">A name not announced before; not <c>__metadata__</c>.</param>
    /// <param name="dtype">The element type in the file.</param>
    /// <param name="shape">The lengths of the axes, outermost first; empty for a scalar.</param>
    /// <exception cref="ArgumentException">The name, the element type or the shape cannot be written.</exception>
    /// <exception cref="InvalidOperationException">Data was written already.</exception>
    public void Declare(string name, SafetensorsDtype dtype, ReadOnlySpan<long> shape)
    {
        ObjectDisposedException.ThrowIf(_closed, this);
        CheckText(name, nameof(name));
        if (_started)
        {
            throw new InvalidOperationException($"The tensor '{name}' is declared after data was written; the header is fixed by then.");
        }

        if (string.Equals(name, SafetensorsHeader.MetadataKey, StringComparison.Ordinal) || _tensors.ContainsKey(name))
        {
            throw new ArgumentException($"The tensor name '{name}' is reserved or declared already.", nameof(name));
        }

        if (shape.ContainsAnyInRange(long.MinValue, -1) || !SafetensorsHeader.TryCountElements(shape, dtype, out long elements))
        {
            throw new ArgumentException(
                $"The tensor '{name}' has the shape [{string.Join(", ", shape.ToArray())}]; expected lengths from 0 and less than 2^63 bytes.", nameof(shape));
        }

        PendingTensor tensor = new(name, dtype, [.. shape], elements);
        _tensors.Add(name, tensor);
        _declared.Add(tensor);
    }

    /// <summary>Announces a tensor with a shape of int32 lengths.</summary>
    /// <inheritdoc cref="Declare(string, SafetensorsDtype, ReadOnlySpan{long})"/>
    public void Declare(string name, SafetensorsDtype dtype, ReadOnlySpan<int> shape)
    {
        long[] wide = new long[shape.Length];
        for (int i = 0; i < shape.Length; i++)
        {
            wide[i] = shape[i];
        }

        Declare(name, dtype, wide);
    }

    /// <summary>Writes the data of an F32, F16 or BF16 tensor, rounded to nearest even.</summary>
    /// <param name="name">A declared tensor.</param>
    /// <param name="values">Row-major values; as many as the tensor has elements.</param>
    /// <exception cref="ArgumentException">The tensor was not declared, is of another type, or has another number of elements.</exception>
    /// <exception cref="InvalidOperationException">The data was written already.</exception>
    public void Write(string name, ReadOnlySpan<float> values)
    {
        PendingTensor tensor = Begin(name, values.Length);
        WriteBlocks(tensor, values, static (PendingTensor tensor, ReadOnlySpan<float> block, int start, Span<byte> bytes) =>
        {
            if (!ElementConversion.TryFromFloat32(tensor.Dtype, block, bytes))
            {
                throw new ArgumentException($"The tensor '{tensor.Name}' is declared {tensor.Dtype.FormatName()}; float32 can become F32, F16 or BF16.");
            }
        });
    }

    /// <summary>Writes the data of an I32, I64, U8 or BOOL tensor.</summary>
    /// <param name="name">A declared tensor.</param>
    /// <param name="values">Row-major values, each in the range of the element type; as many as the tensor has elements.</param>
    /// <exception cref="ArgumentException">
    /// The tensor was not declared, is of another type, or has another number of elements, or a value is out of range.
    /// </exception>
    /// <exception cref="InvalidOperationException">The data was written already.</exception>
    public void Write(string name, ReadOnlySpan<int> values)
    {
        PendingTensor tensor = Begin(name, values.Length);
        WriteBlocks(tensor, values, static (PendingTensor tensor, ReadOnlySpan<int> block, int start, Span<byte> bytes) =>
        {
            if (!ElementConversion.TryFromInt32(tensor.Dtype, block, bytes, out int outOfRange))
            {
                throw new ArgumentException($"The tensor '{tensor.Name}' is declared {tensor.Dtype.FormatName()}; int32 can become I32, I64, U8 or BOOL.");
            }

            if (outOfRange >= 0)
            {
                throw new ArgumentException(
                    $"Element {start + outOfRange} of the tensor '{tensor.Name}' is {block[outOfRange]}, which is no {tensor.Dtype.FormatName()}.");
            }
        });
    }

    /// <summary>Writes the data of a tensor of any type as it is.</summary>
    /// <param name="name">A declared tensor.</param>
    /// <param name="bytes">Row-major little-endian elements; as many bytes as the tensor takes.</param>
    /// <exception cref="ArgumentException">The tensor was not declared or takes another number of bytes.</exception>
    /// <exception cref="InvalidOperationException">The data was written already.</exception>
    public void WriteBytes(string name, ReadOnlySpan<byte> bytes)
    {
        PendingTensor tensor = Begin(name, null);
        if (bytes.Length != tensor.ByteLength)
        {
            throw new ArgumentException($"The tensor '{name}' takes {tensor.ByteLength} bytes, not {bytes.Length}.", nameof(bytes));
        }

        RandomAccess.Write(_files[tensor.File].Stream.SafeFileHandle, bytes, tensor.Offset);
        tensor.IsWritten = true;
    }

    /// <summary>Flushes the files to disk and gives them their names; an index comes last.</summary>
    /// <exception cref="InvalidOperationException">A declared tensor was not written.</exception>
    /// <exception cref="IOException">A file cannot be written.</exception>
    public void Complete()
    {
        ObjectDisposedException.ThrowIf(_closed, this);
        string[] missing = [.. _declared.Where(tensor => !tensor.IsWritten && tensor.ElementCount > 0).Select(tensor => tensor.Name)];
        if (missing.Length > 0)
        {
            throw new InvalidOperationException($"{missing.Length} declared tensors were not written: {string.Join(", ", missing.Take(10))}.");
        }

        Start();
        string indexPath = Path.Combine(_directory, _baseName + SafetensorsIndex.Extension);
        if (_files.Count > 1)
        {
            // From here to the new index there is none: a crash in between shows as a missing index, never as a mixture of two models.
            File.Delete(indexPath);
        }

        foreach (AtomicFile file in _files)
        {
            file.Commit();
        }

        if (_maxShardBytes is not null)
        {
            FinishShards(indexPath);
        }

        _closed = true;
    }

    private void FinishShards(string indexPath)
    {
        if (_files.Count > 1)
        {
            IEnumerable<(string, string)> weights = _declared.Select(tensor => (tensor.Name, Path.GetFileName(_files[tensor.File].Path)));
            AtomicFile.Write(indexPath, stream => SafetensorsIndex.Write(stream, weights, _declared.Sum(tensor => tensor.ByteLength)));
            File.Delete(Path.Combine(_directory, $"{_baseName}.safetensors"));
        }
        else
        {
            File.Delete(indexPath);
        }

        foreach (string shard in Directory.EnumerateFiles(_directory, $"{_baseName}-?????-of-?????.safetensors"))
        {
            string numbers = Path.GetFileName(shard)[(_baseName.Length + 1)..];
            if (numbers[..5].All(char.IsAsciiDigit) && numbers[9..14].All(char.IsAsciiDigit)
                && !_files.Exists(file => string.Equals(file.Path, shard, StringComparison.Ordinal)))
            {
                File.Delete(shard);
            }
        }
    }

    /// <summary>Removes the temporary files unless <see cref="Complete"/> was reached.</summary>
    public void Dispose()
    {
        _closed = true;
        _files.ForEach(file => file.Dispose());
    }

    private PendingTensor Begin(string name, long? elements)
    {
        ObjectDisposedException.ThrowIf(_closed, this);
        if (!_tensors.TryGetValue(name, out PendingTensor? tensor))
        {
            throw new ArgumentException($"The tensor '{name}' was not declared.", nameof(name));
        }

        if (tensor.IsWritten)
        {
            throw new InvalidOperationException($"The tensor '{name}' was written already.");
        }

        if (elements is not null && elements != tensor.ElementCount)
        {
            string shape = TensorEntry.ShapeText(tensor.Shape);
            throw new ArgumentException($"The tensor '{name}' of shape {shape} has {tensor.ElementCount} elements, the data {elements}.", "values");
        }

        Start();
        return tensor;
    }

    private void Start()
    {
        if (_started)
        {
            return;
        }

        _started = true;
        List<List<PendingTensor>> shards = Split();
        for (int i = 0; i < shards.Count; i++)
        {
            string name = _maxShardBytes is null ? _baseName
                : shards.Count == 1 ? $"{_baseName}.safetensors"
                : $"{_baseName}-{i + 1:D5}-of-{shards.Count:D5}.safetensors";
            StartFile(Path.Combine(_directory, name), shards[i]);
        }
    }

    // In the order of declaration, as Hugging Face splits a state dictionary.
    private List<List<PendingTensor>> Split()
    {
        List<List<PendingTensor>> shards = [[]];
        long size = 0;
        foreach (PendingTensor tensor in _declared)
        {
            if (_maxShardBytes is not null && shards[^1].Count > 0 && tensor.ByteLength > _maxShardBytes - size)
            {
                shards.Add([]);
                size = 0;
            }

            shards[^1].Add(tensor);
            size = checked(size + tensor.ByteLength);
        }

        return shards;
    }

    private void StartFile(string path, List<PendingTensor> tensors)
    {
        tensors.Sort((a, b) => a.Dtype != b.Dtype ? b.Dtype.CompareTo(a.Dtype) : string.CompareOrdinal(a.Name, b.Name));
        byte[] header = SafetensorsHeader.Serialize(tensors.Select(tensor => (tensor.Name, tensor.Dtype, tensor.Shape, tensor.ByteLength)), _metadata);
        AtomicFile file = new(path);
        _files.Add(file);
        long position = header.Length;
        foreach (PendingTensor tensor in tensors)
        {
            tensor.File = _files.Count - 1;
            tensor.Offset = position;
            position += tensor.ByteLength;
        }

        file.Stream.SetLength(position);
        RandomAccess.Write(file.Stream.SafeFileHandle, header, 0);
    }

    private delegate void Conversion<T>(PendingTensor tensor, ReadOnlySpan<T> block, int start, Span<byte> bytes);

    private void WriteBlocks<T>(PendingTensor tensor, ReadOnlySpan<T> values, Conversion<T> convert)
    {
        int size = tensor.Dtype.ElementSize();
        byte[] buffer = ArrayPool<byte>.Shared.Rent(BlockElements * size);
        try
        {
            int start = 0;
            while (start < values.Length)
            {
                ReadOnlySpan<T> block = values.Slice(start, Math.Min(BlockElements, values.Length - start));
                Span<byte> bytes = buffer.AsSpan(0, block.Length * size);
                convert(tensor, block, start, bytes);
                RandomAccess.Write(_files[tensor.File].Stream.SafeFileHandle, bytes, tensor.Offset + ((long)start * size));
                start += block.Length;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }

        tensor.IsWritten = true;
    }

    private static void CheckText(string text, string parameter)
    {
        ArgumentNullException.ThrowIfNull(text, parameter);
        try
        {
            StrictUtf8.GetByteCount(text);
        }
        catch (EncoderFallbackException e)
        {
            throw new ArgumentException($"The text '{text}' holds half a surrogate pair and has no UTF-8 form.", parameter, e);
        }
    }

    private sealed class PendingTensor(string name, SafetensorsDtype dtype, ImmutableArray<long> shape, long elementCount)
    {
        public string Name { get; } = name;

        public SafetensorsDtype Dtype { get; } = dtype;

        public ImmutableArray<long> Shape { get; } = shape;

        public long ElementCount { get; } = elementCount;

        public long ByteLength => ElementCount * Dtype.ElementSize();

        public int File { get; set; }

        public long Offset { get; set; }

        public bool IsWritten { get; set; }
    }
}
