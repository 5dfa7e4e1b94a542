using MiniVlp.Autograd;
using MiniVlp.Tensors;

namespace MiniVlp.Engine.Tests.Goldens;

public sealed partial class OpGoldenTests
{
    /// <summary>A convolution whose stride is its kernel is a cut into patches and a linear layer; other convolutions come with ResNet.</summary>
    [GoldenOp("conv2d.patch", "conv2d.pointwise")]
    private static void PatchConvolution(OpGolden golden)
    {
        Tensor x = golden["x"], weight = golden["weight"];
        int outputs = weight.Shape[0], patch = weight.Shape[2];
        Tensor patches = x.Patchify(patch).Linear(weight.Reshape([outputs, weight.Shape.LengthAfter(0)]), golden["bias"]);
        golden.Expect("y", patches.Transpose().Reshape([x.Shape[0], outputs, x.Shape[2] / patch, x.Shape[3] / patch]));
    }

    /// <summary>Patches in time, height and width: [b, c, t, h, w] is cut along each axis by views and permutations.</summary>
    [GoldenOp("conv3d")]
    private static void VideoPatchConvolution(OpGolden golden)
    {
        Tensor x = golden["x"], weight = golden["weight"];
        int batch = x.Shape[0], channels = x.Shape[1], outputs = weight.Shape[0], depth = weight.Shape[2], side = weight.Shape[3];
        int times = x.Shape[2] / depth, rows = x.Shape[3] / side, columns = x.Shape[4] / side, size = depth * side * side;
        Tensor y = x.Reshape([batch * channels, times, depth, rows, side, columns * side]).Permute(0, 1, 3, 2, 4, 5);
        y = y.Reshape([batch * channels * times * rows, depth * side, columns, side]).Permute(0, 2, 1, 3);
        y = y.Reshape([batch, channels, times * rows * columns, size]).Permute(0, 2, 1, 3);
        y = y.Reshape([batch, times * rows * columns, channels * size]).Linear(weight.Reshape([outputs, channels * size]));
        golden.Expect("y", y.Transpose().Reshape([batch, outputs, times, rows, columns]));
    }

    /// <summary>Fused attention for the result, its composition for the weights, which the fused form never has in memory.</summary>
    [GoldenOp("multi_head_attention")]
    private static void MultiHeadAttention(OpGolden golden)
    {
        Tensor query = golden["query"], keys = golden["keys"], weight = golden["in_proj_weight"], bias = golden["in_proj_bias"];
        IndexTensor mask = golden.Indices("mask");
        int heads = golden.Int("heads"), batch = query.Shape[0], width = query.Shape[2], size = width / heads;
        Tensor q = query.Linear(weight.Slice(0, width), bias.Slice(0, width));
        Tensor k = keys.Linear(weight.Slice(width, width), bias.Slice(width, width));
        Tensor v = keys.Linear(weight.Slice(2 * width, width), bias.Slice(2 * width, width));
        Tensor y = q.Attention(k, v, new AttentionOptions(heads) { KeyMask = mask });
        golden.Expect("y", y.Linear(golden["out_proj_weight"], golden["out_proj_bias"]));

        Tensor scores = Split(q).MatMul(Split(k), transposeRight: true, scale: 1f / MathF.Sqrt(size));
        Tensor hidden = Tensor.FromArray([.. mask.ToArray().Select(m => m == 0 ? float.NegativeInfinity : 0f)], [batch, 1, 1, keys.Shape[1]], golden.Device);
        golden.Expect("weights", (scores + hidden.BroadcastTo([batch, heads * query.Shape[1], 1, keys.Shape[1]]).Reshape(scores.Shape)).Softmax().Mean(1));

        Tensor Split(Tensor x) => x.Reshape([batch, x.Shape[1], heads, size]).Permute(0, 2, 1, 3);
    }

    /// <summary>How ALBEF draws hard negatives: by similarity inside the batch, never the pair itself.</summary>
    [GoldenOp("hard_negative_weights")]
    private static void HardNegativeWeights(OpGolden golden)
    {
        int[] ids = golden.Indices("image_ids").ToArray();
        int batch = ids.Length;
        Tensor others = Mask((row, column) => row != column), otherIds = Mask((row, column) => ids[row] != ids[column]);
        foreach ((string direction, string hardest) in new[] { ("i2t", "hardest_text"), ("t2i", "hardest_image") })
        {
            Tensor weights = golden["sim_" + direction].Narrow(1, 0, batch).Softmax();
            golden.Expect("weights_" + direction, weights * others);
            golden.Expect($"weights_{direction}_offset", (weights + 1e-4f) * others);
            golden.Expect($"weights_{direction}_ids", weights * otherIds);
            golden.Expect(hardest, (weights * others).ArgMaxLastAxis().ToArray());
        }

        Tensor Mask(Func<int, int, bool> keep)
            => Tensor.FromArray([.. Enumerable.Range(0, batch * batch).Select(i => keep(i / batch, i % batch) ? 1f : 0f)], [batch, batch], golden.Device);
    }
}
