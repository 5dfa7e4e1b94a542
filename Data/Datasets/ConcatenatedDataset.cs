namespace MiniVlp.Data.Datasets;

/// <summary>Several data sets one after the other, as one.</summary>
public sealed class ConcatenatedDataset : IImageTextDataset
{
    private readonly IImageTextDataset[] _parts;
    private readonly int[] _ends;

    /// <summary>Joins the parts in the given order.</summary>
    /// <param name="parts">At least one data set.</param>
    /// <exception cref="OverflowException">There are more than 2^31 - 1 samples.</exception>
    public ConcatenatedDataset(IReadOnlyList<IImageTextDataset> parts)
    {
        ArgumentNullException.ThrowIfNull(parts);
        if (parts.Count == 0)
        {
            throw new ArgumentException("At least one data set is needed.", nameof(parts));
        }

        _parts = [.. parts];
        _ends = new int[_parts.Length];
        int end = 0;
        for (int i = 0; i < _parts.Length; i++)
        {
            end = checked(end + _parts[i].Count);
            _ends[i] = end;
        }

        Name = string.Join(" + ", _parts.Select(part => part.Name));
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public int Count => _ends[^1];

    /// <inheritdoc/>
    public ImageTextSample Get(int index)
    {
        (IImageTextDataset part, int local) = Find(index);
        return part.Get(local);
    }

    /// <inheritdoc/>
    public string GetCaption(int index)
    {
        (IImageTextDataset part, int local) = Find(index);
        return part.GetCaption(local);
    }

    /// <inheritdoc/>
    public int PictureOf(int index)
    {
        (IImageTextDataset part, int local) = Find(index);
        return index - local + part.PictureOf(local);
    }

    private (IImageTextDataset Part, int Local) Find(int index)
    {
        ImageFiles.CheckIndex(index, Count);
        int part = Array.BinarySearch(_ends, index + 1);
        part = part < 0 ? ~part : part;

        // An empty part has the same end as the one before it; the search may land on either.
        while (part > 0 && _ends[part - 1] > index)
        {
            part--;
        }

        return (_parts[part], index - (part == 0 ? 0 : _ends[part - 1]));
    }
}
