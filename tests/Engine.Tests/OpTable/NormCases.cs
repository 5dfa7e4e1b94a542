using MiniVlp.Autograd;
using MiniVlp.Tensors;

namespace MiniVlp.Engine.Tests.OpTable;

public static class NormCases
{
    private static readonly Shape[] Shapes = [[1], [17], [3, 31], [2, 3, 33], [0, 7], [5, 1], [4, 64]];

    public static IEnumerable<OpCase> Cases =>
    [
        .. Shapes.Select(s => new OpCase($"LayerNorm {s}", [s, [s[-1]], [s[-1]]], t => t[0].LayerNorm(t[1], t[2], 1e-5f), x => LayerNorm(x[0], x[1], x[2], 1e-5))),
        new("LayerNorm plain", [[3, 17]], t => t[0].LayerNorm(null, null, 1e-6f), x => LayerNorm(x[0], Ones(17), Zeros(17), 1e-6)),
        new("LayerNorm no bias", [[3, 17], [17]], t => t[0].LayerNorm(t[1], null, 1e-12f), x => LayerNorm(x[0], x[1], Zeros(17), 1e-12)),
        new("LayerNorm far from zero", [[3, 65]], t => t[0].LayerNorm(), x => LayerNorm(x[0], Ones(65), Zeros(65), 1e-5)) { Range = (99f, 101f), Tolerance = 1e-4, GradientTolerance = 1e-4 },
        new("LayerNorm in blocks", [[700, 97], [97], [97]], t => t[0].LayerNorm(t[1], t[2]), x => LayerNorm(x[0], x[1], x[2], 1e-5)) { GradientSamples = 4 },
        .. Shapes.Select(s => new OpCase($"RmsNorm {s}", [s, [s[-1]]], t => t[0].RmsNorm(t[1], 1e-6f), x => RmsNorm(x[0], x[1], 1e-6))),
        new("RmsNorm plain", [[3, 17]], t => t[0].RmsNorm(), x => RmsNorm(x[0], Ones(17), 1e-6)),
        .. Shapes.Select(s => new OpCase($"L2Normalize {s}", [s], t => t[0].L2Normalize(), x => L2Normalize(x[0], s[-1], 1e-12)) { Range = (0.3f, 2f) }),
        new("L2Normalize below epsilon", [[3, 5]], t => t[0].L2Normalize(100f), x => L2Normalize(x[0], 5, 100)),
        .. Shapes.Select(s => new OpCase($"Softmax {s}", [s], t => t[0].Softmax(), x => DoubleMath.Rows(x[0], s[-1], Softmax))),
        new("Softmax large", [[3, 19]], t => t[0].Softmax(), x => DoubleMath.Rows(x[0], 19, Softmax)) { Range = (-300f, 300f) },
        .. new[] { 0, 1, -2 }.Select(axis => new OpCase($"Softmax axis {axis}", [[3, 7, 5]], t => t[0].Softmax(axis), x => AlongAxis(x[0], [3, 7, 5], axis, Softmax))),
        .. Shapes.Select(s => new OpCase($"LogSoftmax {s}", [s], t => t[0].LogSoftmax(), x => DoubleMath.Rows(x[0], s[-1], LogSoftmax))),
        new("LogSoftmax large", [[3, 19]], t => t[0].LogSoftmax(), x => DoubleMath.Rows(x[0], 19, LogSoftmax)) { Range = (-300f, 300f) },
        new("LogSoftmax axis 0", [[3, 7, 5]], t => t[0].LogSoftmax(0), x => AlongAxis(x[0], [3, 7, 5], 0, LogSoftmax)),
        .. Shapes.Select(s => new OpCase($"LogSumExp {s}", [s], t => t[0].LogSumExp(), x => DoubleMath.Rows(x[0], s[-1], row => [LogSum(row)]))),
    ];

    private static double[] Ones(int count) => [.. Enumerable.Repeat(1.0, count)];

    private static double[] Zeros(int count) => new double[count];

    private static double[] LayerNorm(double[] x, double[] weight, double[] bias, double epsilon) => DoubleMath.Rows(x, weight.Length, row =>
    {
        double mean = row.Average(), variance = row.Average(v => (v - mean) * (v - mean));
        return [.. row.Select((v, i) => ((v - mean) / Math.Sqrt(variance + epsilon) * weight[i]) + bias[i])];
    });

    private static double[] RmsNorm(double[] x, double[] weight, double epsilon) => DoubleMath.Rows(x, weight.Length, row =>
    {
        double square = row.Average(v => v * v);
        return [.. row.Select((v, i) => v / Math.Sqrt(square + epsilon) * weight[i])];
    });

    private static double[] L2Normalize(double[] x, int width, double epsilon) => DoubleMath.Rows(x, width, row =>
    {
        double norm = Math.Sqrt(row.Sum(v => v * v));
        return [.. row.Select(v => v / Math.Max(norm, epsilon))];
    });

    private static double LogSum(double[] row) => row.Max() is var max ? max + Math.Log(row.Sum(v => Math.Exp(v - max))) : 0;

    private static double[] Softmax(double[] row) => [.. LogSoftmax(row).Select(Math.Exp)];

    private static double[] LogSoftmax(double[] row) => [.. row.Select(v => v - LogSum(row))];

    private static double[] AlongAxis(double[] x, Shape shape, int axis, Func<double[], double[]> function)
    {
        int outer = shape.LengthBefore(axis), size = shape[axis], inner = shape.LengthAfter(axis);
        double[] y = new double[x.Length];
        for (int o = 0; o < outer; o++)
        {
            for (int i = 0; i < inner; i++)
            {
                double[] line = function([.. Enumerable.Range(0, size).Select(r => x[(((o * size) + r) * inner) + i])]);
                for (int r = 0; r < size; r++) y[(((o * size) + r) * inner) + i] = line[r];
            }
        }

        return y;
    }
}
