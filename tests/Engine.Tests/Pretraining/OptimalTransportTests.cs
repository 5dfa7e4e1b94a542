using MiniVlp.Autograd;
using MiniVlp.Kernels;
using MiniVlp.Nn.Pretraining;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Engine.Tests.Pretraining;

/// <summary>Transport plans against their definition, a reference in double precision, and linear programs small enough to enumerate.</summary>
public sealed class OptimalTransportTests
{
    private static readonly int[][] Permutations = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

    public static TheoryData<int, int, int, int> Sizes() => new()
    {
        { 1, 1, 1, 1 }, { 1, 1, 5, 1 }, { 2, 4, 1, 1 }, { 3, 5, 7, 1 }, { 2, 17, 33, 1 }, { 2, 6, 4, 3 },
    };

    /// <summary>The sums of columns are exact, those of rows as far as fifty steps converge; nothing is negative; the values are the reference's.</summary>
    [Theory]
    [MemberData(nameof(Sizes))]
    public void PlansHaveUniformMarginalsAndEqualTheReference(int batch, int rows, int columns, int inner)
    {
        OptimalTransportOptions options = new(InnerIterations: inner);
        using TensorScope scope = new();
        float[] cost = Costs(batch * rows * columns, seed: rows);
        float[] plan = OptimalTransport.Plan(Tensor.FromArray(cost, [batch, rows, columns]), options: options).ToArray();
        for (int b = 0; b < batch; b++)
        {
            double[] expected = Reference(cost.AsSpan(b * rows * columns, rows * columns), rows, columns, options);
            AssertMarginals(plan.AsSpan(b * rows * columns, rows * columns), rows, columns, rows, columns);
            for (int i = 0; i < expected.Length; i++) Assert.Equal(expected[i], plan[(b * rows * columns) + i], 2e-5 / Math.Max(rows, columns));
        }
    }

    /// <summary>A sample with padding gets the plan of the sample without it, and nothing lies on the padding, whatever the cost is there.</summary>
    [Fact]
    public void MaskedRowsAndColumnsGetNothing()
    {
        const int Rows = 5, Columns = 6;
        using TensorScope scope = new();
        float[] cost = Costs(2 * Rows * Columns, seed: 3);
        int[] rowMask = [1, 0, 1, 1, 0, 1, 1, 1, 1, 1], columnMask = [0, 1, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0];
        IndexTensor rowIndices = IndexTensor.FromArray(rowMask, [2, Rows]), columnIndices = IndexTensor.FromArray(columnMask, [2, Columns]);
        Tensor costs = Tensor.FromArray(cost, [2, Rows, Columns]);
        float[] plan = OptimalTransport.Plan(costs, rowIndices, columnIndices).ToArray(), distance = OptimalTransport.Distance(costs, rowIndices, columnIndices).ToArray();
        for (int b = 0; b < 2; b++)
        {
            int sample = b;
            int[] r = [.. Enumerable.Range(0, Rows).Where(i => rowMask[(sample * Rows) + i] == 1)], c = [.. Enumerable.Range(0, Columns).Where(j => columnMask[(sample * Columns) + j] == 1)];
            float[] small = [.. r.SelectMany(i => c.Select(j => cost[(((sample * Rows) + i) * Columns) + j]))];
            float[] expected = OptimalTransport.Plan(Tensor.FromArray(small, [1, r.Length, c.Length])).ToArray();
            double sum = 0;
            for (int i = 0; i < Rows; i++)
            {
                for (int j = 0; j < Columns; j++)
                {
                    float actual = plan[(((b * Rows) + i) * Columns) + j];
                    int row = Array.IndexOf(r, i), column = Array.IndexOf(c, j);
                    if (row < 0 || column < 0) Assert.Equal(0f, actual);
                    else Assert.Equal(expected[(row * c.Length) + column], actual, 1e-6f);
                    sum += (double)actual * cost[(((b * Rows) + i) * Columns) + j];
                }
            }

            Assert.Equal(sum, distance[b], 1e-6);
        }
    }

