namespace MiniVlp.Kernels;

/// <summary>
/// A block of scores between feature rows and feature columns, s_ij = scale · row_i · column_j, which exists only tile by tile. The columns are
/// either the other side of the batch or a queue; a contrastive loss is made of one to four such blocks.
/// </summary>
/// <param name="Rows">n: feature rows.</param>
/// <param name="Columns">Feature columns; n for the batch.</param>
/// <param name="Width">Elements of a feature.</param>
/// <param name="IsBatch">Whether column i belongs to row i (without ids); false for a queue, whose columns belong to nobody unless ids say so.</param>
/// <param name="OnlyOwn">Hides the columns of the batch from all rows but their own, so that only queues hold negatives (MoCo, arXiv:1911.05722).</param>
public readonly record struct ContrastiveBlock(int Rows, int Columns, int Width, bool IsBatch, bool OnlyOwn);

/// <summary>Operands of a block.</summary>
/// <param name="Rows">[n, width].</param>
/// <param name="Columns">[columns, width].</param>
/// <param name="Teacher">[n, width]: rows whose softmax over the same columns is mixed into the target; may be absent.</param>
/// <param name="RowIds">int [n]: rows and columns of equal id belong together; absent: only i and i of the batch do.</param>
/// <param name="ColumnIds">int [columns]; absent with row ids: no column of this block belongs to any row.</param>
/// <param name="Scale">One element: the factor of the dot products.</param>
public readonly record struct ContrastiveOperands(
    DeviceBuffer Rows, DeviceBuffer Columns, DeviceBuffer Teacher, DeviceBuffer RowIds, DeviceBuffer ColumnIds, DeviceBuffer Scale);

/// <summary>The factor of scores. Where a row may not see a column, or there is none, a dot product is infinite so that its score is -∞.</summary>
internal static class ContrastiveScale
{
    /// <summary>The factor to compute scores with: that of the scale, and the least that is not 0 where it is 0, since 0 · ∞ is no number.</summary>
    public static float Factor(float scale) => scale == 0f ? 1.17549435e-38f : scale;

    /// <summary>The dot product whose score is -∞.</summary>
    public static float Hidden(float factor) => factor < 0f ? float.PositiveInfinity : float.NegativeInfinity;
}
