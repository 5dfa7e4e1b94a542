using MiniVlp.Data.Datasets;

namespace MiniVlp.Cli.Datasets;

/// <summary>Numbers for the samples of a data set, equal for two that are never negatives of each other.</summary>
public static class PairIds
{
    /// <summary>The picture of each sample alone, for methods that read no texts.</summary>
    public static int[] OfPictures(IImageTextDataset dataset) => [.. Enumerable.Range(0, dataset.Count).Select(dataset.PictureOf)];

    /// <summary>
    /// Captions of one picture share a number. Where each picture has one caption, samples with the same caption do: a text cannot be right for its
    /// picture and wrong for another that it describes word for word. (Where pictures have several captions one equal pair of captions would
    /// tie all the others together, so pictures alone count there.)
    /// </summary>
    /// <param name="dataset">All captions are read once.</param>
    public static int[] Of(IImageTextDataset dataset)
    {
        int[] ids = OfPictures(dataset);
        if (ids.Where((picture, i) => picture != i).Any()) return ids;
        Dictionary<string, int> first = new(StringComparer.Ordinal);
        for (int i = 0; i < ids.Length; i++)
        {
            string caption = dataset.GetCaption(i);
            ids[i] = first.TryAdd(caption, i) ? i : first[caption];
        }

        return ids;
    }
}