    /// <summary>A text without a word is no distance from anything: 0, and no NaN in the gradient.</summary>
    [Fact]
    public void ASampleWithoutRowsHasNoDistance()
    {
        using Tape tape = Tape.Record();
        Tensor cost = Tensor.FromArray(Costs(12, seed: 2), [2, 2, 3]);
        cost.NeedsGradient = true;
        Tensor distance = OptimalTransport.Distance(cost, IndexTensor.FromArray([0, 0, 1, 1], [2, 2]));
        Assert.Equal(0f, distance.ToArray()[0]);
        tape.Backward(distance);
        float[] gradient = cost.Gradient!.ToArray();
        Assert.All(gradient[..6], value => Assert.Equal(0f, value));
        Assert.Equal(1, gradient[6..].Sum(), 1e-5);
    }

    /// <summary>What costs nothing on the diagonal and 1 elsewhere is carried along the diagonal: T = 1 / n.</summary>
    [Theory]
    [InlineData(2)]
    [InlineData(7)]
    public void AnIdentityIsCarriedAlongTheDiagonal(int n)
    {
        using TensorScope scope = new();
        float[] cost = [.. Enumerable.Range(0, n * n).Select(i => i / n == i % n ? 0f : 1f)];
        float[] plan = OptimalTransport.Plan(Tensor.FromArray(cost, [1, n, n])).ToArray();
        for (int i = 0; i < plan.Length; i++) Assert.Equal(i / n == i % n ? 1.0 / n : 0, plan[i], 1e-5);
        Assert.Equal(0, OptimalTransport.Distance(Tensor.FromArray(cost, [1, n, n])).Item(), 1e-5);
    }

    /// <summary>With three rows and columns the best plan is a permutation (Birkhoff): the method's value is that of the best of the six, found by trying them.</summary>
    [Fact]
    public void TheDistanceIsTheValueOfTheLinearProgram()
    {
        const int Samples = 50;
        using TensorScope scope = new();
        float[] cost = Costs(Samples * 9, seed: 11);
        float[] fifty = OptimalTransport.Distance(Tensor.FromArray(cost, [Samples, 3, 3])).ToArray();
        float[] thousand = OptimalTransport.Distance(Tensor.FromArray(cost, [Samples, 3, 3]), options: new OptimalTransportOptions(Iterations: 1000)).ToArray();
        for (int b = 0; b < Samples; b++)
        {
            int sample = b;
            double best = Permutations.Min(p => Enumerable.Range(0, 3).Sum(i => (double)cost[(sample * 9) + (3 * i) + p[i]]) / 3);
            Assert.Equal(best, fifty[b], 0.01);
            Assert.Equal(best, thousand[b], 1e-3);
        }
    }

    /// <summary>Two by two in closed form: everything on the cheaper of the two diagonals, half the sum of its costs.</summary>
    [Fact]
    public void TwoByTwoTakesTheCheaperDiagonal()
    {
        using TensorScope scope = new();
        Assert.Equal((0.1 + 0.3) / 2, OptimalTransport.Distance(Tensor.FromArray([0.1f, 0.9f, 0.8f, 0.3f], [1, 2, 2])).Item(), 1e-4);
        Assert.Equal((0.2 + 0.1) / 2, OptimalTransport.Distance(Tensor.FromArray([0.9f, 0.2f, 0.1f, 1.2f], [1, 2, 2])).Item(), 1e-4);
    }

    /// <summary>The gradient of the distance is the plan, and through the cosine it is that of the cost with the plan held fast.</summary>
    [Fact]
    public void TheGradientHoldsThePlanFast()
    {
        const int Rows = 4, Columns = 5, Width = 3;
        float[] x = Costs(2 * Rows * Width, seed: 1), y = Costs(2 * Columns * Width, seed: 2);
        float[] plan, gradientOfX;
        using (Tape tape = Tape.Record())
        {
            Tensor words = Tensor.FromArray(x, [2, Rows, Width]), patches = Tensor.FromArray(y, [2, Columns, Width]);
            words.NeedsGradient = true;
            Tensor cost = tape.Retain(OptimalTransport.CosineCost(words, patches));
            tape.Backward(OptimalTransport.Distance(cost));
            using TensorScope scope = new();
            plan = OptimalTransport.Plan(cost).ToArray();
            Assert.Equal(plan, cost.Gradient!.ToArray());
            gradientOfX = words.Gradient!.ToArray();
        }

        double Value(int changed, double by)
        {
            double sum = 0;
            for (int b = 0; b < 2; b++)
                for (int i = 0; i < Rows; i++)
                    for (int j = 0; j < Columns; j++)
                    {
                        double dot = 0, xx = 0, yy = 0;
                        for (int w = 0; w < Width; w++)
                        {
                            int at = (((b * Rows) + i) * Width) + w;
                            double u = x[at] + (at == changed ? by : 0), v = y[(((b * Columns) + j) * Width) + w];
                            (dot, xx, yy) = (dot + (u * v), xx + (u * u), yy + (v * v));
                        }

                        sum += plan[(((b * Rows) + i) * Columns) + j] * (1 - (dot / Math.Sqrt(xx * yy)));
                    }

            return sum;
        }

        for (int i = 0; i < x.Length; i++) Assert.Equal((Value(i, 1e-5) - Value(i, -1e-5)) / 2e-5, gradientOfX[i], 1e-5);
    }

