using CsCheck;
using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Engine.Tests.Core;

/// <summary>Laws that hold for any input.</summary>
public sealed class PropertyTests
{
    private static readonly Gen<float[]> Values = Gen.Float[-4f, 4f].Array[12];

    [Fact]
    public void SoftmaxIgnoresAShift() => Gen.Select(Values, Gen.Float[-50f, 50f]).Sample((x, shift) =>
    {
        using TensorScope scope = new();
        Tensor rows = Tensor.FromArray(x, [3, 4]);
        AssertClose(rows.Softmax().ToArray(), (rows + shift).Softmax().ToArray(), 2e-5f);
    });

    [Fact]
    public void SoftmaxRowsSumToOne() => Values.Sample(x =>
    {
        using TensorScope scope = new();
        AssertClose([1, 1, 1], Tensor.FromArray(x, [3, 4]).Softmax().Sum(1).ToArray(), 1e-6f);
    });

    [Fact]
    public void LayerNormIgnoresShiftAndScale() => Gen.Select(Values, Gen.Float[-9f, 9f], Gen.Float[0.5f, 4f]).Sample((x, shift, scale) =>
    {
        using TensorScope scope = new();
        Tensor rows = Tensor.FromArray(x, [2, 6]);
        float spread = rows.Variance(1).ToArray().Min();
        if (spread < 0.1f) return;
        AssertClose(rows.LayerNorm(null, null, 0f).ToArray(), ((rows * scale) + shift).LayerNorm(null, null, 0f).ToArray(), 2e-3f);
    });

    [Fact]
    public void BroadcastingEqualsRepetition() => Gen.Select(Values, Gen.Float[-4f, 4f].Array[4]).Sample((x, row) =>
    {
        using TensorScope scope = new();
        Tensor a = Tensor.FromArray(x, [3, 4]), b = Tensor.FromArray(row, [4]);
        Tensor repeated = b.Reshape([1, 4]).Expand(3);
        Assert.Equal((a + repeated).ToArray(), (a + b).ToArray());
        Assert.Equal((a * repeated).ToArray(), (a * b).ToArray());
        Assert.Equal((repeated - a).ToArray(), (b - a).ToArray());
    });

    [Fact]
    public void TransposingTwiceChangesNothing() => Values.Sample(x =>
    {
        using TensorScope scope = new();
        Tensor tensor = Tensor.FromArray(x, [1, 3, 4]);
        Assert.Equal(x, tensor.Transpose().Transpose().ToArray());
        Assert.Equal(x, tensor.Permute(2, 0, 1).Permute(1, 2, 0).ToArray());
    });

    [Fact]
    public void ATransposeFlagEqualsATranspose() => Gen.Select(Values, Values).Sample((x, y) =>
    {
        using TensorScope scope = new();
        Tensor a = Tensor.FromArray(x, [3, 4]), b = Tensor.FromArray(y, [3, 4]);
        AssertClose(a.MatMul(b.Transpose()).ToArray(), a.MatMul(b, transposeRight: true).ToArray(), 1e-5f);
        AssertClose(a.Transpose().MatMul(b).ToArray(), a.MatMul(b, transposeLeft: true).ToArray(), 1e-5f);
    });

    /// <summary>A block without positions treats tokens as a set: permuted in, permuted out.</summary>
    [Fact]
    public void ABlockCommutesWithPermutations() => Gen.Select(Gen.Float[-2f, 2f].Array[5 * 8], Gen.Shuffle(new[] { 0, 1, 2, 3, 4 })).Sample((x, order) =>
    {
        using TensorScope scope = new();
        using TransformerBlock block = new(new() { Width = 8, Heads = 2, HiddenWidth = 16, Activation = Activation.Gelu, Names = TransformerBlockNames.Clip });
        block.Initialize(Device.Cpu, 3);
        Tensor tokens = Tensor.FromArray(x, [5, 8]);
        IndexTensor ids = IndexTensor.FromArray(order, [5]);
        Tensor after = block.Forward(tokens.Reshape([1, 5, 8])).Reshape([5, 8]).GatherRows(ids);
        Tensor before = block.Forward(tokens.GatherRows(ids).Reshape([1, 5, 8]));
        AssertClose(after.ToArray(), before.ToArray(), 1e-4f);
    }, iter: 30);

    /// <summary>What comes later cannot be seen: changing it changes nothing before it.</summary>
    [Fact]
    public void ACausalBlockDoesNotLookAhead() => Gen.Select(Gen.Float[-2f, 2f].Array[6 * 8], Gen.Int[1, 5], Gen.Float[-2f, 2f]).Sample((x, position, change) =>
    {
        using TensorScope scope = new();
        using TransformerBlock block = new(new() { Width = 8, Heads = 2, HiddenWidth = 16, Activation = Activation.Gelu, Names = TransformerBlockNames.Clip });
        block.Initialize(Device.Cpu, 3);
        float[] first = block.Forward(Tensor.FromArray(x, [1, 6, 8]), AttentionMask.CausalOnly).ToArray();
        float[] changed = [.. x];
        for (int i = position * 8; i < changed.Length; i++) changed[i] += change;
        float[] second = block.Forward(Tensor.FromArray(changed, [1, 6, 8]), AttentionMask.CausalOnly).ToArray();
        Assert.Equal(first[..(position * 8)], second[..(position * 8)]);
    }, iter: 30);

    private static void AssertClose(float[] expected, float[] actual, float tolerance)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++) Assert.True(Math.Abs(expected[i] - actual[i]) <= tolerance * Math.Max(1, Math.Abs(expected[i])), $"[{i}]: {expected[i]} and {actual[i]}");
    }
}
