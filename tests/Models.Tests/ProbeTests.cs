using MiniVlp.Models.Probes;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Models.Tests;

/// <summary>Probes of features: cases worked out by hand, a set that a line separates, labels that mean nothing.</summary>
public sealed class ProbeTests
{
    /// <summary>
    /// The query (1, 1) has the cosines √½, √½ and -√½ with the bank. With τ = ½ the weights are 1, 1 and exp(-2√½ / ½) = 0.0591057, so that class 1, which has the
    /// last two, gets 1.0591057 of 2.0591057.
    /// </summary>
    [Theory]
    [InlineData(3, 0.5, 1.0591057 / 2.0591057, 1)]
    [InlineData(20, 0.5, 1.0591057 / 2.0591057, 1)]    // there are only three
    [InlineData(2, 0.5, 0.5, 0)]                       // a tie goes to the lower class
    [InlineData(1, 0.5, 0, 0)]                         // of two equally near the earlier one votes
    public void NeighborsVoteByTheirCosine(int neighbors, double temperature, double shareOfOne, int winner)
    {
        using Tensor bank = Tensor.FromArray([2, 0, 0, 3, -0.5f, 0], [3, 2]), query = Tensor.FromArray([7, 7], [1, 2]);
        using NearestNeighborProbe probe = new(bank, [0, 1, 1], 2, new NearestNeighborOptions { Neighbors = neighbors, Temperature = temperature });
        double[] votes = probe.Votes(query)[0];
        Assert.Equal(shareOfOne, votes[1], 1e-6);
        Assert.Equal(1 - shareOfOne, votes[0], 1e-6);
        Assert.Equal([winner], probe.Predict(query));
    }

    /// <summary>At a low temperature the nearest one decides, at a high one the majority.</summary>
    [Theory]
    [InlineData(0.001, 0)]
    [InlineData(0.07, 0)]
    [InlineData(100, 1)]
    public void TheTemperatureDecidesBetweenTheNearestAndTheMajority(double temperature, int winner)
    {
        using Tensor bank = Tensor.FromArray([1, 0, 0.6f, 0.8f, 0.6f, -0.8f], [3, 2]), query = Tensor.FromArray([1, 0], [1, 2]);
        using NearestNeighborProbe probe = new(bank, [0, 1, 1], 2, new NearestNeighborOptions { Temperature = temperature });
        Assert.Equal([winner], probe.Predict(query));
    }

    /// <summary>More queries than go through at once, and a bank that finds itself.</summary>
    [Fact]
    public void ManyQueriesFindThemselves()
    {
        using Tensor features = Tensor.FromArray(Normal(600 * 5, seed: 1), [600, 5]);
        int[] labels = [.. Enumerable.Range(0, 600).Select(i => i % 3)];
        using NearestNeighborProbe probe = new(features, labels, 3, new NearestNeighborOptions { Neighbors = 1 });
        Assert.Equal(1, probe.Accuracy(features, labels));
        Assert.Equal(1 / 3.0, probe.Accuracy(features, [.. labels.Select(label => label == 0 ? 0 : 3 - label)]), 1e-12);
    }

    /// <summary>
    /// Two rows at ±1, already standardised. The first step of Adam moves each weight by the learning rate against the sign of its gradient, and the biases, whose
    /// gradients cancel, not at all: logits are ∓0.01 x.
    /// </summary>
    [Fact]
    public void OneStepOfALinearProbeIsKnown()
    {
        using Tensor features = Tensor.FromArray([-1, 1], [2, 1]), query = Tensor.FromArray([2], [1, 1]);
        using LinearProbe probe = LinearProbe.Fit(features, [0, 1], 2, new LinearProbeOptions { Epochs = 1, LearningRate = 0.01, WeightDecays = [0], ValidationShare = 0.5 });
        float[] logits = probe.Forward(query).ToArray();
        Assert.Equal(-0.02, logits[0], 1e-6);
        Assert.Equal(0.02, logits[1], 1e-6);
    }

    [Fact]
    public void BothProbesSolveWhatALineSeparates()
    {
        (float[] train, int[] trainLabels) = Clusters(200, seed: 2);
        (float[] test, int[] testLabels) = Clusters(100, seed: 3);
        using Tensor features = Tensor.FromArray(train, [200, 4]), unseen = Tensor.FromArray(test, [100, 4]);
        using LinearProbe linear = LinearProbe.Fit(features, trainLabels, 3);
        using NearestNeighborProbe nearest = new(features, trainLabels, 3);
        Assert.Equal(1, linear.Accuracy(unseen, testLabels));
        Assert.Equal(1, nearest.Accuracy(unseen, testLabels));
        Assert.Equal(1, linear.Chosen!.ValidationAccuracy);
        Assert.Equal([0, 0.01, 0.1, 1], linear.Candidates.Select(candidate => candidate.WeightDecay));
    }

