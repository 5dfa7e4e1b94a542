using MiniVlp.Autograd;
using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Engine.Tests.OpTable;

public static class CrossEntropyCases
{
    public static IEnumerable<OpCase> Cases =>
    [
        .. Labels("plain", 17, 31),
        .. Labels("two classes", 33, 2),
        .. Labels("one row", 1, 33),
        .. Labels("smoothed", 7, 33, labelSmoothing: 0.1f),
        .. Labels("weighted", 7, 17, weighted: true),
        .. Labels("smoothed and weighted", 7, 33, labelSmoothing: 0.2f, weighted: true),
        .. Labels("two chunks", 600, 31),
        new("CrossEntropy no rows", [[0, 5]], t => t[0].CrossEntropy(IndexTensor.FromArray([], [0], t[0].Device), reduction: Reduction.Sum), _ => [0]),
        new(
            "CrossEntropy batch of sequences", [[2, 3, 5]],
            t => t[0].CrossEntropy(IndexTensor.FromArray([1, -100, 2, 4, 0, -100], [2, 3], t[0].Device), reduction: Reduction.None),
            x => Reference(x[0], 5, Hard([1, -100, 2, 4, 0, -100], 5, 0), [1, -100, 2, 4, 0, -100], null, Reduction.None)),
        new(
            "CrossEntropy all ignored, sum", [[2, 3]],
            t => t[0].CrossEntropy(IndexTensor.FromArray([-100, -100], [2], t[0].Device), reduction: Reduction.Sum), _ => [0]),
        new(
            "CrossEntropy large logits", [[9, 33]],
            t => t[0].CrossEntropy(IndexTensor.FromArray([.. Enumerable.Range(0, 9)], [9], t[0].Device)),
            x => Reference(x[0], 33, Hard([.. Enumerable.Range(0, 9)], 33, 0), [.. Enumerable.Range(0, 9)], null, Reduction.Mean)) { Range = (-300f, 300f) },
        .. Soft("soft", 9, 33, 0f, false),
        .. Soft("soft, smoothed, weighted", 9, 17, 0.1f, true),
        new("KlDivergence", [[9, 17]], t => t[0].KlDivergence(Constant(t[0], 9, 17)), x => KlReference(x[0], 9, 17)),
        new("KlDivergence row mask", [[3, 5]], t => t[0].KlDivergence(Constant(t[0], 3, 5), rowMask: IndexTensor.FromArray([1, 0, 1], [3], t[0].Device)),
            x => [(KlReference(x[0][..5], Targets(3, 5)[..5]) + KlReference(x[0][10..], Targets(3, 5)[10..])) / 2]),
    ];

    private static IEnumerable<OpCase> Labels(string name, int rows, int classes, float labelSmoothing = 0f, bool weighted = false)
    {
        int[] labels = [.. Enumerable.Range(0, rows).Select(i => i % 5 == 3 ? -7 : (i * 7) % classes)];
        float[]? weights = weighted ? Weights(classes) : null;
        return Enum.GetValues<Reduction>().Select(reduction => new OpCase(
            $"CrossEntropy {name}, {reduction}",
            [[rows, classes]],
            t => t[0].CrossEntropy(
                IndexTensor.FromArray(labels, [rows], t[0].Device), -7, labelSmoothing, reduction,
                weights is null ? null : Tensor.FromArray(weights, [classes], t[0].Device)),
            x => Reference(x[0], classes, Hard(labels, classes, labelSmoothing), labels, weights, reduction))
        { GradientSamples = 60 });
    }

    private static IEnumerable<OpCase> Soft(string name, int rows, int classes, float labelSmoothing, bool weighted)
    {
        float[]? weights = weighted ? Weights(classes) : null;
        double[] targets = [.. Targets(rows, classes).Select(t => ((1 - labelSmoothing) * t) + (labelSmoothing / classes))];
        return Enum.GetValues<Reduction>().Select(reduction => new OpCase(
            $"CrossEntropy {name}, {reduction}",
            [[rows, classes]],
            t => t[0].CrossEntropy(
                Constant(t[0], rows, classes), labelSmoothing, reduction, weights is null ? null : Tensor.FromArray(weights, [classes], t[0].Device)),
            x => Reference(x[0], classes, targets, null, weights, reduction))
        { GradientSamples = 60 });
    }

    private static float[] Weights(int classes) => [.. Enumerable.Range(0, classes).Select(c => 0.5f + (c % 4 * 0.25f))];

    /// <summary>Distributions that differ from row to row; one class of each has probability 0.</summary>
    private static double[] Targets(int rows, int classes) => [.. Enumerable.Range(0, rows).SelectMany(r =>
    {
        double[] mass = [.. Enumerable.Range(0, classes).Select(c => (double)((r + (c * 3)) % classes))];
        return mass.Select(m => (double)(float)(m / mass.Sum()));
    })];

    private static Tensor Constant(Tensor like, int rows, int classes)
        => Tensor.FromArray([.. Targets(rows, classes).Select(t => (float)t)], [rows, classes], like.Device);

    private static double[] Hard(int[] labels, int classes, double smoothing) => [.. labels.SelectMany(label
        => Enumerable.Range(0, classes).Select(c => label < 0 ? 0 : (label == c ? 1 - smoothing : 0) + (smoothing / classes)))];

    private static double[] Reference(double[] x, int classes, double[] targets, int[]? labels, float[]? weights, Reduction reduction)
    {
        int rows = x.Length / classes;
        double[] losses = new double[rows];
        double mass = 0;
        for (int i = 0; i < rows; i++)
        {
            if (labels is not null && labels[i] < 0) continue;
            mass += labels is not null && weights is not null ? weights[labels[i]] : 1;
            double logSum = LogSumExp(x[(i * classes)..((i + 1) * classes)]);
            for (int c = 0; c < classes; c++)
                losses[i] -= (weights?[c] ?? 1) * targets[(i * classes) + c] * (x[(i * classes) + c] - logSum);
        }

        return reduction switch
        {
            Reduction.None => losses,
            Reduction.Sum => [losses.Sum()],
            _ => [losses.Sum() / mass],
        };
    }

    private static double[] KlReference(double[] x, int rows, int classes)
        => [Enumerable.Range(0, rows).Average(r => KlReference(x[(r * classes)..((r + 1) * classes)], Targets(rows, classes)[(r * classes)..((r + 1) * classes)]))];

    private static double KlReference(double[] x, double[] target)
    {
        double logSum = LogSumExp(x);
        return target.Select((t, c) => t == 0 ? 0 : t * (Math.Log(t) - x[c] + logSum)).Sum();
    }

    private static double LogSumExp(double[] x)
    {
        double largest = x.Max();
        return largest + Math.Log(x.Sum(v => Math.Exp(v - largest)));
    }
}