    [Fact]
    public void NamesWhatDoesNotFit()
    {
        using TensorScope scope = new();
        Tensor cost = Tensor.Zeros([2, 3, 4]);
        Assert.Throws<ShapeException>(() => OptimalTransport.Plan(Tensor.Zeros([3, 4])));
        Assert.Contains("column mask must be [2, 4]", Assert.Throws<ShapeException>(() => OptimalTransport.Plan(cost, null, IndexTensor.FromArray(new int[6], [2, 3]))).Message, StringComparison.Ordinal);
        Assert.Contains("row mask must be [2, 3]", Assert.Throws<ShapeException>(() => OptimalTransport.Plan(cost, IndexTensor.FromArray(new int[8], [2, 4]))).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentOutOfRangeException>(() => OptimalTransport.Plan(cost, options: new OptimalTransportOptions(Beta: 0)));
        Assert.Throws<ShapeException>(() => OptimalTransport.CosineCost(Tensor.Zeros([2, 3, 4]), Tensor.Zeros([2, 3, 5])));
    }

    /// <summary>Nothing is left behind, and a tape that records sees none of the steps.</summary>
    [Fact]
    public void ReturnsAllMemory()
    {
        CpuBackend backend = new(threads: 2, checkGuards: true);
        using Device device = new(backend);
        using (TensorScope scope = new())
        {
            Tensor cost = Tensor.FromArray(Costs(24, seed: 1), [2, 3, 4], device);
            int before = backend.RentedCount;
            OptimalTransport.Plan(cost, IndexTensor.FromArray([1, 1, 0, 1, 1, 1], [2, 3], device)).Dispose();
            Assert.Equal(before + 1, backend.RentedCount);
        }

        Assert.Equal(0, backend.RentedCount);
    }

    private static float[] Costs(int count, int seed)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, count).Select(_ => 2 * random.NextSingle())];
    }

    /// <summary>The method as the paper writes it, one number at a time.</summary>
    private static double[] Reference(ReadOnlySpan<float> cost, int rows, int columns, OptimalTransportOptions options)
    {
        double[] plan = new double[rows * columns], q = new double[plan.Length], delta = new double[rows], sigma = new double[columns];
        Array.Fill(plan, 1);
        Array.Fill(sigma, 1.0 / columns);
        for (int step = 0; step < options.Iterations; step++)
        {
            for (int i = 0; i < q.Length; i++) q[i] = Math.Exp(-cost[i] / options.Beta) * plan[i];
            for (int k = 0; k < options.InnerIterations; k++)
            {
                for (int i = 0; i < rows; i++) delta[i] = 1.0 / rows / Enumerable.Range(0, columns).Sum(j => q[(i * columns) + j] * sigma[j]);
                for (int j = 0; j < columns; j++) sigma[j] = 1.0 / columns / Enumerable.Range(0, rows).Sum(i => q[(i * columns) + j] * delta[i]);
            }

            for (int i = 0; i < q.Length; i++) plan[i] = delta[i / columns] * q[i] * sigma[i % columns];
        }

        return plan;
    }

    private static void AssertMarginals(ReadOnlySpan<float> plan, int rows, int columns, int validRows, int validColumns)
    {
        double[] ofRow = new double[rows], ofColumn = new double[columns];
        for (int i = 0; i < plan.Length; i++)
        {
            Assert.True(plan[i] >= 0);
            ofRow[i / columns] += plan[i];
            ofColumn[i % columns] += plan[i];
        }

        Assert.All(ofColumn, sum => Assert.Equal(1.0 / validColumns, sum, 1e-6));
        Assert.All(ofRow, sum => Assert.Equal(1.0 / validRows, sum, 0.05 / validRows));
    }
}
