using MiniVlp.Autograd;
using MiniVlp.Tensors;

namespace MiniVlp.Engine.Tests.OpTable;

public static class MovementCases
{
    public static IEnumerable<OpCase> Cases =>
    [
        new("Reshape", [[3, 10]], t => t[0].Reshape([2, 15]).Square(), x => [.. x[0].Select(v => v * v)]),
        new("Reshape used twice", [[3, 10]], t => t[0].Reshape([30]) * t[0].Reshape([30]), x => [.. x[0].Select(v => v * v)]),
        new("Reshape alone", [[3, 10]], t => t[0].Reshape([5, 6]), x => x[0]),
        new("Slice", [[5, 7]], t => t[0].Slice(1, 3), x => x[0][7..28]),
        new("Slice parts", [[5, 7]], t => t[0].Slice(0, 2) * t[0].Slice(3, 2), x => [.. Enumerable.Range(0, 14).Select(i => x[0][i] * x[0][21 + i])]),
        new("Slice nothing", [[5, 7]], t => t[0].Slice(2, 0), _ => []),
        .. new[] { 0, 1, 2, -1 }.Select(axis => new OpCase($"Narrow axis {axis}", [[4, 5, 19]], t => t[0].Narrow(axis, 1, 2), x => Narrow(x[0], [4, 5, 19], axis, 1, 2))),
        new("Concatenate rows", [[2, 7], [3, 7]], t => Tensor.Concatenate(0, t[0], t[1]), x => [.. x[0], .. x[1]]),
        new("Concatenate columns", [[2, 7], [2, 1], [2, 17]], t => Tensor.Concatenate(-1, t), x => [.. Enumerable.Range(0, 2).SelectMany(r => (double[])[.. x[0][(r * 7)..((r * 7) + 7)], x[1][r], .. x[2][(r * 17)..((r * 17) + 17)]])]),
        new("Concatenate itself", [[2, 3, 5]], t => Tensor.Concatenate(1, t[0], t[0]), x => [.. Enumerable.Range(0, 2).SelectMany(b => (double[])[.. x[0][(b * 15)..((b * 15) + 15)], .. x[0][(b * 15)..((b * 15) + 15)]])]),
        Permuted([3, 17], 1, 0),
        Permuted([2, 3, 17], 0, 2, 1),
        Permuted([2, 3, 4, 5], 0, 2, 1, 3),
        Permuted([2, 3, 4, 5], 3, 1, 0, 2),
        Permuted([2, 2, 3, 1, 3, 2], 5, 0, 4, 2, 1, 3),
        new("Transpose", [[2, 3, 17]], t => t[0].Transpose(), x => Permute(x[0], [2, 3, 17], [0, 2, 1])),
        new("Prepend", [[2, 3, 5], [5]], t => t[0].Prepend(t[1]), x => [.. x[1], .. x[0][..15], .. x[1], .. x[0][15..]]),
        new("Token", [[2, 3, 17]], t => t[0].Token(1), x => [.. x[0][17..34], .. x[0][68..85]]),
        new("TokenAt", [[2, 3, 17]], t => t[0].TokenAt(Ids(t, [2, 0], [2])), x => [.. x[0][34..51], .. x[0][51..68]]),
        new("GatherTokens", [[2, 3, 2]], t => t[0].GatherTokens(Ids(t, [2, 0, 2, 1, 1, 0], [2, 3])), x => [.. Rows(x[0], 2, 2, 0, 2, 4, 4, 3)]),
        new("GatherRows", [[5, 17]], t => t[0].GatherRows(Ids(t, [4, 0, 4, 2], [2, 2])), x => [.. Rows(x[0], 17, 4, 0, 4, 2)]),
        new("GatherRows nothing", [[5, 17]], t => t[0].GatherRows(Ids(t, [], [0])), _ => []),
        new("GatherRows many", [[300, 67]], t => t[0].GatherRows(Ids(t, Many(700, 300), [700])), x => [.. Rows(x[0], 67, Many(700, 300))]) { GradientSamples = 5 },
        new("ScatterAddRows", [[2, 2, 17]], t => t[0].ScatterAddRows(Ids(t, [3, 0, 3, 1], [2, 2]), 5), x => Scatter(x[0], 17, [3, 0, 3, 1], 5)),
        new("ScatterAddRows many", [[700, 67]], t => t[0].ScatterAddRows(Ids(t, Many(700, 300), [700]), 300), x => Scatter(x[0], 67, Many(700, 300), 300)) { GradientSamples = 5 },
        new("Expand", [[1, 3, 5]], t => t[0].Expand(4), x => [.. x[0], .. x[0], .. x[0], .. x[0]]),
        new("BroadcastTo row", [[5]], t => t[0].BroadcastTo([3, 5]), x => [.. x[0], .. x[0], .. x[0]]),
        new("BroadcastTo column", [[3, 1]], t => t[0].BroadcastTo([3, 19]), x => [.. x[0].SelectMany(v => Enumerable.Repeat(v, 19))]),
    ];

    private static OpCase Permuted(Shape shape, params int[] axes)
        => new($"Permute {shape} {string.Join(' ', axes)}", [shape], t => t[0].Permute(axes), x => Permute(x[0], shape, axes));

    private static IndexTensor Ids(Tensor[] t, int[] ids, Shape shape) => IndexTensor.FromArray(ids, shape, t[0].Device);

    private static int[] Many(int count, int limit) => [.. Enumerable.Range(0, count).Select(i => i * i * 7 % limit)];

    private static IEnumerable<double> Rows(double[] x, int width, params int[] rows) => rows.SelectMany(r => x[(r * width)..((r + 1) * width)]);

    private static double[] Scatter(double[] x, int width, int[] ids, int rows)
    {
        double[] y = new double[rows * width];
        for (int i = 0; i < x.Length; i++) y[(ids[i / width] * width) + (i % width)] += x[i];
        return y;
    }

    private static double[] Narrow(double[] x, Shape shape, int axis, int start, int count)
    {
        int inner = shape.LengthAfter(axis), size = shape[axis];
        return [.. x.Where((_, i) => i / inner % size >= start && i / inner % size < start + count)];
    }

    private static double[] Permute(double[] x, Shape shape, int[] axes)
    {
        Shape result = Shape.Create([.. axes.Select(a => shape[a])]);
        double[] y = new double[x.Length];
        for (int n = 0; n < y.Length; n++)
        {
            int index = 0;
            for (int i = 0; i < axes.Length; i++) index += n / result.LengthAfter(i) % result[i] * shape.LengthAfter(axes[i]);
            y[n] = x[index];
        }

        return y;
    }
}
