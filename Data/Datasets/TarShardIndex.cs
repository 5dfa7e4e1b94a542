using System.Formats.Tar;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace MiniVlp.Data.Datasets;

/// <summary>Where the members of the samples of one WebDataset shard lie, found in a single pass over its headers.</summary>
internal static class TarShardIndex
{
    private const int Block = 512;

    /// <summary>Longest extended header (names, times) that is believed; a path of 64 KiB is beyond every file system.</summary>
    private const long HeaderLimit = 64 << 10;

    public static List<TarSample> Read(string path, long imageLimit)
    {
        using FileStream stream = InputFile.OpenRead(path);
        Dictionary<string, TarSample> byKey = new(StringComparer.Ordinal);
        List<TarSample> samples = [];
        long end = 0;
        try
        {
            using TarReader reader = new(stream, leaveOpen: true);
            while (HeadersAreWithin(stream.SafeFileHandle, path, end, stream.Length) && reader.GetNextEntry() is { } entry)
            {
                end = entry.DataOffset + ((entry.Length + Block - 1) / Block * Block);
                Add(entry, path, stream.Length, imageLimit, byKey, samples);
            }
        }
        catch (Exception error) when (error is FormatException or EndOfStreamException or InvalidOperationException or NotSupportedException
            or ArgumentException or OverflowException or IndexOutOfRangeException or DecoderFallbackException)
        {
            throw new InvalidDataException($"{path}: damaged tar header at or after byte {end}: {error.Message}", error);
        }

        foreach (TarSample sample in samples)
        {
            if (sample.Image.Length == 0)
            {
                throw new InvalidDataException($"{path}: sample '{sample.Key}' has no picture (.png, .jpg, .jpeg, .webp, .gif or .bmp), or an empty one.");
            }

            if (!sample.Text.Exists && !sample.Json.Exists)
            {
                throw new InvalidDataException($"{path}: sample '{sample.Key}' has neither a .txt nor a .json member for its caption.");
            }
        }

        return samples;
    }

    /// <summary>
    /// Looks at the size fields of the next header and of the extended headers before it, because the tar reader takes memory for an
    /// extended header, and seeks over data, before it knows whether the file is that long.
    /// </summary>
    private static bool HeadersAreWithin(SafeFileHandle file, string path, long position, long length)
    {
        Span<byte> header = stackalloc byte[Block];
        while (true)
        {
            int read = RandomAccess.Read(file, header, position);
            if (read == 0)
            {
                return position > 0 ? false : throw new InvalidDataException($"{path}: an empty file, not a tar archive.");
            }

            if (read < Block)
            {
                throw new InvalidDataException($"{path}: truncated: a tar header at byte {position} needs {Block} bytes, the file has {length}.");
            }

            if (!header.ContainsAnyExcept((byte)0))
            {
                return true;
            }

            long size = Size(header[124..136]);
            string name = Name(header[..100]);
            if (size < 0 || size > length - position - Block)
            {
                throw new InvalidDataException(
                    $"{path}: member '{name}': its header at byte {position} says {size} bytes, the file ends {length - position - Block} bytes after it.");
            }

            if (header[156] is not ((byte)'x' or (byte)'g' or (byte)'L' or (byte)'K'))
            {
                return true;
            }

            if (size > HeaderLimit)
            {
                throw new InvalidDataException($"{path}: the extended header '{name}' at byte {position} says {size} bytes; at most {HeaderLimit} are read.");
            }

            position += Block + ((size + Block - 1) / Block * Block);
        }
    }

    /// <summary>The size field: octal digits, or a big-endian number when the first bit is set; -1 when it is neither.</summary>
    private static long Size(ReadOnlySpan<byte> field)
    {
        long size = 0;
        if ((field[0] & 0x80) != 0)
        {
            foreach (byte value in field[4..])
            {
                size = (size << 8) | value;
            }

            return field[1] == 0 && field[2] == 0 && field[3] == 0 ? size : -1;
        }

        foreach (byte digit in field.Trim((byte)' ').Trim((byte)0))
        {
            if (digit is < (byte)'0' or > (byte)'7')
            {
                return digit is (byte)' ' or 0 ? size : -1;
            }

            size = (size << 3) | (uint)(digit - '0');
        }

        return size;
    }

    private static string Name(ReadOnlySpan<byte> field)
    {
        int end = field.IndexOf((byte)0);
        return Encoding.UTF8.GetString(end < 0 ? field : field[..end]);
    }

    private static void Add(TarEntry entry, string path, long fileLength, long imageLimit, Dictionary<string, TarSample> byKey, List<TarSample> samples)
    {
        CheckName(entry.Name, path);
        string fileName = entry.Name[(entry.Name.LastIndexOf('/') + 1)..];

        // Directories and links hold no data; names that begin with a dot or "__" are notes that tar programs and WebDataset leave behind.
        if (entry.EntryType is not (TarEntryType.RegularFile or TarEntryType.V7RegularFile or TarEntryType.ContiguousFile)
            || fileName.StartsWith('.') || fileName.StartsWith("__", StringComparison.Ordinal))
        {
            return;
        }

        // WebDataset: the key ends at the first dot of the file name.
        int dot = fileName.IndexOf('.', StringComparison.Ordinal);
        if (dot < 0)
        {
            return;
        }

        if (entry.DataOffset < 0 || entry.Length > fileLength - entry.DataOffset)
        {
            throw new InvalidDataException($"{path}: member '{entry.Name}': its header says {entry.Length} bytes, the file ends before that.");
        }

        string extension = fileName[dot..];
        Member kind = ImageFiles.IsImage(extension) ? Member.Image
            : extension.Equals(".txt", StringComparison.OrdinalIgnoreCase) ? Member.Text
            : extension.Equals(".json", StringComparison.OrdinalIgnoreCase) ? Member.Json
            : Member.Other;
        if (kind == Member.Other)
        {
            return;
        }

        long limit = kind switch
        {
            Member.Image => Math.Min(imageLimit, Array.MaxLength),
            Member.Text => ImageFiles.CaptionLimit,
            _ => TarSample.JsonLimit,
        };
        if (entry.Length > limit)
        {
            throw new InvalidDataException($"{path}: member '{entry.Name}' has {entry.Length} bytes; at most {limit} are read.");
        }

        string key = entry.Name[..(entry.Name.Length - fileName.Length + dot)];
        if (!byKey.TryGetValue(key, out TarSample? sample))
        {
            sample = new TarSample(path, key);
            byKey.Add(key, sample);
            samples.Add(sample);
        }

        sample.Set(kind, new TarSpan(entry.DataOffset, (int)entry.Length), entry.Name);
    }

    private static void CheckName(string name, string path)
    {
        if (name.Length == 0 || name[0] is '/' or '\\' || (name.Length > 1 && name[1] == ':') || name.Contains('\0', StringComparison.Ordinal)
            || name.Split('/', '\\').Contains("..", StringComparer.Ordinal))
        {
            throw new InvalidDataException($"{path}: member '{name}': the name is empty, absolute, or leads out of the archive.");
        }
    }

    internal enum Member
    {
        Image,
        Text,
        Json,
        Other,
    }
}
