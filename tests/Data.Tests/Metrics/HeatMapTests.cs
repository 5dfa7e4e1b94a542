using CsCheck;
using MiniVlp.Data.Metrics;
using MiniVlp.Data.Scenes;
using Xunit;

namespace MiniVlp.Data.Tests.Metrics;

public sealed class HeatMapTests
{
    /// <summary>
    /// 0 0 0 0
    /// 0 2 4 0
    /// 0 0 3 0
    /// 2 0 0 0
    /// </summary>
    private static readonly HeatMap Map = new(4, 4, [0, 0, 0, 0, 0, 2, 4, 0, 0, 0, 3, 0, 2, 0, 0, 0]);

    private static readonly SceneBox Whole = new(0, 0, 1, 1);

    [Fact]
    public void ThePeakIsTheMiddleOfTheGreatestCell()
    {
        // Row 1, column 2: (2.5 / 4, 1.5 / 4).
        Assert.True(Map.PointsInto(new SceneBox(0.62, 0.37, 0.63, 0.38)));
        Assert.False(Map.PointsInto(new SceneBox(0, 0, 0.5, 1)));
        Assert.True(Map.PointsInto(new SceneBox(0.625, 0.375, 1, 1)));    // the edge belongs to the box
    }

    [Fact]
    public void AMapWithoutOnePeakPointsAtNothing()
    {
        HeatMap flat = new(2, 2, [1, 1, 1, 1]), twoPeaks = new(1, 4, [1, 0, 0, 1]);
        Assert.False(flat.PointsInto(new SceneBox(0, 0, 0.5, 0.5)));
        Assert.True(flat.PointsInto(Whole));
        Assert.False(twoPeaks.PointsInto(new SceneBox(0, 0, 0.5, 1)));
        Assert.False(new HeatMap(1, 2, [float.NaN, float.NaN]).PointsInto(Whole));
        Assert.True(new HeatMap(1, 2, [float.NaN, 1]).PointsInto(new SceneBox(0.5, 0, 1, 1)));
    }

    [Fact]
    public void TheBoxHoldsWhatHangsTogetherWithThePeak()
    {
        // From 2 on: cells (1,1), (1,2) and (2,2); the 2 in the corner touches none of them.
        Assert.Equal(new SceneBox(0.25, 0.25, 0.75, 0.75), Map.BoxAbove(0.5));
        Assert.Equal(new SceneBox(0.5, 0.25, 0.75, 0.75), Map.BoxAbove(0.7));
        Assert.Equal(new SceneBox(0.5, 0.25, 0.75, 0.5), Map.BoxAbove(1));
        Assert.Equal(Whole, new HeatMap(2, 3, new float[6]).BoxAbove());
        Assert.Equal(Whole, new HeatMap(1, 1, [float.NaN]).BoxAbove());
        Assert.Equal(new SceneBox(0, 0, 1, 0.5), new HeatMap(2, 1, [3, -3]).BoxAbove());
        Assert.Throws<ArgumentOutOfRangeException>(() => Map.BoxAbove(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => Map.BoxAbove(double.NaN));
    }

    [Fact]
    public void ProposalsAreWeighedByTheirArea()
    {
        // Left upper quarter: 2 / √(1/4) = 4. Right upper quarter: 4 / 0.5 = 8. Whole: 11 / 1. Cell (1, 2): 4 / √(1/16) = 16. Half of it: 2 / √(1/32) = 11.3.
        SceneBox left = new(0, 0, 0.5, 0.5), right = new(0.5, 0, 1, 0.5), cell = new(0.5, 0.25, 0.75, 0.5), half = new(0.5, 0.25, 0.75, 0.375);
        Assert.Equal(1, Map.Choose([left, right]));
        Assert.Equal(2, Map.Choose([left, right, Whole]));
        Assert.Equal(3, Map.Choose([left, right, Whole, half]));
        Assert.Equal(3, Map.Choose([left, right, Whole, cell, half]));
        Assert.Equal(-1, Map.Choose([cell, cell]));
        Assert.Equal(-1, Map.Choose([]));
        Assert.Equal(-1, new HeatMap(1, 2, [1, 1]).Choose([left]));
        Assert.Equal(0, Map.Choose([left, new SceneBox(0.5, 0.5, 0.5, 0.5)]));
    }

    [Fact]
    public void AddingAConstantAndScalingChangesNothing()
    {
        Gen.Select(Gen.Int[0, 9].Array[12], Gen.Int[-5, 5], Gen.Int[1, 4]).Sample((cells, shift, scale) =>
        {
            HeatMap map = new(3, 4, [.. cells.Select(cell => (float)cell)]), other = new(3, 4, [.. cells.Select(cell => (float)((cell * scale) + shift))]);
            SceneBox[] proposals = [new(0, 0, 0.5, 0.7), new(0.4, 0.2, 1, 0.9), new(0.1, 0.5, 0.9, 1)];
            Assert.Equal(map.BoxAbove(0.45), other.BoxAbove(0.45));
            Assert.All(proposals, box => Assert.Equal(map.PointsInto(box), other.PointsInto(box)));
            int chosen = map.Choose(proposals);
            if (scale == 1)
            {
                Assert.Equal(chosen, other.Choose(proposals));
            }
        });
    }

    [Fact]
    public void IntersectionOverUnionOfHandMadeBoxes()
    {
        // Shared 0.25 · 0.5 of 0.25 + 0.25 less that: 0.125 / 0.375.
        Assert.Equal(1.0 / 3, new SceneBox(0, 0, 0.5, 0.5).IntersectionOverUnion(new SceneBox(0.25, 0, 0.75, 0.5)), 12);
        Assert.Equal(0, new SceneBox(0, 0, 0.5, 0.5).IntersectionOverUnion(new SceneBox(0.5, 0.5, 1, 1)));
        Assert.Equal(1, Whole.IntersectionOverUnion(Whole));
    }

    [Fact]
    public void WrongSizesAreRefused()
    {
        Assert.Throws<ArgumentException>(() => new HeatMap(2, 2, new float[3]));
        Assert.Throws<ArgumentException>(() => new HeatMap(0, 0, []));
    }
}
