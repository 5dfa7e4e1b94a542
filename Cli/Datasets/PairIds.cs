using System.Globalization;
using MiniVlp.Data.Datasets;

namespace MiniVlp.Cli.Datasets;

/// <summary>Numbers for the samples of a data set, equal for two that are never negatives of each other.</summary>
public static class PairIds
{
    /// <summary>The picture of each sample alone, for methods that read no texts.</summary>
    public static int[] OfPictures(IImageTextDataset dataset) => [.. Enumerable.Range(0, dataset.Count).Select(dataset.PictureOf)];

    /// <summary>
    /// Captions of one picture share a number, and so do pictures whose captions are the same, all of them: a text cannot be right for its picture
    /// and wrong for another that the very same words describe. Pictures that share one caption of several keep numbers of their own, since it would
    /// tie all their other captions together; in image-text matching a text is no wrong partner of a picture that has it elsewhere in the batch.
    /// </summary>
    /// <param name="dataset">All captions are read once.</param>
    public static int[] Of(IImageTextDataset dataset)
    {
        int[] pictures = OfPictures(dataset);
        Dictionary<string, int> captions = new(StringComparer.Ordinal), firstOf = new(StringComparer.Ordinal);
        Dictionary<int, int> ids = [];
        foreach (IGrouping<int, int> picture in Enumerable.Range(0, pictures.Length).GroupBy(i => pictures[i], CaptionOf))
        {
            string all = string.Join(' ', picture.Distinct().Order().Select(caption => caption.ToString(CultureInfo.InvariantCulture)));
            firstOf.TryAdd(all, picture.Key);
            ids.Add(picture.Key, firstOf[all]);
        }

        return [.. pictures.Select(picture => ids[picture])];

        int CaptionOf(int index)
        {
            string caption = dataset.GetCaption(index);
            if (!captions.TryGetValue(caption, out int number)) captions.Add(caption, number = captions.Count);
            return number;
        }
    }
}
