using MiniVlp.Engine.Tests.OpTable;
using MiniVlp.Kernels;
using MiniVlp.Nn.Pretraining;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Engine.Tests.Pretraining;

/// <summary>The memory bank against its formula.</summary>
[Collection("op table")]
public sealed class MemoryBankTests
{
    private static Device TestDevice => TestDevices.Get(CpuBackend.WidestTier, 2);

    [Fact]
    public void An_update_averages_and_normalises_the_rows_it_names_and_leaves_the_others()
    {
        using MemoryBank bank = new(4, 2, TestDevice, momentum: 0.5f, seed: 2);
        float[] before = bank.Features.ToArray();
        foreach (float[] row in before.Chunk(2)) Assert.Equal(1, (row[0] * (double)row[0]) + (row[1] * (double)row[1]), 1e-6);
        using TensorScope scope = new();
        bank.Update(Tensor.FromArray([1, 0, 0, 1], [2, 2], TestDevice), IndexTensor.FromArray([3, 1], [2], TestDevice));
        float[] after = bank.Features.ToArray();
        Assert.Equal(before[..2], after[..2]);
        Assert.Equal(before[4..6], after[4..6]);
        foreach ((int row, double x, double y) in new[] { (3, 1.0, 0.0), (1, 0.0, 1.0) })
        {
            (double a, double b) = ((0.5 * before[2 * row]) + (0.5 * x), (0.5 * before[(2 * row) + 1]) + (0.5 * y));
            double norm = Math.Sqrt((a * a) + (b * b));
            Assert.Equal(a / norm, after[2 * row], 1e-6);
            Assert.Equal(b / norm, after[(2 * row) + 1], 1e-6);
        }

        Assert.Equal(after[6..8], bank.Of(IndexTensor.FromArray([3], [1], TestDevice)).ToArray());
    }

    [Fact]
    public void Negatives_are_none_of_the_batch_and_all_others_equally_likely()
    {
        const int draws = 5000;
        using MemoryBank bank = new(10, 1, TestDevice);
        bank.Features.CopyFrom([.. Enumerable.Range(0, 10).Select(i => (float)i)]);
        Generator generator = new(7);
        int[] counts = new int[10];
        for (int i = 0; i < draws; i++)
        {
            using TensorScope scope = new();
            float[] drawn = bank.SampleOthers(4, [2, 9, 2], generator).ToArray();
            Assert.Equal(4, drawn.Distinct().Count());
            foreach (float feature in drawn) counts[(int)feature]++;
        }

        ChiSquare.Check(counts, [.. Enumerable.Range(0, 10).Select(i => i is 2 or 9 ? 0 : 1.0 / 8)], 4 * draws);
        using TensorScope rest = new();
        Assert.Equal(8, bank.SampleOthers(8, [2, 9], generator).Shape[0]);
        Assert.Throws<ArgumentOutOfRangeException>(() => bank.SampleOthers(9, [2, 9], generator));
    }

    [Fact]
    public void Misfits_are_refused()
    {
        using MemoryBank bank = new(4, 2, TestDevice);
        using TensorScope scope = new();
        Assert.Throws<ShapeException>(() => bank.Update(Tensor.Zeros([2, 3], TestDevice), IndexTensor.FromArray([0, 1], [2], TestDevice)));
        Assert.Throws<ShapeException>(() => bank.Update(Tensor.Zeros([2, 2], TestDevice), IndexTensor.FromArray([0], [1], TestDevice)));
        Assert.Throws<ArgumentOutOfRangeException>(() => bank.Update(Tensor.Zeros([1, 2], TestDevice), IndexTensor.FromArray([4], [1], TestDevice)));
        Assert.Throws<ArgumentOutOfRangeException>(() => new MemoryBank(4, 2, TestDevice, momentum: 1.5f));
    }
}
