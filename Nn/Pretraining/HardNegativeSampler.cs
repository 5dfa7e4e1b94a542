using MiniVlp.Tensors;

namespace MiniVlp.Nn.Pretraining;

/// <summary>How a negative is chosen among the candidates.</summary>
public enum NegativeStrategy
{
    /// <summary>The more similar, the likelier (ALBEF, arXiv:2107.07651).</summary>
    Hard,

    /// <summary>Each candidate equally likely.</summary>
    Random,
}

/// <summary>
/// Chooses one wrong partner for each row of a batch, for image-text matching: column j with probability proportional to softmax(s_i)_j +
/// <see cref="Floor"/>, as ALBEF and BLIP do (arXiv:2107.07651, 2201.12086). The own pair (column i of row i) and columns that are right, too, are left
/// out before the softmax, so what remains always sums to 1, however far the right pair is ahead: their softmax over all columns, with
/// the diagonal set to 0 afterwards, may underflow to nothing.
/// </summary>
/// <remarks>
/// Pass the similarities of the batch with itself only, never those with a queue, which holds features and no tokens. The draws are a
/// function of similarities and generator; a row for which all columns are right has no negative, see <see cref="Sample(Tensor, IndexTensor, IndexTensor, out bool[], Generator, Func{int, int, bool})"/>.
/// </remarks>
public sealed class HardNegativeSampler
{
    /// <summary>Whether similar columns are preferred.</summary>
    public NegativeStrategy Strategy { get; init; }

    /// <summary>
    /// Added to each candidate's probability, so that none is impossible. BLIP adds its 1e-4 to a softmax in which the right pair takes part: once
    /// that takes nearly all, its negatives become random ones. Here the floor counts the same however good the model is.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative or not finite.</exception>
    public double Floor
    {
        get;
        init => field = value >= 0 && double.IsFinite(value) ? value : throw new ArgumentOutOfRangeException(nameof(Floor), value, "The floor must be a number of at least 0.");
    } = 1e-4;

    /// <summary>One negative for every row.</summary>
    /// <param name="similarities">[rows, columns], scaled as in the contrastive loss (divided by the temperature); at least 2 columns. Only its values are read.</param>
    /// <param name="rowIds">[rows]: rows and columns of equal id belong to one picture; null: only the own pair does.</param>
    /// <param name="columnIds">[columns]; null: those of the rows.</param>
    /// <param name="generator">Where to draw from; <see cref="Generator.Current"/> when null. One counter for each row.</param>
    /// <param name="isRight">Whether a column is right for a row though its id is another, as when the same text belongs to two pictures; null: none is.</param>
    /// <returns>[rows]: a column for each row, on the device of the similarities.</returns>
    /// <exception cref="ShapeException">The operands do not fit together, or there are fewer than 2 columns.</exception>
    /// <exception cref="InvalidOperationException">All columns are right for a row.</exception>
    /// <exception cref="NotFiniteNumberException">A similarity is not finite.</exception>
    public IndexTensor Sample(Tensor similarities, IndexTensor? rowIds = null, IndexTensor? columnIds = null, Generator? generator = null, Func<int, int, bool>? isRight = null)
    {
        IndexTensor columns = Sample(similarities, rowIds, columnIds, out bool[] found, generator, isRight);
        int without = Array.IndexOf(found, false);
        return without < 0
            ? columns
            : throw new InvalidOperationException($"HardNegativeSampler: all columns are right for row {without}, so it has no negative. Batch more pictures, or ask which rows have one and leave the others out of the loss.");
    }

    /// <summary>
    /// One negative for every row that has one. A row for which all columns are right has none: it gets its own column, so that
    /// what is gathered there is at least defined, and <paramref name="found"/> says false; the caller gives it no weight, such as the label -100.
    /// </summary>
    /// <param name="similarities">[rows, columns]; at least 2 columns.</param>
    /// <param name="rowIds">[rows], or null.</param>
    /// <param name="columnIds">[columns]; null: those of the rows.</param>
    /// <param name="found">[rows]: whether the row has a negative.</param>
    /// <param name="generator">Where to draw from; <see cref="Generator.Current"/> when null.</param>
    /// <param name="isRight">Whether a column is right for a row though its id is another; null: none is.</param>
    /// <exception cref="ShapeException">The operands do not fit together, or there are fewer than 2 columns.</exception>
    /// <exception cref="NotFiniteNumberException">A similarity is not finite.</exception>
    public IndexTensor Sample(Tensor similarities, IndexTensor? rowIds, IndexTensor? columnIds, out bool[] found, Generator? generator = null, Func<int, int, bool>? isRight = null)
    {
        double[] weights = Weights(similarities, rowIds, columnIds, isRight);
        generator ??= Generator.Current;
        int rows = similarities.Shape[0], columns = similarities.Shape[1];
        int[] chosen = new int[rows];
        found = new bool[rows];
        for (int i = 0; i < rows; i++)
        {
            int column = Draw(weights.AsSpan(i * columns, columns), generator.NextUniform());
            found[i] = column >= 0;
            chosen[i] = found[i] ? column : Math.Min(i, columns - 1);
        }

        return IndexTensor.FromArray(chosen, [rows], similarities.Device);
    }

