using MiniVlp.Autograd;
using MiniVlp.Tensors;

namespace MiniVlp.Nn.Pretraining;

/// <summary>How a transport plan is computed.</summary>
/// <param name="Beta">β: step of the proximal point method; 0.5 in UNITER and ViLT. Costs should not be much larger than it.</param>
/// <param name="Iterations">Proximal steps; 50 in UNITER and ViLT.</param>
/// <param name="InnerIterations">k: scalings of rows and columns in each step; 1 in UNITER and ViLT.</param>
public sealed record OptimalTransportOptions(float Beta = 0.5f, int Iterations = 50, int InnerIterations = 1);

/// <summary>
/// Optimal transport between two sets of vectors with uniform weights, by the inexact proximal point method (Xie et al., arXiv:1802.04307): how far
/// words are from patches when each word is laid on the patches that suit it (word-patch alignment; UNITER arXiv:1909.11740, ViLT arXiv:2102.03334).
/// It is composed of tensor operations, so it runs on every device.
/// </summary>
public static class OptimalTransport
{
    /// <summary>C_ij = 1 - cos(x_i, y_j): x [batch, rows, width] and y [batch, columns, width] to [batch, rows, columns].</summary>
    /// <exception cref="ShapeException">The operands are not of this form.</exception>
    public static Tensor CosineCost(Tensor x, Tensor y)
    {
        if (x.Shape.Rank != 3 || y.Shape.Rank != 3 || x.Shape[0] != y.Shape[0] || x.Shape[2] != y.Shape[2])
            throw new ShapeException($"CosineCost: x must be [batch, rows, width] and y [batch, columns, width], found {x.Shape} and {y.Shape}.");
        return 1f - x.L2Normalize().MatMul(y.L2Normalize(), transposeRight: true);
    }

    /// <summary>
    /// d = min ⟨T, C⟩ for each sample: cost [batch, rows, columns] to [batch]. The gradient takes the best plan for given, ∂d/∂C = T, as the
    /// envelope theorem says. A sample without rows or without columns has distance 0.
    /// </summary>
    /// <param name="cost">C.</param>
    /// <param name="rowMask">[batch, rows], 0 for a row that is not there; all are when null.</param>
    /// <param name="columnMask">[batch, columns], 0 for a column that is not there; all are when null.</param>
    /// <param name="options">Of the method; UNITER's and ViLT's when null.</param>
    /// <exception cref="ShapeException">A mask does not fit the cost.</exception>
    public static Tensor Distance(Tensor cost, IndexTensor? rowMask = null, IndexTensor? columnMask = null, OptimalTransportOptions? options = null)
    {
        Tensor plan = Plan(cost, rowMask, columnMask, options);
        return (cost * plan).Reshape([cost.Shape[0], cost.Shape[1] * cost.Shape[2]]).Sum(1);
    }

