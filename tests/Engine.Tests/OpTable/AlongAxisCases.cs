using MiniVlp.Autograd;
using MiniVlp.Tensors;

namespace MiniVlp.Engine.Tests.OpTable;

public static class AlongAxisCases
{
    private static readonly Shape[] Shapes = [[17], [3, 31], [2, 5, 33]];

    public static IEnumerable<OpCase> Cases =>
    [
        .. Each("Max", 1e-6, (t, axis) => t.Max(axis), (x, s, axis) => DoubleMath.AlongAxis(x, s, axis, v => v.Max())),
        .. Each("Max kept", 1e-6, (t, axis) => t.Max(axis, keep: true), (x, s, axis) => DoubleMath.AlongAxis(x, s, axis, v => v.Max())),
        .. Each("Variance", 1e-5, (t, axis) => t.Variance(axis), (x, s, axis) => DoubleMath.AlongAxis(x, s, axis, v => Variance(v, 0))),
        .. Each("Variance unbiased", 1e-5, (t, axis) => t.Variance(axis, keep: true, unbiased: true), (x, s, axis) => DoubleMath.AlongAxis(x, s, axis, v => Variance(v, 1))),
        .. Each("CumulativeSum", 1e-5, (t, axis) => t.CumulativeSum(axis), CumulativeSum),
        new("CumulativeSum nothing", [[3, 0]], t => t[0].CumulativeSum(1), _ => []),
        .. new[] { 0, 1, 3, 31 }.Select(k => new OpCase($"TopK {k}", [[3, 31]], t => t[0].TopK(k).Values, x => DoubleMath.Rows(x[0], 31, row => [.. row.OrderDescending().Take(k)])) { Step = 1e-6 }),
        new("GroupNorm", [[2, 6, 3, 5], [6], [6]], t => t[0].GroupNorm(3, t[1], t[2]), x => GroupNorm(x[0], x[1], x[2], 30, 15)),
        new("GroupNorm one group, plain", [[2, 6]], t => t[0].GroupNorm(1), x => GroupNorm(x[0], [1, 1, 1, 1, 1, 1], new double[6], 6, 1)),
        new("ResizeBicubic", [[2, 1, 5, 3]], t => t[0].ResizeBicubic(7, 8), x => Resize(x[0], 5, 3, 7, 8, cubic: true)),
        new("ResizeBicubic smaller", [[1, 2, 9, 20]], t => t[0].ResizeBicubic(4, 7), x => Resize(x[0], 9, 20, 4, 7, cubic: true)),
        new("ResizeBicubic antialias same size", [[1, 1, 4, 5]], t => t[0].ResizeBicubic(4, 5, antialias: true) + 0f, x => x[0]),
        new("ResizeBilinear", [[2, 1, 5, 3]], t => t[0].ResizeBilinear(7, 8), x => Resize(x[0], 5, 3, 7, 8, cubic: false)),
        new("ResizeBilinear wide", [[1, 1, 3, 4]], t => t[0].ResizeBilinear(2, 37), x => Resize(x[0], 3, 4, 2, 37, cubic: false)),
        new("ResizeNearest", [[1, 2, 2, 3]], t => t[0].ResizeNearest(4, 6), x => [.. Enumerable.Range(0, 48).Select(i => x[0][(i / 24 * 6) + (i / 6 % 4 / 2 * 3) + (i % 6 / 2)])]),
        new("ResizeNearest one pixel", [[1, 1, 1, 1]], t => t[0].ResizeNearest(3, 2), x => [.. Enumerable.Repeat(x[0][0], 6)]),
    ];

    private static IEnumerable<OpCase> Each(string name, double step, Func<Tensor, int, Tensor> op, Func<double[], Shape, int, double[]> reference)
    {
        foreach (Shape shape in Shapes)
        {
            for (int axis = 0; axis < shape.Rank; axis++)
            {
                int a = axis;
                yield return new OpCase($"{name} {shape} axis {a}", [shape], t => op(t[0], a), x => reference(x[0], shape, a)) { Step = step };
            }
        }
    }

    private static double Variance(IEnumerable<double> values, int correction)
    {
        double[] v = [.. values];
        double mean = v.Average();
        return v.Sum(x => (x - mean) * (x - mean)) / (v.Length - correction);
    }

    private static double[] CumulativeSum(double[] x, Shape shape, int axis)
    {
        int inner = shape.LengthAfter(axis), size = shape[axis];
        double[] y = [.. x];
        for (int i = 0; i < y.Length; i++)
            if (i / inner % size > 0) y[i] += y[i - inner];
        return y;
    }

    private static double[] GroupNorm(double[] x, double[] weight, double[] bias, int groupLength, int places) =>
    [
        .. DoubleMath.Rows(x, groupLength, row =>
        {
            double mean = row.Average(), deviation = Math.Sqrt(row.Average(v => (v - mean) * (v - mean)) + 1e-5);
            return [.. row.Select(v => (v - mean) / deviation)];
        }).Select((v, i) => (v * weight[i / places % weight.Length]) + bias[i / places % weight.Length]),
    ];

    /// <summary>Interpolation straight from its definition, with the border repeated.</summary>
    private static double[] Resize(double[] x, int h, int w, int height, int width, bool cubic) => DoubleMath.Rows(x, h * w, map =>
    {
        double[] y = new double[height * width];
        for (int i = 0; i < height; i++)
            for (int j = 0; j < width; j++) y[(i * width) + j] = At(((i + 0.5) * h / height) - 0.5, ((j + 0.5) * w / width) - 0.5);
        return y;

        double At(double row, double column)
        {
            double sum = 0;
            for (int r = -3; r < h + 3; r++)
                for (int c = -3; c < w + 3; c++)
                    sum += Kernel(row - r) * Kernel(column - c) * map[(Math.Clamp(r, 0, h - 1) * w) + Math.Clamp(c, 0, w - 1)];
            return sum;
        }

        double Kernel(double d) => Math.Abs(d) switch
        {
            var t when !cubic => Math.Max(0, 1 - t),
            < 1 and var t => (1.25 * t * t * t) - (2.25 * t * t) + 1,
            < 2 and var t => (-0.75 * t * t * t) + (3.75 * t * t) - (6 * t) + 3,
            _ => 0,
        };
    });
}
