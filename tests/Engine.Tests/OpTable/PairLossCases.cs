using MiniVlp.Autograd;
using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Engine.Tests.OpTable;

public static class PairLossCases
{
    public static IEnumerable<OpCase> Cases =>
    [
        .. Losses("MeanSquaredError", (x, t, r) => x.MeanSquaredError(t, r), (x, t) => (x - t) * (x - t)),
        .. Losses("L1", (x, t, r) => x.L1(t, r), (x, t) => Math.Abs(x - t)),
        .. Losses("SmoothL1", (x, t, r) => x.SmoothL1(t, reduction: r), (x, t) => SmoothL1(x - t, 1)),
        .. Losses("SmoothL1 half", (x, t, r) => x.SmoothL1(t, 0.5f, r), (x, t) => SmoothL1(x - t, 0.5)),
        .. Losses("BinaryCrossEntropyWithLogits", (x, t, r) => x.BinaryCrossEntropyWithLogits(t, r), (x, t) => DoubleMath.Softplus(x) - (x * t)),
        new(
            "BinaryCrossEntropyWithLogits large logits", [[33], [33]], t => t[0].BinaryCrossEntropyWithLogits(t[1]),
            x => [x[0].Zip(x[1], (v, t) => DoubleMath.Softplus(v) - (v * t)).Average()]) { Range = (-200f, 200f) },
        new("MeanSquaredError of a tensor and itself", [[17]], t => t[0].MeanSquaredError(t[0]), _ => [0]),
        new(
            "MeanSquaredError two chunks", [[20_011], [20_011]], t => t[0].MeanSquaredError(t[1]),
            x => [x[0].Zip(x[1], (v, t) => (v - t) * (v - t)).Average()]) { GradientSamples = 5 },
    ];

    private static IEnumerable<OpCase> Losses(string name, Func<Tensor, Tensor, Reduction, Tensor> op, Func<double, double, double> reference)
    {
        Shape[] shapes = [[], [1], [3, 31]];
        foreach (Shape shape in shapes)
        {
            foreach (Reduction reduction in Enum.GetValues<Reduction>())
            {
                yield return new OpCase($"{name} {shape} {reduction}", [shape, shape], t => op(t[0], t[1], reduction), x =>
                {
                    double[] losses = [.. x[0].Zip(x[1], reference)];
                    return reduction == Reduction.None ? losses : [reduction == Reduction.Mean ? losses.Average() : losses.Sum()];
                });
            }
        }

        yield return new OpCase($"{name} of nothing", [[0], [0]], t => op(t[0], t[1], Reduction.Sum), _ => [0]);
    }

    private static double SmoothL1(double d, double beta) => Math.Abs(d) < beta ? d * d / (2 * beta) : Math.Abs(d) - (beta / 2);
}
