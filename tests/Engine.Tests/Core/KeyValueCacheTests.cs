using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Engine.Tests.Core;

/// <summary>Decoding token by token gives what the whole sequence gives at once.</summary>
public sealed class KeyValueCacheTests
{
    private const int Width = 12;
    private const int Batch = 3;
    private const int Tokens = 7;

    private static readonly TransformerBlockOptions Options = new()
    {
        Width = Width,
        Heads = 3,
        HiddenWidth = 20,
        Activation = Activation.Gelu,
        Names = TransformerBlockNames.Bert,
        AttentionInitializer = Initializers.Normal(0.5f),
        HiddenInitializer = Initializers.Normal(0.3f),
        ResidualInitializer = Initializers.Normal(0.3f),
    };

    [Theory]
    [InlineData(NormPlacement.Pre, new[] { 1, 1, 1, 1, 1, 1, 1 })]
    [InlineData(NormPlacement.Post, new[] { 3, 1, 2, 1 })]
    [InlineData(NormPlacement.Post, new[] { 7 })]
    public void PiecesGiveWhatTheWholeGives(NormPlacement placement, int[] pieces)
    {
        using TensorScope scope = new();
        TransformerBlock[] blocks = Blocks(placement, contextWidth: null);
        Tensor x = Random([Batch, Tokens, Width], 1);
        float[] expected = Run(blocks, x, null, default, null).ToArray();
        using KeyValueCache cache = new();
        List<Tensor> parts = [];
        int start = 0;
        foreach (int count in pieces)
        {
            Assert.Equal(start, cache.Length);
            parts.Add(Run(blocks, x.Narrow(1, start, count), null, default, cache));
            start += count;
        }

        Assert.Equal(Tokens, cache.Length);
        Assert.Equal(Batch, cache.Rows);
        AssertClose(expected, Tensor.Concatenate(1, [.. parts]).ToArray());
    }

    [Fact]
    public void TheContextIsReadOnceAndMayBeGoneAfterwards()
    {
        using TensorScope scope = new();
        TransformerBlock[] blocks = Blocks(NormPlacement.Post, contextWidth: 5);
        Tensor x = Random([Batch, Tokens, Width], 1), context = Random([Batch, 4, 5], 2);
        IndexTensor mask = IndexTensor.FromArray([1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 0], [Batch, 4]);
        float[] expected = Run(blocks, x, context, new AttentionMask(KeyMask: mask), null).ToArray();
        using KeyValueCache cache = new();
        Tensor first = Run(blocks, x.Narrow(1, 0, 4), context, new AttentionMask(KeyMask: mask), cache);
        context.CopyFrom(new float[context.Shape.Length]);
        Tensor second = Run(blocks, x.Narrow(1, 4, 3), context, new AttentionMask(KeyMask: mask), cache);
        AssertClose(expected, Tensor.Concatenate(1, first, second).ToArray());
    }

    [Fact]
    public void GatheredRowsContinueTheRowsTheyCameFrom()
    {
        using TensorScope scope = new();
        TransformerBlock[] blocks = Blocks(NormPlacement.Post, contextWidth: 5);
        Tensor x = Random([Batch, Tokens, Width], 1), context = Random([Batch, 4, 5], 2);
        int[] ones = [1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 0];
        IndexTensor mask = IndexTensor.FromArray(ones, [Batch, 4]);
        AttentionMask contextMask = new(KeyMask: mask);

        // Twice: rows repeated out of order, then reordered within the same rows of the context and one dropped.
        int[][] gathers = [[2, 0, 0, 2, 1], [3, 2, 1, 0], [0, 1, 2, 3], [3]];
        int[] origin = [0, 1, 2];
        using KeyValueCache cache = new();
        Run(blocks, x.Narrow(1, 0, 3), context, contextMask, cache);
        int position = 3;
        foreach (int[] rows in gathers)
        {
            cache.Gather(rows);
            origin = [.. rows.Select(row => origin[row])];
            Assert.Equal(rows.Length, cache.Rows);
            Tensor sequences = Rows(x, origin), contexts = Rows(context, origin);
            IndexTensor masks = IndexTensor.FromArray([.. origin.SelectMany(row => ones[(row * 4)..((row + 1) * 4)])], [origin.Length, 4]);
            float[] whole = Run(blocks, sequences, contexts, new AttentionMask(KeyMask: masks), null).Narrow(1, position, 1).ToArray();
            AssertClose(whole, Run(blocks, sequences.Narrow(1, position, 1), context, contextMask, cache).ToArray());
            position++;
        }
    }

