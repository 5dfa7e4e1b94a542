using MiniVlp.Data.Datasets;

namespace MiniVlp.Cli.Datasets;

/// <summary>The first samples of a data set.</summary>
/// <param name="dataset">The whole.</param>
/// <param name="count">How many; at most all.</param>
public sealed class FirstSamples(IImageTextDataset dataset, int count) : IImageTextDataset
{
    /// <summary>The data set that they are the first of.</summary>
    public IImageTextDataset Whole => dataset;

    public string Name => dataset.Name;

    public int Count => count;

    public ImageTextSample Get(int index) => dataset.Get(Check(index));

    public string GetCaption(int index) => dataset.GetCaption(Check(index));

    public int PictureOf(int index) => dataset.PictureOf(Check(index));

    private int Check(int index)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, count);
        return index;
    }
}
