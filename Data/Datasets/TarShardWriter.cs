using System.Formats.Tar;
using System.Globalization;
using System.Text;
using System.Text.Json;
using MiniVlp.Tensors;

namespace MiniVlp.Data.Datasets;

/// <summary>
/// Writes WebDataset shards <c>PREFIX-000000.tar</c>, <c>PREFIX-000001.tar</c>, ... The same samples give the same bytes on every machine
/// (no times, owners or names of users); a shard appears under its name only when it is complete.
/// </summary>
public sealed class TarShardWriter : IDisposable
{
    private readonly string _prefix;
    private readonly int _samplesPerShard;
    private readonly int _firstShard;
    private readonly HashSet<string> _keys = new(StringComparer.Ordinal);
    private readonly List<string> _paths = [];
    private AtomicFile? _file;
    private TarWriter? _tar;
    private int _inShard;

    /// <summary>Starts a series of shards; the first file is made with the first sample.</summary>
    /// <param name="prefix">Path of the shards without <c>-000000.tar</c>; its folder must exist.</param>
    /// <param name="samplesPerShard">Most samples in one shard, at least 1.</param>
    /// <param name="firstShard">Number of the first shard, for a series that was begun before.</param>
    public TarShardWriter(string prefix, int samplesPerShard = 500, int firstShard = 0)
    {
        ArgumentException.ThrowIfNullOrEmpty(prefix);
        ArgumentOutOfRangeException.ThrowIfLessThan(samplesPerShard, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(firstShard);
        _firstShard = firstShard;
        _prefix = prefix;
        _samplesPerShard = samplesPerShard;
    }

    /// <summary>The shards written so far.</summary>
    public IReadOnlyList<string> Paths => _paths;

    /// <summary>Number of samples written so far.</summary>
    public int Count => _keys.Count;

    /// <summary>Appends one sample: <c>KEY.png</c> (or another extension), <c>KEY.txt</c> and, when there is metadata, <c>KEY.json</c>.</summary>
    /// <param name="key">Name without extension: letters, digits, <c>-</c> and <c>_</c>, at most 80, not used before.</param>
    /// <param name="image">The encoded picture.</param>
    /// <param name="caption">The caption.</param>
    /// <param name="metadata">A json object, or null.</param>
    /// <param name="imageExtension">Extension of the picture with its dot.</param>
    /// <exception cref="ArgumentException">The key has other characters or was used before.</exception>
    /// <exception cref="IOException">The shard cannot be written.</exception>
    public void Write(string key, byte[] image, string caption, JsonElement? metadata = null, string imageExtension = ".png")
    {
        ArgumentNullException.ThrowIfNull(key);
        ArgumentNullException.ThrowIfNull(image);
        ArgumentNullException.ThrowIfNull(caption);
        if (key.Length is 0 or > 80 || !key.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_'))
        {
            throw new ArgumentException($"'{key}' cannot be a key: 1 to 80 letters, digits, '-' and '_'.", nameof(key));
        }

        if (!ImageFiles.IsImage(imageExtension))
        {
            throw new ArgumentException($"'{imageExtension}' is not the extension of a picture.", nameof(imageExtension));
        }

        if (!_keys.Add(key))
        {
            throw new ArgumentException($"The key '{key}' was used before.", nameof(key));
        }

        if (_tar is null)
        {
            Begin();
        }

        Append(key + imageExtension, image);
        Append(key + ".txt", Encoding.UTF8.GetBytes(caption));
        if (metadata is { } json)
        {
            Append(key + ".json", Encoding.UTF8.GetBytes(json.GetRawText()));
        }

        _inShard++;
        if (_inShard == _samplesPerShard)
        {
            End();
        }
    }

    /// <summary>Completes the last shard. Without this call, disposing drops the shard being written.</summary>
    /// <exception cref="IOException">The shard cannot be written.</exception>
    public void Complete()
    {
        if (_tar is not null)
        {
            End();
        }
    }

    /// <summary>Removes a shard that was begun and not completed.</summary>
    public void Dispose()
    {
        _tar?.Dispose();
        _tar = null;
        _file?.Dispose();
        _file = null;
    }

    private void Begin()
    {
        _file = new AtomicFile(string.Create(CultureInfo.InvariantCulture, $"{_prefix}-{_firstShard + _paths.Count:D6}.tar"));
        _tar = new TarWriter(_file.Stream, TarEntryFormat.Ustar, leaveOpen: true);
        _inShard = 0;
    }

    private void End()
    {
        _tar!.Dispose();
        _tar = null;
        _file!.Commit();
        _paths.Add(_file.Path);
        _file = null;
    }

    private void Append(string name, byte[] content)
    {
        using MemoryStream data = new(content, writable: false);
        UstarTarEntry entry = new(TarEntryType.RegularFile, name)
        {
            DataStream = data,
            ModificationTime = DateTimeOffset.UnixEpoch,
            Mode = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.OtherRead,
        };
        _tar!.WriteEntry(entry);
    }
}
