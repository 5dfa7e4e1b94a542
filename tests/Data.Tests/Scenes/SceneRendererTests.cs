using CsCheck;
using MiniVlp.Data.Images;
using MiniVlp.Data.Scenes;
using Xunit;

namespace MiniVlp.Data.Tests.Scenes;

public sealed class SceneRendererTests
{
    /// <summary>Areas in units of radius squared, from the formulas of the figures.</summary>
    public static TheoryData<SceneShape, double> Areas => new()
    {
        { SceneShape.Circle, Math.PI * 0.81 },
        { SceneShape.Square, 2 },
        { SceneShape.Triangle, 0.75 * Math.Sqrt(3) },
        { SceneShape.Star, 5 * 0.42 * Math.Sin(Math.PI / 5) },
        { SceneShape.Heart, 180 * Math.PI / (17.5 * 17.5) },
        { SceneShape.Cross, (2 * 0.6 * 1.86) - (0.6 * 0.6) },
        { SceneShape.Ring, Math.PI * ((0.92 * 0.92) - (0.54 * 0.54)) },
        { SceneShape.Diamond, 2 * 0.62 },
        { SceneShape.Crescent, (Math.PI * 0.95 * 0.95) - Lens(0.95, 0.78, 0.42) },
        { SceneShape.Hexagon, 1.5 * Math.Sqrt(3) },
    };

    [Theory]
    [MemberData(nameof(Areas))]
    public void CoverageAddsUpToTheArea(SceneShape shape, double area)
    {
        foreach (int size in new[] { 32, 64, 256 })
        {
            foreach ((double x, double y, double turn) in new[] { (0.5, 0.5, 0.0), (0.4321, 0.5678, 0.1), (0.3, 0.7, -0.29) })
            {
                Scene scene = One(new SceneObject(shape, SceneColor.Red, SceneSize.Large, x, y, 0.2, turn));
                float[] mask = new SceneRenderer(size).RenderMask(scene, 0);
                double covered = mask.Sum(value => (double)value) / (size * size);

                // Curves are drawn as 64-gons, whose area is short by 0.16 %.
                Assert.InRange(covered, 0.9975 * area * 0.04, 1.0005 * area * 0.04);
                Assert.All(mask, value => Assert.InRange(value, 0, 1));
            }
        }
    }

    [Fact]
    public void AnUprightSquareCoversPixelsExactlyAsGeometrySays()
    {
        // Side 0.3 * sqrt 2 about (0.51, 0.47): no edge falls on a pixel border.
        var square = new SceneObject(SceneShape.Square, SceneColor.Red, SceneSize.Large, 0.51, 0.47, 0.3);
        const int Size = 40;
        float[] mask = new SceneRenderer(Size).RenderMask(One(square), 0);
        double half = 0.3 / Math.Sqrt(2);
        for (int y = 0; y < Size; y++)
        {
            for (int x = 0; x < Size; x++)
            {
                double expected = Share(x, 0.51) * Share(y, 0.47);
                Assert.Equal(expected, mask[(y * Size) + x], 1e-5);
            }
        }

        double Share(int pixel, double centre)
        {
            double from = Math.Max(pixel, (centre - half) * Size);
            double to = Math.Min(pixel + 1, (centre + half) * Size);
            return Math.Max(to - from, 0);
        }
    }

    [Fact]
    public void CoverageAgreesWithDenseSampling()
    {
        // A disc, tested point by point: 32 x 32 samples in each pixel.
        var disc = new SceneObject(SceneShape.Circle, SceneColor.Red, SceneSize.Medium, 0.47, 0.53, 0.31);
        const int Size = 24;
        const int Samples = 32;
        float[] mask = new SceneRenderer(Size).RenderMask(One(disc), 0);
        for (int pixel = 0; pixel < mask.Length; pixel++)
        {
            int inside = 0;
            for (int sample = 0; sample < Samples * Samples; sample++)
            {
                double x = ((pixel % Size) + (((sample % Samples) + 0.5) / Samples)) / Size;
                double y = ((pixel / Size) + (((sample / Samples) + 0.5) / Samples)) / Size;
                inside += Math.Pow(x - 0.47, 2) + Math.Pow(y - 0.53, 2) <= Math.Pow(0.9 * 0.31, 2) ? 1 : 0;
            }

            Assert.Equal(inside / (double)(Samples * Samples), mask[pixel], 0.03);
        }
    }

