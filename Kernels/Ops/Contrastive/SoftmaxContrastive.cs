namespace MiniVlp.Kernels;

/// <summary>What a row (or column) is to find: y = (1 - α) ((1 - ε) positives / |positives| + ε / candidates) + α softmax of the teacher (arXiv:2107.07651).</summary>
/// <param name="LabelSmoothing">ε: the share of the hard target that is spread over all candidates.</param>
/// <param name="Alpha">α: the share of the teacher.</param>
/// <param name="RowCandidates">All columns that a row compares, those of the queue included.</param>
/// <param name="ColumnCandidates">All rows that a column compares, those of its queue included.</param>
public readonly record struct ContrastiveTargets(float LabelSmoothing, float Alpha, int RowCandidates, int ColumnCandidates);

/// <summary>Which losses a gradient belongs to.</summary>
/// <param name="RowStatistics">[3, rows] of the rows' losses; absent when rows do not search.</param>
/// <param name="ColumnStatistics">[3, columns] of the columns' losses; absent when columns do not search.</param>
/// <param name="Weight">Factor of every row's and every column's loss.</param>
public readonly record struct ContrastiveLossWeights(DeviceBuffer RowStatistics, DeviceBuffer ColumnStatistics, float Weight);

public partial interface IBackend
{
    /// <summary>Parts of the sums that <see cref="ContrastiveScores"/> gathers for each row.</summary>
    const int ContrastiveSumCount = 8;

    /// <summary>
    /// Gathers for every row i the largest score, Σ_j exp(s_ij - largest), Σ_j dots, Σ dots and number of positives, and of the teacher the largest score,
    /// Σ_j exp and Σ_j exp · dot; and the first five for every column. Scores exist only as tiles and one panel; memory is linear in the rows.
    /// </summary>
    /// <param name="block">The block of scores.</param>
    /// <param name="operands">What is read.</param>
    /// <param name="rowSums">[8, rows].</param>
    /// <param name="continuesRows">Whether the row sums hold those of an earlier block and go on; false: they start here.</param>
    /// <param name="columnSums">[8, columns], which start here; may be absent.</param>
    void ContrastiveScores(in ContrastiveBlock block, in ContrastiveOperands operands, DeviceBuffer rowSums, bool continuesRows, DeviceBuffer columnSums);

    /// <summary>
    /// loss_i = log Σ_j exp(s_ij) - Σ_j y_ij s_ij, InfoNCE (arXiv:1807.03748), from the sums over all blocks of a row. Writes losses and statistics.
    /// </summary>
    /// <param name="targets">y; candidates are <see cref="ContrastiveTargets.RowCandidates"/>.</param>
    /// <param name="scale">One element: the factor of the dot products.</param>
    /// <param name="sums">[8, rows].</param>
    /// <param name="losses">[rows].</param>
    /// <param name="statistics">[3, rows]: log Σ_j exp(s_ij), 1 / |positives_i|, and log Σ_j exp of the teacher's scores.</param>
    void ContrastiveLosses(in ContrastiveTargets targets, DeviceBuffer scale, DeviceBuffer sums, DeviceBuffer losses, DeviceBuffer statistics);

    /// <summary>
    /// With every tile of scores computed again, G_ij = dloss · weight · ((softmax_j(s_ij) - y_ij) + (softmax_i(s_ij) - y'_ij)), the first part for
    /// rows that search, the second for columns: drow_i = scale Σ_j G_ij column_j, dcolumn_j = scale Σ_i G_ij row_i, dscale = Σ_ij G_ij row_i · column_j.
    /// Sums run in a fixed order.
    /// </summary>
    void ContrastiveScoresBackward(
        in ContrastiveBlock block, in ContrastiveOperands operands, in ContrastiveTargets targets, in ContrastiveLossWeights weights,
        DeviceBuffer dloss, GradientTarget drows, GradientTarget dcolumns, GradientTarget dscale);

    /// <summary>result = weight · mean of all losses, summed in order in double precision. Writes result.</summary>
    void MeanLoss(DeviceBuffer losses, float weight, DeviceBuffer result);
}
