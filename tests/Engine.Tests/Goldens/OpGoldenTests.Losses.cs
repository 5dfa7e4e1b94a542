using MiniVlp.Autograd;
using MiniVlp.Kernels;

namespace MiniVlp.Engine.Tests.Goldens;

public sealed partial class OpGoldenTests
{
    [GoldenOp("cross_entropy")]
    private static void CrossEntropy(OpGolden golden)
        => golden.Expect("y", golden["x"].CrossEntropy(
            golden.Indices("target"),
            golden.Int("ignore_index"),
            golden.HasArgument("label_smoothing") ? golden.Float("label_smoothing") : 0f,
            ReductionOf(golden),
            golden.Optional("weight")));

    [GoldenOp("cross_entropy_soft")]
    private static void CrossEntropySoft(OpGolden golden)
        => golden.Expect("y", golden["x"].CrossEntropy(golden["target"], reduction: ReductionOf(golden)));

    [GoldenOp("kl_div")]
    private static void KlDivergence(OpGolden golden) => golden.Expect("y", golden["x"].KlDivergence(golden["target"]));

    [GoldenOp("bce_with_logits", "mse", "l1", "smooth_l1")]
    private static void PairLoss(OpGolden golden)
        => golden.Expect("y", golden.Op switch
        {
            "bce_with_logits" => golden["x"].BinaryCrossEntropyWithLogits(golden["target"], ReductionOf(golden)),
            "mse" => golden["x"].MeanSquaredError(golden["target"], ReductionOf(golden)),
            "l1" => golden["x"].L1(golden["target"], ReductionOf(golden)),
            _ => golden["x"].SmoothL1(golden["target"], golden.Float("beta"), ReductionOf(golden)),
        });

    private static Reduction ReductionOf(OpGolden golden)
    {
        string name = golden.HasArgument("reduction") ? golden.Argument("reduction").GetString()! : "mean";
        return name switch
        {
            "mean" => Reduction.Mean,
            "sum" => Reduction.Sum,
            "none" => Reduction.None,
            _ => throw new NotSupportedException($"{golden.Name}: unknown reduction {name}."),
        };
    }
}