    [Fact]
    public void EdgesAreMixedAndInsidesPure()
    {
        Scene scene = One(new SceneObject(SceneShape.Circle, SceneColor.Blue, SceneSize.Large, 0.5, 0.5, 0.3));
        var renderer = new SceneRenderer(64);
        RgbImage picture = renderer.Render(scene);
        float[] mask = renderer.RenderMask(scene, 0);
        (byte red, byte green, byte blue) = SceneRenderer.Rgb(SceneColor.Blue);

        Assert.True(mask.Count(value => value is > 0.05f and < 0.95f) > 40);
        for (int y = 0; y < 64; y++)
        {
            for (int x = 0; x < 64; x++)
            {
                float share = mask[(y * 64) + x];
                Assert.Equal(255 + ((red - 255) * share), picture[x, y].Red, 0.51);
                Assert.Equal(255 + ((green - 255) * share), picture[x, y].Green, 0.51);
                Assert.Equal(255 + ((blue - 255) * share), picture[x, y].Blue, 0.51);
            }
        }
    }

    [Fact]
    public void ObjectsStandOutFromEveryBackgroundAndFromEachOther()
    {
        var renderer = new SceneRenderer(64);
        foreach (SceneColor color in Enum.GetValues<SceneColor>())
        {
            foreach (SceneBackground background in Enum.GetValues<SceneBackground>())
            {
                byte[] pixels = renderer.Render(new Scene(background, [])).Pixels;
                for (int i = 0; i < pixels.Length; i += 3)
                {
                    Assert.True(Distance(SceneRenderer.Rgb(color), (pixels[i], pixels[i + 1], pixels[i + 2])) > 60, $"{color} on {background}");
                }
            }

            foreach (SceneColor other in Enum.GetValues<SceneColor>().Where(other => other != color))
            {
                Assert.True(Distance(SceneRenderer.Rgb(color), SceneRenderer.Rgb(other)) > 60, $"{color} and {other}");
            }
        }

        static double Distance((byte R, byte G, byte B) a, (byte R, byte G, byte B) b)
        {
            return Math.Sqrt(Math.Pow(a.R - b.R, 2) + Math.Pow(a.G - b.G, 2) + Math.Pow(a.B - b.B, 2));
        }
    }

    [Fact]
    public void BoxesAreTight()
    {
        Gen.ULong.Sample(seed =>
        {
            Scene scene = new SceneWorld(new SceneOptions { Seed = seed }).At(SceneSplit.Train, 0);
            const int Size = 128;
            var renderer = new SceneRenderer(Size);
            for (int i = 0; i < scene.Objects.Length; i++)
            {
                // Alone, so that nothing in front hides a part.
                float[] mask = renderer.RenderMask(One(scene.Objects[i]), 0);
                int[] seen = [.. Enumerable.Range(0, mask.Length).Where(pixel => mask[pixel] > 0)];
                SceneBox box = scene.Objects[i].Box;

                Assert.Equal(Math.Floor(box.Left * Size), seen.Min(pixel => pixel % Size), 1.0);
                Assert.Equal(Math.Ceiling(box.Right * Size), seen.Max(pixel => pixel % Size) + 1, 1.0);
                Assert.Equal(Math.Floor(box.Top * Size), seen.Min(pixel => pixel / Size), 1.0);
                Assert.Equal(Math.Ceiling(box.Bottom * Size), seen.Max(pixel => pixel / Size) + 1, 1.0);
            }
        }, iter: 200);
    }

