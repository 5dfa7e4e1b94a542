namespace MiniVlp.Kernels;

/// <summary>Sizes and rules of one direction of a softmax contrastive loss: every row is to find its own column among all columns.</summary>
/// <param name="Rows">n: feature rows; row i belongs to column i.</param>
/// <param name="Queue">k: further columns behind the n columns of the batch, all of them wrong unless ids say otherwise.</param>
/// <param name="OtherQueue">Further columns of the opposite direction (rows then are columns); used when its gradient is computed too.</param>
/// <param name="Width">Elements of a feature.</param>
/// <param name="LabelSmoothing">ε: the share of the hard target that is spread over all columns.</param>
/// <param name="Alpha">α: the share of the target that the teacher's softmax gives (arXiv:2107.07651).</param>
/// <param name="InBatchNegatives">Whether the other columns of the batch compete; false: only the own column and the queue (MoCo, arXiv:1911.05722).</param>
public readonly record struct ContrastiveShape(
    int Rows, int Queue, int OtherQueue, int Width, float LabelSmoothing, float Alpha, bool InBatchNegatives);

/// <summary>Operands of one direction.</summary>
/// <param name="Rows">[n, width].</param>
/// <param name="Columns">[n, width].</param>
/// <param name="Queue">[k, width]; may be absent.</param>
/// <param name="Teacher">[n, width]: rows whose softmax over the same columns is mixed into the target; absent when α is 0.</param>
/// <param name="Ids">int [n]: rows and columns of equal id belong together; absent: only i and i do.</param>
/// <param name="QueueIds">int [k]: ids of the queue; may be absent.</param>
/// <param name="Scale">One element: the factor of the dot products.</param>
public readonly record struct ContrastiveOperands(
    DeviceBuffer Rows, DeviceBuffer Columns, DeviceBuffer Queue, DeviceBuffer Teacher, DeviceBuffer Ids, DeviceBuffer QueueIds, DeviceBuffer Scale);

/// <summary>How the losses of both directions weigh in a gradient; a direction that takes no part has no statistics.</summary>
/// <param name="RowStatistics">Statistics of the direction from rows to columns; may be absent.</param>
/// <param name="ColumnStatistics">Statistics of the opposite direction; may be absent.</param>
/// <param name="RowWeight">Factor of each row's loss.</param>
/// <param name="ColumnWeight">Factor of each column's loss.</param>
/// <param name="IncludeBatchInScale">Whether the batch columns add to the gradient of the scale (they must once, not from both sides).</param>
public readonly record struct ContrastiveWeights(
    DeviceBuffer RowStatistics, DeviceBuffer ColumnStatistics, float RowWeight, float ColumnWeight, bool IncludeBatchInScale);

public partial interface IBackend
{
    /// <summary>
    /// One direction of InfoNCE (arXiv:1807.03748): with s_ij = scale · row_i · column_j over the batch columns and the queue,
    /// loss_i = log Σ_j exp(s_ij) - Σ_j y_ij s_ij and y_i = (1 - α) ((1 - ε) positives_i / |positives_i| + ε / columns) + α softmax_j(scale · teacher_i · column_j).
    /// Scores exist only as tiles; memory is linear in rows and columns. Writes losses and statistics.
    /// </summary>
    /// <param name="shape">Sizes and rules.</param>
    /// <param name="operands">What is read.</param>
    /// <param name="losses">[n].</param>
    /// <param name="statistics">[3, n]: log Σ_j exp(s_ij), 1 / |positives_i|, and log Σ_j exp of the teacher's scores.</param>
    void SoftmaxContrastive(in ContrastiveShape shape, in ContrastiveOperands operands, DeviceBuffer losses, DeviceBuffer statistics);

    /// <summary>
    /// The gradient of the rows, with every tile of scores computed again: drow_i = scale Σ_j G_ij column_j and dscale = Σ_ij G_ij row_i · column_j, where
    /// G_ij = dloss · (rowWeight (softmax_j(s_ij) - y_ij) + columnWeight (softmax_i(s_ij) - y'_ij)); the second part, of the opposite direction, is
    /// there for the batch columns only. Columns get theirs from a second call with the roles exchanged. Sums run in a fixed order.
    /// </summary>
    void SoftmaxContrastiveBackward(
        in ContrastiveShape shape, in ContrastiveOperands operands, in ContrastiveWeights weights, DeviceBuffer dloss, GradientTarget drows, GradientTarget dscale);

    /// <summary>result = Σ_k weight · mean(losses of part k), with <paramref name="parts"/> equally long parts. Writes result.</summary>
    void MeanOfParts(DeviceBuffer losses, int parts, float weight, DeviceBuffer result);
}
