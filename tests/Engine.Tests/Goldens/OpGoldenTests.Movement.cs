using MiniVlp.Autograd;
using MiniVlp.Tensors;

namespace MiniVlp.Engine.Tests.Goldens;

public sealed partial class OpGoldenTests
{
    [GoldenOp("embedding")]
    private static void Embedding(OpGolden golden)
        => golden.Expect("y", golden["weight"].GatherRows(golden.Indices("ids"), golden.HasArgument("padding_idx") ? golden.Int("padding_idx") : null));

    [GoldenOp("gather")]
    private static void Gather(OpGolden golden) => golden.Expect("y", golden["x"].GatherTokens(golden.Indices("index")));

    [GoldenOp("max", "cumsum", "var", "group_norm")]
    private static void AlongAxis(OpGolden golden)
    {
        Tensor x = golden["x"];
        switch (golden.Op)
        {
            case "max":
                golden.Expect("y", x.Max(golden.Int("axis")));
                break;
            case "cumsum":
                golden.Expect("y", x.CumulativeSum(golden.Int("axis")));
                break;
            case "var":
                golden.Expect("biased", x.Variance(golden.Int("axis")));
                golden.Expect("unbiased", x.Variance(golden.Int("axis"), unbiased: true));
                break;
            default:
                golden.Expect("y", x.GroupNorm(golden.Int("groups"), golden["weight"], golden["bias"], golden.Float("eps")));
                break;
        }
    }

    [GoldenOp("interpolate")]
    private static void Interpolate(OpGolden golden)
    {
        Tensor x = golden["x"];
        int height = golden.Argument("size")[0].GetInt32(), width = golden.Argument("size")[1].GetInt32();
        golden.Expect("y", golden.Argument("mode").GetString() switch
        {
            "bicubic" => x.ResizeBicubic(height, width, golden.HasArgument("antialias") && golden.Argument("antialias").GetBoolean()),
            "bilinear" => x.ResizeBilinear(height, width, golden.Argument("align_corners").GetBoolean()),
            _ => x.ResizeNearest(height, width),
        });
    }

    /// <summary>[b, c r², h, w] to [b, c, h r, w r]: two views around one permutation.</summary>
    [GoldenOp("pixel_shuffle")]
    private static void PixelShuffle(OpGolden golden)
    {
        Tensor x = golden["x"];
        int r = golden.Int("factor"), batch = x.Shape[0], channels = x.Shape[1] / (r * r), height = x.Shape[2], width = x.Shape[3];
        Tensor y = x.Reshape([batch, channels, r, r, height, width]).Permute(0, 1, 4, 2, 5, 3);
        golden.Expect("y", y.Reshape([batch, channels, height * r, width * r]));
    }

    /// <summary>Rolls height and width of [b, h, w, c] by -shift, then cuts windows in row-major order.</summary>
    [GoldenOp("shifted_window_partition")]
    private static void WindowPartition(OpGolden golden)
    {
        int window = golden.Int("window"), shift = golden.Int("shift");
        Tensor x = Roll(Roll(golden["x"], 1, shift), 2, shift);
        int batch = x.Shape[0], height = x.Shape[1], width = x.Shape[2], channels = x.Shape[3];
        Tensor y = x.Reshape([batch, height / window, window, width / window, window, channels]).Permute(0, 1, 3, 2, 4, 5);
        golden.Expect("windows", y.Reshape([batch * (height / window) * (width / window), window, window, channels]));

        static Tensor Roll(Tensor x, int axis, int by) => Tensor.Concatenate(axis, x.Narrow(axis, by, x.Shape[axis] - by), x.Narrow(axis, 0, by));
    }

    /// <summary>Random masking of MAE from its noise: the patches with the smallest noise stay, in that order.</summary>
    [GoldenOp("mae_masking")]
    private static void MaeMasking(OpGolden golden)
    {
        Tensor noise = golden["noise"];
        int batch = noise.Shape[0], tokens = noise.Shape[1], keep = golden.Int("keep");
        IndexTensor shuffled = (-noise).TopK(tokens).Positions;
        golden.Expect("ids_shuffle", shuffled.ToArray());
        Tensor places = Tensor.FromArray([.. shuffled.ToArray().Select(i => (float)i)], noise.Shape, golden.Device);
        IndexTensor restored = (-places).TopK(tokens).Positions;
        golden.Expect("ids_restore", restored.ToArray());
        golden.Expect("ids_keep", (-noise).TopK(keep).Positions.ToArray());
        golden.Expect("mask", (float[])[.. restored.ToArray().Select(rank => rank < keep ? 0f : 1f)]);
        Tensor picked = noise.Reshape([batch, tokens, 1]).GatherTokens((-noise).TopK(keep).Positions);
        Xunit.Assert.Equal([.. (-(-noise).TopK(keep).Values).ToArray()], picked.ToArray());
    }
}
