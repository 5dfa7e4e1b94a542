using MiniVlp.Autograd;
using MiniVlp.Tensors;

namespace MiniVlp.Engine.Tests.Goldens;

public sealed partial class OpGoldenTests
{
    [GoldenOp("layer_norm", "rms_norm", "l2_normalize")]
    private static void Norm(OpGolden golden)
    {
        Tensor x = golden["x"];
        golden.Expect("y", golden.Op switch
        {
            "layer_norm" => x.LayerNorm(golden.Optional("weight"), golden.Optional("bias"), golden.Float("eps")),
            "rms_norm" => x.RmsNorm(golden["weight"], golden.Float("eps")),
            _ => x.L2Normalize(golden.Float("eps")),
        });
    }

    [GoldenOp("softmax", "log_softmax", "logsumexp")]
    private static void Softmax(OpGolden golden)
    {
        Tensor x = golden["x"];
        golden.Expect("y", golden.Op switch
        {
            "softmax" => x.Softmax(golden.Int("axis")),
            "log_softmax" => x.LogSoftmax(golden.Int("axis")),
            _ => x.LogSumExp(),
        });
    }
}