    /// <summary>The probability of each column to be chosen, [rows · columns] row by row: each row sums to 1, or is all 0 where there is no negative.</summary>
    /// <param name="similarities">[rows, columns]; at least 2 columns.</param>
    /// <param name="rowIds">[rows], or null.</param>
    /// <param name="columnIds">[columns]; null: those of the rows.</param>
    /// <param name="isRight">Whether a column is right for a row though its id is another; null: none is.</param>
    /// <exception cref="ShapeException">The operands do not fit together, or there are fewer than 2 columns.</exception>
    /// <exception cref="NotFiniteNumberException">A similarity is not finite.</exception>
    public double[] Weights(Tensor similarities, IndexTensor? rowIds = null, IndexTensor? columnIds = null, Func<int, int, bool>? isRight = null)
    {
        Check(similarities, rowIds, columnIds);
        int rows = similarities.Shape[0], columns = similarities.Shape[1];
        int[]? rowId = rowIds?.ToArray(), columnId = columnIds?.ToArray() ?? rowId;
        float[]? scores = Strategy == NegativeStrategy.Hard ? similarities.ToArray() : null;
        double[] weights = new double[rows * columns];
        for (int i = 0; i < rows; i++)
        {
            Span<double> row = weights.AsSpan(i * columns, columns);
            for (int j = 0; j < columns; j++)
            {
                bool isCandidate = i != j && (rowId is null || rowId[i] != columnId![j]) && (isRight is null || !isRight(i, j));
                row[j] = !isCandidate ? double.NegativeInfinity : scores is null ? 0 : Finite(scores[(i * columns) + j], i, j);
            }

            Normalize(row);
        }

        return weights;
    }

    private static float Finite(float score, int row, int column) => float.IsFinite(score)
        ? score
        : throw new NotFiniteNumberException($"HardNegativeSampler: the similarity of row {row} and column {column} is {score}.");

    /// <summary>Scores, -∞ for a column that is left out, to probabilities.</summary>
    private void Normalize(Span<double> row)
    {
        double largest = double.NegativeInfinity, sum = 0;
        foreach (double score in row) largest = Math.Max(largest, score);
        if (double.IsNegativeInfinity(largest))
        {
            row.Clear();
            return;
        }

        foreach (double score in row) sum += Math.Exp(score - largest);
        double total = 0;
        foreach (ref double value in row)
        {
            value = double.IsNegativeInfinity(value) ? 0 : (Math.Exp(value - largest) / sum) + Floor;
            total += value;
        }

        foreach (ref double value in row) value /= total;
    }

    /// <summary>The column in whose share of [0, 1) the number lies; -1 when no column has a share.</summary>
    private static int Draw(ReadOnlySpan<double> weights, double uniform)
    {
        int last = -1;
        for (int j = 0; j < weights.Length; j++)
        {
            if (weights[j] == 0) continue;
            last = j;
            uniform -= weights[j];
            if (uniform < 0) break;
        }

        return last;
    }

    private static void Check(Tensor similarities, IndexTensor? rowIds, IndexTensor? columnIds)
    {
        Shape shape = similarities.Shape;
        if (shape.Rank != 2) throw new ShapeException($"HardNegativeSampler: similarities must be [rows, columns], found {shape}.");
        if (shape[1] < 2) throw new ShapeException($"HardNegativeSampler: a negative needs at least 2 columns to choose from, found {shape}; a batch of one pair has no negative.");
        if (rowIds is null && columnIds is not null) throw new ArgumentException("HardNegativeSampler: columnIds need rowIds to be compared with.", nameof(rowIds));
        if (rowIds is not null && rowIds.Shape != [shape[0]]) throw new ShapeException($"HardNegativeSampler: rowIds must be [rows] = [{shape[0]}], found {rowIds.Shape}.");
        Shape columns = columnIds?.Shape ?? rowIds?.Shape ?? [shape[1]];
        if (columns != [shape[1]]) throw new ShapeException($"HardNegativeSampler: columnIds must be [columns] = [{shape[1]}], found {columns}; without them rowIds serve both.");
    }
}
