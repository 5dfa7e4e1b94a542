using System.Text.Json;
using MiniVlp.Data.Images;

namespace MiniVlp.Data.Datasets;

/// <summary>
/// WebDataset tar shards with random access: members <c>KEY.png|jpg|jpeg|webp|gif|bmp</c>, <c>KEY.txt</c> (the caption; else the field
/// "caption" of the json) and <c>KEY.json</c> (metadata). The headers are read once; a sample then costs reads at known offsets.
/// </summary>
public sealed class TarShardDataset : IImageTextDataset
{
    private readonly List<TarSample> _samples = [];
    private readonly IImageDecoder _decoder;
    private readonly ImageLimits _limits;
    private readonly Lazy<int[]> _pictures;

    /// <summary>Indexes the shards; samples keep the order of the paths and of the archives.</summary>
    /// <param name="shards">Paths of tar files, uncompressed.</param>
    /// <param name="decoder">Decodes the pictures.</param>
    /// <param name="limits">How large a picture may be; <see cref="ImageLimits.Default"/> if null.</param>
    /// <exception cref="InvalidDataException">A shard is damaged, has a member that leads out of it, or a sample that is not complete.</exception>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    public TarShardDataset(IReadOnlyList<string> shards, IImageDecoder decoder, ImageLimits? limits = null)
    {
        ArgumentNullException.ThrowIfNull(shards);
        ArgumentNullException.ThrowIfNull(decoder);
        if (shards.Count == 0)
        {
            throw new ArgumentException("At least one shard is needed.", nameof(shards));
        }

        _decoder = decoder;
        _limits = limits ?? ImageLimits.Default;
        foreach (string shard in shards)
        {
            _samples.AddRange(TarShardIndex.Read(shard, _limits.MaxFileBytes));
        }

        _pictures = new Lazy<int[]>(FindPictures);
        Name = shards.Count == 1 ? shards[0] : $"{shards[0]} and {shards.Count - 1} more";
        if (_samples.Count == 0)
        {
            throw new InvalidDataException($"{Name}: no samples; a sample is KEY.png (or another picture) with KEY.txt or KEY.json, and the key ends at the first dot.");
        }
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public int Count => _samples.Count;

    /// <inheritdoc/>
    public ImageTextSample Get(int index)
    {
        ImageFiles.CheckIndex(index, Count);
        TarSample sample = _samples[index];
        JsonElement? json = sample.ReadJson();
        string caption = sample.ReadCaption(json);
        return new ImageTextSample(sample.Name, _decoder.Decode(sample.Read(sample.Image), sample.Name, _limits), caption, json);
    }

    /// <inheritdoc/>
    public string GetCaption(int index)
    {
        ImageFiles.CheckIndex(index, Count);
        return _samples[index].ReadCaption(json: null);
    }

    /// <summary>Samples that follow one another with the same picture, byte for byte, are several captions of it.</summary>
    public int PictureOf(int index)
    {
        ImageFiles.CheckIndex(index, Count);
        return _pictures.Value[index];
    }

    /// <summary>Only pictures of equal length are read, and neighbours rarely have that unless they are the same.</summary>
    private int[] FindPictures()
    {
        int[] pictures = new int[_samples.Count];
        for (int i = 1; i < pictures.Length; i++)
        {
            TarSample before = _samples[i - 1], sample = _samples[i];
            bool isSame = before.Image.Length == sample.Image.Length && before.Read(before.Image).AsSpan().SequenceEqual(sample.Read(sample.Image));
            pictures[i] = isSame ? pictures[i - 1] : i;
        }

        return pictures;
    }
}
