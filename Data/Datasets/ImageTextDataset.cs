using MiniVlp.Data.Images;

namespace MiniVlp.Data.Datasets;

/// <summary>Opens pictures with captions by what the path is.</summary>
public static class ImageTextDataset
{
    /// <summary>
    /// Opens one source: <c>.tar</c> (also with <c>*</c>, <c>?</c>, <c>{a,b}</c> or <c>{000..010}</c>) as WebDataset shards, <c>.json</c> as COCO
    /// captions, <c>.csv</c> and <c>.tsv</c> as a table, a folder as shards when it holds <c>.tar</c> files and as an image folder otherwise.
    /// </summary>
    /// <param name="spec">The path or pattern.</param>
    /// <param name="decoder">Decodes the pictures.</param>
    /// <param name="options">Column names, picture folder, limits; null for the defaults.</param>
    /// <exception cref="ArgumentException">The path is none of these.</exception>
    /// <exception cref="IOException">It does not exist or cannot be read.</exception>
    /// <exception cref="InvalidDataException">It is damaged; the message names file, member and field.</exception>
    public static IImageTextDataset Open(string spec, IImageDecoder decoder, ImageTextOptions? options = null)
    {
        return Open([spec], decoder, options);
    }

    /// <summary>Opens several sources, one after the other in one data set.</summary>
    /// <param name="specs">At least one path or pattern.</param>
    /// <param name="decoder">Decodes the pictures.</param>
    /// <param name="options">Column names, picture folder, limits; null for the defaults.</param>
    /// <exception cref="ArgumentException">A path is of no known kind.</exception>
    /// <exception cref="IOException">A path does not exist or cannot be read.</exception>
    /// <exception cref="InvalidDataException">A source is damaged; the message names file, member and field.</exception>
    public static IImageTextDataset Open(IReadOnlyList<string> specs, IImageDecoder decoder, ImageTextOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(specs);
        ArgumentNullException.ThrowIfNull(decoder);
        options ??= ImageTextOptions.Default;
        List<IImageTextDataset> parts = [];
        List<string> shards = [];
        foreach (string path in specs.SelectMany(PathPattern.Expand))
        {
            if (ShardsOf(path) is { Count: > 0 } found)
            {
                shards.AddRange(found);
                continue;
            }

            FlushShards(shards, parts, decoder, options);
            parts.Add(OpenOther(path, decoder, options));
        }

        FlushShards(shards, parts, decoder, options);
        return parts.Count == 1 ? parts[0] : new ConcatenatedDataset(parts);
    }

    private static List<string> ShardsOf(string path)
    {
        return Directory.Exists(path) ? [.. Directory.EnumerateFiles(path, "*.tar").Order(StringComparer.Ordinal)]
            : path.EndsWith(".tar", StringComparison.OrdinalIgnoreCase) ? [path]
            : [];
    }

    private static void FlushShards(List<string> shards, List<IImageTextDataset> parts, IImageDecoder decoder, ImageTextOptions options)
    {
        if (shards.Count > 0)
        {
            parts.Add(new TarShardDataset([.. shards], decoder, options.Limits));
            shards.Clear();
        }
    }

    private static IImageTextDataset OpenOther(string path, IImageDecoder decoder, ImageTextOptions options)
    {
        if (Directory.Exists(path))
        {
            return new ImageFolderDataset(path, decoder, options);
        }

        if (!File.Exists(path))
        {
            throw new FileNotFoundException($"{path}: there is no such file or folder.", path);
        }

        return Path.GetExtension(path).ToUpperInvariant() switch
        {
            ".JSON" => new CocoCaptionDataset(path, decoder, options),
            ".CSV" or ".TSV" => new TableDataset(path, decoder, options),
            _ => throw new ArgumentException(
                $"{path}: not a kind of data set; known are .tar (WebDataset), .json (COCO captions), .csv, .tsv and folders.", nameof(path)),
        };
    }
}