    /// <summary>
    /// The plan T ≥ 0 with T 1 = 1 / rows and Tᵀ 1 = 1 / columns that minimises ⟨T, C⟩: each step replaces T by diag(δ) (A ∘ T) diag(σ), A = e^(-C / β),
    /// with δ and σ scaled so that the sums of rows and columns are right; those of columns to the last digit, those of rows as far as the steps have
    /// converged. No gradient flows through it.
    /// </summary>
    /// <param name="cost">C [batch, rows, columns].</param>
    /// <param name="rowMask">[batch, rows], 0 for a row that gets nothing; all get their share when null.</param>
    /// <param name="columnMask">[batch, columns], 0 for a column that gets nothing; all get their share when null.</param>
    /// <param name="options">Of the method; UNITER's and ViLT's when null.</param>
    /// <returns>T [batch, rows, columns].</returns>
    /// <exception cref="ShapeException">A mask does not fit the cost.</exception>
    public static Tensor Plan(Tensor cost, IndexTensor? rowMask = null, IndexTensor? columnMask = null, OptimalTransportOptions? options = null)
    {
        options ??= new OptimalTransportOptions();
        if (!(options.Beta > 0) || options.Iterations < 1 || options.InnerIterations < 1)
            throw new ArgumentOutOfRangeException(nameof(options), options, "OptimalTransport: β must be positive and both numbers of iterations at least 1.");
        if (cost.Shape.Rank != 3 || cost.Shape.Length == 0) throw new ShapeException($"OptimalTransport: the cost must be [batch, rows, columns] with at least one element, found {cost.Shape}.");
        using IDisposable pause = Tape.NoGradient();
        using TensorScope scope = new();
        (Marginal rows, Marginal columns) = Marginals(cost, rowMask, columnMask);
        Tensor kernel = (cost * (-1f / options.Beta)).Exp();
        if (rows.Valid is not null) kernel *= rows.Valid;
        if (columns.Valid is not null) kernel *= columns.Valid;
        Tensor? plan = null;
        Tensor sigma = columns.Share;
        for (int i = 0; i < options.Iterations; i++)
        {
            using TensorScope step = new();
            Tensor q = plan is null ? kernel : kernel * plan, scaled = q;
            for (int k = 0; k < options.InnerIterations; k++)
            {
                scaled = q * rows.Over((q * sigma).Sum(2, keep: true));
                sigma = columns.Over(scaled.Sum(1, keep: true));
            }

            plan?.Dispose();
            plan = step.Keep(scaled * sigma);
            step.Keep(sigma);
        }

        return scope.Keep(plan!);
    }

    private static (Marginal Rows, Marginal Columns) Marginals(Tensor cost, IndexTensor? rowMask, IndexTensor? columnMask)
    {
        int batch = cost.Shape[0], rows = cost.Shape[1], columns = cost.Shape[2];
        if (rowMask is null && columnMask is null)
            return (new Marginal(Tensor.Full([batch, rows, 1], 1f / rows, cost.Device), null, null), new Marginal(Tensor.Full([batch, 1, columns], 1f / columns, cost.Device), null, null));
        Tensor validRows = Valid(cost, rowMask, rows, "row").Reshape([batch, rows, 1]), validColumns = Valid(cost, columnMask, columns, "column").Reshape([batch, 1, columns]);

        // Where one side is empty, nothing can be carried to the other either.
        Tensor both = validRows.Max(1, keep: true) * validColumns.Max(2, keep: true);
        return (Marginal.Create(validRows * both, 1), Marginal.Create(validColumns * both, 2));
    }

    /// <summary>A mask of 0 and 1 as floats, looked up on the device in a table of the two.</summary>
    private static Tensor Valid(Tensor cost, IndexTensor? mask, int size, string name)
    {
        Shape shape = [cost.Shape[0], size];
        if (mask is null) return Tensor.Full(shape, 1f, cost.Device);
        if (mask.Shape != shape) throw new ShapeException($"OptimalTransport: the {name} mask must be {shape} for the cost {cost.Shape}, found {mask.Shape}.");
        return Tensor.FromArray([0f, 1f], [2, 1], cost.Device).GatherRows(mask);
    }

    /// <summary>What the sums over one side have to be.</summary>
    /// <param name="Share">1 / (number of entries that are there), [batch, rows, 1] or [batch, 1, columns].</param>
    /// <param name="Valid">1 for an entry that is there, shaped alike; null when all are.</param>
    /// <param name="Absent">1 - Valid: keeps the quotient of an entry that is not there from being 0 / 0.</param>
    private sealed record Marginal(Tensor Share, Tensor? Valid, Tensor? Absent)
    {
        public static Marginal Create(Tensor valid, int axis)
            => new(valid / valid.Sum(axis, keep: true).Maximum(Tensor.FromScalar(1f, valid.Device)), valid, 1f - valid);

        /// <summary>share / sum, 0 where the entry is not there.</summary>
        public Tensor Over(Tensor sum) => Share / (Absent is null ? sum : sum + Absent);
    }
}