    [Fact]
    public void WhatItKeepsOutlivesScopesAndGoesBackWithIt()
    {
        TransformerBlock[] blocks = Blocks(NormPlacement.Pre, contextWidth: null);
        using KeyValueCache cache = new();
        float[] values = Random([Batch, Tokens, Width], 1).ToArray();
        float[] expected;
        using (new TensorScope()) expected = Run(blocks, Tensor.FromArray(values, [Batch, Tokens, Width]), null, default, null).Token(Tokens - 1).ToArray();
        float[] last = [];
        for (int i = 0; i < Tokens; i++)
        {
            using TensorScope step = new();
            Tensor token = Tensor.FromArray(values, [Batch, Tokens, Width]).Narrow(1, i, 1);
            last = Run(blocks, token, null, default, cache).ToArray();
        }

        AssertClose(expected, last);
        cache.Dispose();
        Assert.Equal((0, 0), (cache.Rows, cache.Length));
    }

    [Fact]
    public void ItIsRefusedWhereATapeRecords()
    {
        TransformerBlock[] blocks = Blocks(NormPlacement.Pre, contextWidth: null);
        using KeyValueCache cache = new();
        using Tape tape = Tape.Record();
        Tensor x = Random([Batch, 1, Width], 1);
        Assert.Contains("tape", Assert.Throws<InvalidOperationException>(() => Run(blocks, x, null, default, cache)).Message, StringComparison.Ordinal);
        using (Tape.NoGradient()) Run(blocks, x, null, default, cache);
        Assert.Equal(1, cache.Length);
    }

    [Fact]
    public void MistakesAreNamed()
    {
        using TensorScope scope = new();
        TransformerBlock[] blocks = Blocks(NormPlacement.Pre, contextWidth: null);
        using KeyValueCache cache = new();
        Assert.Throws<InvalidOperationException>(() => cache.Gather([0]));
        Run(blocks, Random([Batch, 1, Width], 1), null, default, cache);
        Assert.Throws<ArgumentOutOfRangeException>(() => cache.Gather([]));
        Assert.Throws<ArgumentOutOfRangeException>(() => cache.Gather([0, Batch]));
        Assert.Contains("Gather", Assert.Throws<ShapeException>(() => Run(blocks, Random([Batch + 1, 1, Width], 1), null, default, cache)).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => TensorScope.Release(Random([2, 3], 1).Reshape([6])));
    }

    private static TransformerBlock[] Blocks(NormPlacement placement, int? contextWidth)
    {
        TransformerBlock[] blocks = [.. Enumerable.Range(0, 2).Select(_ => new TransformerBlock(Options with { NormPlacement = placement, ContextWidth = contextWidth }))];
        for (int i = 0; i < blocks.Length; i++) blocks[i].Initialize(Device.Cpu, i + 1);
        return blocks;
    }

    private static Tensor Run(TransformerBlock[] blocks, Tensor x, Tensor? context, AttentionMask contextMask, KeyValueCache? cache)
    {
        foreach (TransformerBlock block in blocks) x = block.Forward(x, AttentionMask.CausalOnly, context, contextMask, cache);
        return x;
    }

    private static Tensor Random(Shape shape, ulong seed) => Tensor.RandomNormal(shape, generator: new Generator(seed));

    private static Tensor Rows(Tensor x, int[] rows)
        => x.Reshape([x.Shape[0], x.Shape[1] * x.Shape[2]]).GatherRows(IndexTensor.FromArray(rows, [rows.Length])).Reshape([rows.Length, x.Shape[1], x.Shape[2]]);

    private static void AssertClose(float[] expected, float[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++) Assert.True(Math.Abs(expected[i] - actual[i]) <= 2e-6f * (1 + Math.Abs(expected[i])), $"element {i}: {expected[i]} and {actual[i]}");
    }
}
