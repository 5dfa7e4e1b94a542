using MiniVlp.Autograd;
using MiniVlp.Tensors;

namespace MiniVlp.Engine.Tests.Goldens;

public sealed partial class OpGoldenTests
{
    [GoldenOp("swiglu")]
    private static void SwiGlu(OpGolden golden) => golden.Expect("y", golden["gate"].SwiGlu(golden["up"]));

    /// <summary>The golden has [batch, heads, tokens, size], this engine has heads side by side.</summary>
    [GoldenOp("rope")]
    private static void Rope(OpGolden golden)
    {
        Tensor x = golden["x"];
        int batch = x.Shape[0], heads = x.Shape[1], tokens = x.Shape[2], size = x.Shape[3];
        Tensor y = x.Permute(0, 2, 1, 3).Reshape([batch, tokens, heads * size]).Rope(golden.Indices("position_ids"), heads, golden.Float("theta"));
        golden.Expect("y", y.Reshape([batch, tokens, heads, size]).Permute(0, 2, 1, 3));
    }
}