    [Fact]
    public void AShapeCutByTheEdgeDrawsItsVisiblePart()
    {
        var square = new SceneObject(SceneShape.Square, SceneColor.Red, SceneSize.Large, 0, 1, Math.Sqrt(0.5));
        float[] mask = new SceneRenderer(32).RenderMask(One(square), 0);

        Assert.Equal(0.25 * 32 * 32, mask.Sum(value => (double)value), 0.01);
        var outside = new SceneObject(SceneShape.Heart, SceneColor.Red, SceneSize.Large, -2, 3, 0.2);
        Assert.All(new SceneRenderer(32).RenderMask(One(outside), 0), value => Assert.Equal(0, value));
    }

    [Fact]
    public void WhatStandsInFrontHidesWhatIsBehind()
    {
        var back = new SceneObject(SceneShape.Square, SceneColor.Red, SceneSize.Large, 0.5, 0.5, 0.4);
        var front = new SceneObject(SceneShape.Circle, SceneColor.Blue, SceneSize.Small, 0.5, 0.5, 0.1);
        var scene = new Scene(SceneBackground.White, [back, front]);
        var renderer = new SceneRenderer(64);
        float[] behind = renderer.RenderMask(scene, 0);
        float[] before = renderer.RenderMask(scene, 1);

        Assert.Equal(0, behind[(32 * 64) + 32], 1e-6);
        Assert.Equal(1, before[(32 * 64) + 32], 1e-6);
        Assert.Equal(2 * 0.16 * 64 * 64, behind.Zip(before).Sum(pair => (double)pair.First + pair.Second), 0.1);
    }

    [Fact]
    public void TheSameSceneGivesTheSamePictureFromAnyThread()
    {
        var world = new SceneWorld(new SceneOptions());
        var renderer = new SceneRenderer(48);
        byte[][] once = [.. world.Take(SceneSplit.Test, 64).Select(scene => renderer.Render(scene).Pixels)];
        Parallel.For(0, 64, i => Assert.Equal(once[i], new SceneRenderer(48).Render(world.At(SceneSplit.Test, i)).Pixels));

        byte[] reused = Enumerable.Repeat((byte)7, 48 * 48 * 3).ToArray();
        renderer.Render(world.At(SceneSplit.Test, 5), reused);
        Assert.Equal(once[5], reused);
    }

    [Fact]
    public void ASheetHoldsItsScenesInOrder()
    {
        var world = new SceneWorld(SceneOptions.Demo);
        var renderer = new SceneRenderer(16);
        RgbImage sheet = renderer.RenderSheet(world.Take(SceneSplit.Train, 5), columns: 3, gap: 2);

        Assert.Equal((2 + (3 * 18), 2 + (2 * 18)), (sheet.Width, sheet.Height));
        RgbImage fifth = renderer.Render(world.At(SceneSplit.Train, 4));
        for (int y = 0; y < 16; y++)
        {
            Assert.Equal(fifth.Row(y), sheet.Row(20 + y).Slice(20 * 3, 16 * 3));
        }
    }

    [Fact]
    public void WrongSizesAreRefused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new SceneRenderer(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => new SceneRenderer(SceneRenderer.MaxSize + 1));
        Assert.Throws<ArgumentException>(() => new SceneRenderer(32).Render(new Scene(SceneBackground.White, []), new byte[5]));
        Assert.Throws<ArgumentOutOfRangeException>(() => new SceneRenderer(32).RenderMask(new Scene(SceneBackground.White, []), 0));
    }

    private static Scene One(SceneObject item) => new(SceneBackground.White, [item]);

    private static double Lens(double a, double b, double d)
    {
        // Intersection of two discs of radius a and b at distance d (mathworld.wolfram.com/Circle-CircleIntersection.html).
        double first = a * a * Math.Acos(((d * d) + (a * a) - (b * b)) / (2 * d * a));
        double second = b * b * Math.Acos(((d * d) + (b * b) - (a * a)) / (2 * d * b));
        return first + second - (0.5 * Math.Sqrt((-d + a + b) * (d + a - b) * (d - a + b) * (d + a + b)));
    }
}
