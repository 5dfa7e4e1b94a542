using MiniVlp.Data.Metrics;
using Xunit;

namespace MiniVlp.Data.Tests.Metrics;

public sealed class ConfusionMatrixTests
{
    [Fact]
    public void AccuracyStandsBesideMajorityAndChance()
    {
        // Truths 0, 0, 0, 1, 2; answers 0, 0, 1, 1, 0: 3 of 5 right, always answering 0 would get 3 of 5.
        ConfusionMatrix matrix = new(["entailment", "neutral", "contradiction"]);
        foreach ((int truth, int predicted) in ((int, int)[])[(0, 0), (0, 0), (0, 1), (1, 1), (2, 0)])
        {
            matrix.Add(truth, predicted);
        }

        Assert.Equal(5, matrix.Count);
        Assert.Equal(0.6, matrix.Accuracy, 12);
        Assert.Equal(0.6, matrix.Majority, 12);
        Assert.Equal(1.0 / 3, matrix.Chance, 12);
        Assert.Equal((2, 1, 0, 1, 1), (matrix[0, 0], matrix[0, 1], matrix[1, 0], matrix[1, 1], matrix[2, 0]));
        Assert.Equal([3, 1, 1], [matrix.CountOf(0), matrix.CountOf(1), matrix.CountOf(2)]);
    }

    [Fact]
    public void AnEmptyMatrixHasNoAccuracy()
    {
        ConfusionMatrix matrix = new(["only"]);
        Assert.Equal((0, 0, 0, 1), (matrix.Count, matrix.Accuracy, matrix.Majority, matrix.Chance));
        Assert.Throws<ArgumentException>(() => new ConfusionMatrix([]));
        Assert.Throws<ArgumentOutOfRangeException>(() => matrix.Add(1, 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => matrix.Add(0, -1));
    }
}
