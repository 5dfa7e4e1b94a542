using MiniVlp.Tensors;

namespace MiniVlp.Models;

/// <summary>
/// Which pictures and texts of a batch belong together: what one of its pairs says of a picture and a text holds for all rows with this picture and this
/// text, token for token, so that none of them is taken for a wrong pair. What no pair of the batch says cannot be known.
/// </summary>
internal sealed class BatchPairs
{
    private readonly int[] _pictures, _texts;
    private readonly HashSet<(int Picture, int Text)> _pairs;
    private readonly ILookup<int, int> _rowsOfPicture, _picturesOfText;

    /// <summary>Reads ids and tokens of a batch.</summary>
    public BatchPairs(PairBatch batch)
    {
        _pictures = batch.ImageIds.ToArray();
        _texts = FirstEqual(batch.Text.TokenIds);
        _pairs = [.. _pictures.Zip(_texts)];
        _rowsOfPicture = Enumerable.Range(0, _pictures.Length).ToLookup(row => _pictures[row]);
        _picturesOfText = _pairs.ToLookup(pair => pair.Text, pair => pair.Picture);
    }

    /// <summary>Whether the picture of one row and the text of another belong together.</summary>
    public bool Match(int image, int text) => _pairs.Contains((_pictures[image], _texts[text]));

    /// <summary>The rows whose pictures the text of a row belongs to, in order; its own is one.</summary>
    public int[] ImagesOf(int text) => [.. _picturesOfText[_texts[text]].SelectMany(picture => _rowsOfPicture[picture]).Order()];

    /// <summary>For each row of ids [n, tokens] the first row that is the same.</summary>
    private static int[] FirstEqual(IndexTensor ids)
    {
        int count = ids.Shape[0], tokens = ids.Shape[1];
        int[] values = ids.ToArray(), first = new int[count];
        Dictionary<int, List<int>> rowsByHash = [];
        for (int i = 0; i < count; i++)
        {
            HashCode hash = new();
            foreach (int value in Row(i)) hash.Add(value);
            if (!rowsByHash.TryGetValue(hash.ToHashCode(), out List<int>? rows)) rowsByHash.Add(hash.ToHashCode(), rows = []);
            int equal = rows.FindIndex(row => Row(row).SequenceEqual(Row(i)));
            first[i] = equal >= 0 ? rows[equal] : i;
            if (equal < 0) rows.Add(i);
        }

        return first;

        ReadOnlySpan<int> Row(int row) => values.AsSpan(row * tokens, tokens);
    }
}
