using CsCheck;
using MiniVlp.Data.Datasets;
using Xunit;

namespace MiniVlp.Data.Tests.Datasets;

public class ShuffledIndexTests
{
    [Fact]
    public void EveryEpochHoldsEveryIndexOnce()
    {
        Gen.Select(Gen.Int[1, 60], Gen.Int[1, 70], Gen.ULong).Sample((count, size, seed) =>
        {
            ShuffledIndex index = new(count, seed);
            for (int epoch = 0; epoch < 3; epoch++)
            {
                List<int> seen = [];
                while (index.Epoch == epoch)
                {
                    seen.AddRange(index.Take(size));
                }

                Assert.Equal(Enumerable.Range(0, count), seen.Order());
            }
        });
    }

    [Fact]
    public void EpochsDifferAndSeedsDiffer()
    {
        ShuffledIndex a = new(100, seed: 1);
        ShuffledIndex b = new(100, seed: 2);
        int[] first = a.Take(100);
        Assert.NotEqual(first, a.Take(100));
        Assert.NotEqual(first, b.Take(100));
        Assert.Equal(first, new ShuffledIndex(100, seed: 1).Take(100));
        Assert.Equal(Enumerable.Range(0, 100), new ShuffledIndex(100, seed: 1, shuffle: false).Take(100));
    }

    [Fact]
    public void RestoreContinuesExactly()
    {
        Gen.Select(Gen.Int[2, 50], Gen.Int[1, 20], Gen.Int[0, 12], Gen.Bool).Where((count, size, _, _) => size <= count).Sample((count, size, steps, dropLast) =>
        {
            ShuffledIndex whole = new(count, seed: 7);
            for (int i = 0; i < steps; i++)
            {
                whole.Take(size, dropLast);
            }

            ShuffledIndex resumed = new(count, seed: 7);
            resumed.Restore(whole.Epoch, whole.Position);
            for (int i = 0; i < 5; i++)
            {
                Assert.Equal(whole.Take(size, dropLast), resumed.Take(size, dropLast));
                Assert.Equal((whole.Epoch, whole.Position), (resumed.Epoch, resumed.Position));
            }
        });
    }

    [Fact]
    public void DropLastGivesOnlyFullBatches()
    {
        ShuffledIndex index = new(10, seed: 3);
        for (int i = 0; i < 9; i++)
        {
            Assert.Equal(i / 3, index.Epoch);
            Assert.Equal(3, index.Take(3, dropLast: true).Length);
        }

        Assert.Throws<ArgumentOutOfRangeException>(() => index.Take(11, dropLast: true));
        Assert.Throws<ArgumentOutOfRangeException>(() => index.Restore(0, 10));
    }

    [Fact]
    public void PositionsAreUniform()
    {
        // 4,000 permutations of 5: each of the 25 (index, place) cells expects 800 with standard deviation 25.
        int[,] cells = new int[5, 5];
        ShuffledIndex index = new(5, seed: 11);
        for (int epoch = 0; epoch < 4000; epoch++)
        {
            int[] order = index.Take(5);
            for (int place = 0; place < 5; place++)
            {
                cells[order[place], place]++;
            }
        }

        Assert.All(cells.Cast<int>(), count => Assert.InRange(count, 800 - 150, 800 + 150));
    }
}
