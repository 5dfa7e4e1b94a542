using MiniVlp.Autograd;

namespace MiniVlp.Engine.Tests.Goldens;

public sealed partial class OpGoldenTests
{
    [GoldenOp("matmul")]
    private static void MatMul(OpGolden golden) => golden.Expect("y", golden["x"].MatMul(golden["y"]));

    [GoldenOp("linear")]
    private static void Linear(OpGolden golden) => golden.Expect("y", golden["x"].Linear(golden["weight"], golden.Optional("bias")));
}