    /// <summary>Labels that are drawn without looking at the features: nothing is to be found, and both probes find nothing, within four deviations.</summary>
    [Fact]
    public void BothProbesAreAtChanceWhereThereIsNothingToLearn()
    {
        const int Count = 400;
        Random random = new(4);
        int[] Draw() => [.. Enumerable.Range(0, Count).Select(_ => random.Next(4))];
        using Tensor features = Tensor.FromArray(Normal(Count * 8, seed: 5), [Count, 8]), unseen = Tensor.FromArray(Normal(Count * 8, seed: 6), [Count, 8]);
        int[] labels = Draw(), unseenLabels = Draw();
        using LinearProbe linear = LinearProbe.Fit(features, labels, 4, new LinearProbeOptions { Epochs = 30 });
        using NearestNeighborProbe nearest = new(features, labels, 4);
        double tolerance = 4 * Math.Sqrt(0.25 * 0.75 / Count);
        Assert.Equal(0.25, linear.Accuracy(unseen, unseenLabels), tolerance);
        Assert.Equal(0.25, nearest.Accuracy(unseen, unseenLabels), tolerance);
    }

    [Fact]
    public void TheSameSeedGivesTheSameBitsForAnyNumberOfThreads()
    {
        (float[] values, int[] labels) = Clusters(300, seed: 7);
        float[][] Fit(int threads, int seed)
        {
            using Device device = Device.CreateCpu(threads);
            using Tensor features = Tensor.FromArray(values, [300, 4], device);
            using LinearProbe probe = LinearProbe.Fit(features, labels, 3, new LinearProbeOptions { Epochs = 5, BatchSize = 64, Seed = seed });
            return [.. probe.NamedParameters().Select(named => named.Parameter.Value.ToArray())];
        }

        Assert.Equal(Fit(1, 1), Fit(2, 1));
        Assert.NotEqual(Fit(2, 1), Fit(2, 2));
    }

    /// <summary>A feature that never varies, and features a million times larger than others, change nothing: each column counts by its deviation.</summary>
    [Fact]
    public void ColumnsCountByTheirDeviation()
    {
        (float[] values, int[] labels) = Clusters(120, seed: 8);
        float[] scaled = [.. values.Select((value, i) => i % 4 == 0 ? value * 1e6f : value)];
        float[] widened = new float[120 * 5];
        for (int i = 0; i < widened.Length; i++) widened[i] = i % 5 == 4 ? 12345.678f : values[(i / 5 * 4) + (i % 5)];
        float[] Logits(float[] features, int width)
        {
            using Tensor x = Tensor.FromArray(features, [120, width]);
            using LinearProbe probe = LinearProbe.Fit(x, labels, 3, new LinearProbeOptions { Epochs = 20 });
            return probe.Forward(x).ToArray();
        }

        float[] expected = Logits(values, 4);
        foreach (float[] actual in (float[][])[Logits(scaled, 4), Logits(widened, 5)])
            for (int i = 0; i < expected.Length; i++) Assert.Equal(expected[i], actual[i], 1e-3f);
    }

    [Fact]
    public void WrongDataIsRefused()
    {
        using Tensor features = Tensor.Zeros([3, 2]), narrow = Tensor.Zeros([1, 1]);
        Assert.Throws<ShapeException>(() => new NearestNeighborProbe(features, [0, 1], 2));
        Assert.Throws<ShapeException>(() => LinearProbe.Fit(features, [0, 1], 2));
        Assert.Contains("number 1 is 2", Assert.Throws<ArgumentException>(() => LinearProbe.Fit(features, [0, 2, 1], 2)).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => new NearestNeighborProbe(features, [0, -1, 1], 2));
        Assert.Throws<ArgumentException>(() => new NearestNeighborProbe(features, [0, 0, 0], 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => new NearestNeighborProbe(features, [0, 1, 1], 2, new NearestNeighborOptions { Neighbors = 0 }));
        Assert.Throws<ArgumentOutOfRangeException>(() => new NearestNeighborProbe(features, [0, 1, 1], 2, new NearestNeighborOptions { Temperature = 0 }));
        Assert.Throws<ArgumentOutOfRangeException>(() => LinearProbe.Fit(features, [0, 1, 1], 2, new LinearProbeOptions { ValidationShare = 1 }));
        Assert.Throws<ArgumentException>(() => LinearProbe.Fit(features, [0, 1, 1], 2, new LinearProbeOptions { WeightDecays = [] }));
        using NearestNeighborProbe probe = new(features, [0, 1, 1], 2);
        Assert.Throws<ShapeException>(() => probe.Predict(narrow));
        using LinearProbe linear = LinearProbe.Fit(features, [0, 1, 1], 2, new LinearProbeOptions { Epochs = 1 });
        Assert.Throws<ShapeException>(() => linear.Predict(narrow));
        Assert.Throws<ArgumentException>(() => linear.Accuracy(features, [0]));
    }

    /// <summary>Three clusters far from each other, in directions that differ too.</summary>
    private static (float[] Features, int[] Labels) Clusters(int count, int seed)
    {
        float[] features = Normal(count * 4, seed);
        int[] labels = [.. Enumerable.Range(0, count).Select(i => i % 3)];
        for (int i = 0; i < count; i++) features[(i * 4) + labels[i]] += 12;
        return (features, labels);
    }

    private static float[] Normal(int count, int seed)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble())))];
    }
}
