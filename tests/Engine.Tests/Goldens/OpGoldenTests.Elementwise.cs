using MiniVlp.Autograd;
using MiniVlp.Tensors;

namespace MiniVlp.Engine.Tests.Goldens;

public sealed partial class OpGoldenTests
{
    [GoldenOp("gelu", "gelu_tanh", "quick_gelu", "silu", "sigmoid", "tanh", "log_sigmoid", "softplus", "relu6", "exp", "erf")]
    private static void Activation(OpGolden golden)
    {
        Tensor x = golden["x"];
        golden.Expect("y", golden.Op switch
        {
            "gelu" => x.Gelu(),
            "gelu_tanh" => x.GeluTanh(),
            "quick_gelu" => x.QuickGelu(),
            "silu" => x.Silu(),
            "sigmoid" => x.Sigmoid(),
            "tanh" => x.Tanh(),
            "log_sigmoid" => x.LogSigmoid(),
            "softplus" => x.Softplus(),
            "relu6" => x.Relu6(),
            "exp" => (golden.Float("input_scale") * x).Exp(),
            _ => x.Erf(),
        });
    }
}
