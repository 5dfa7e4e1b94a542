using Xunit;

namespace MiniVlp.Data.Tests.Images;

public sealed class SampleRandomTests
{
    [Fact]
    public void WholeNumbersAreEquallyLikely()
    {
        SampleRandom random = new(1);
        int[] counts = new int[7];
        const int draws = 70_000;
        for (int i = 0; i < draws; i++)
        {
            counts[random.Next(3, 10) - 3]++;
        }

        // Chi-square with 6 degrees of freedom: 22.5 is exceeded with probability 0.001.
        double expected = draws / 7.0;
        Assert.InRange(counts.Sum(c => (c - expected) * (c - expected) / expected), 0, 22.5);
    }

    [Fact]
    public void RealsAreUniformAndNeighbouringSeedsUnrelated()
    {
        double sum = 0;
        double squares = 0;
        double product = 0;
        const int count = 100_000;
        SampleRandom previous = SampleRandom.For(1, 0, -1);
        double last = previous.NextDouble();
        for (int i = 0; i < count; i++)
        {
            SampleRandom random = SampleRandom.For(1, 0, i);
            double value = random.NextDouble();
            Assert.InRange(value, 0, 1 - 1e-16);
            sum += value / count;
            squares += value * value / count;
            product += (value - 0.5) * (last - 0.5) / count;
            last = value;
        }

        Assert.InRange(sum, 0.495, 0.505);
        Assert.InRange(squares, (1 / 3.0) - 0.005, (1 / 3.0) + 0.005);
        Assert.InRange(product * 12, -0.015, 0.015);
    }

    [Fact]
    public void SeedEpochAndIndexAllCount()
    {
        HashSet<ulong> first = [];
        for (ulong seed = 0; seed < 20; seed++)
        {
            for (int epoch = 0; epoch < 20; epoch++)
            {
                for (int index = 0; index < 20; index++)
                {
                    SampleRandom random = SampleRandom.For(seed, epoch, index);
                    first.Add(random.NextUInt64());
                }
            }
        }

        Assert.Equal(8000, first.Count);
    }

    [Fact]
    public void ShuffleKeepsEveryValue()
    {
        int[] values = [.. Enumerable.Range(0, 100)];
        SampleRandom random = new(4);
        random.Shuffle(values.AsSpan());
        Assert.NotEqual(Enumerable.Range(0, 100), values);
        Assert.Equal(Enumerable.Range(0, 100), values.Order());
    }

    [Fact]
    public void RangesCoverTheirEnds()
    {
        SampleRandom random = new(2);
        HashSet<int> seen = [];
        for (int i = 0; i < 200; i++)
        {
            seen.Add(random.Next(3));
            Assert.InRange(random.NextSingle(), 0, 1 - 1e-8f);
            Assert.Equal(5, random.Next(5, 6));
            Assert.InRange(random.Next(int.MinValue, int.MaxValue), int.MinValue, int.MaxValue - 1);
        }

        Assert.Equal([0, 1, 2], seen.Order());
        Assert.Throws<ArgumentOutOfRangeException>(() => random.Next(0));
    }
}
