using CsCheck;
using MiniVlp.Data.Images;
using Xunit;

namespace MiniVlp.Data.Tests.Images;

public sealed class ImageAugmentationTests
{
    [Fact]
    public void CropsLieInsideAndKeepToTheirRanges()
    {
        RandomResizedCrop crop = new(8) { Scale = (0.3, 0.6), Ratio = (0.5, 2) };
        SampleRandom random = new(11);
        double area = 0;
        double logRatio = 0;
        const int count = 4000;
        for (int i = 0; i < count; i++)
        {
            ImageRectangle part = crop.Draw(400, 400, ref random);
            Assert.InRange(part.X, 0, 400 - part.Width);
            Assert.InRange(part.Y, 0, 400 - part.Height);
            double share = part.Width * part.Height / 160_000.0;
            double ratio = (double)part.Width / part.Height;
            Assert.InRange(share, 0.3 * 0.99, 0.6 * 1.01);
            Assert.InRange(ratio, 0.5 * 0.99, 2 * 1.01);
            area += share / count;
            logRatio += Math.Log(ratio) / count;
        }

        // Nearly all draws fit into a square of this scale, so the means are those of the uniform laws: 0.45 and 0.
        Assert.InRange(area, 0.435, 0.46);
        Assert.InRange(logRatio, -0.03, 0.03);
    }

    [Fact]
    public void AnyShapeGivesTheAskedSize()
    {
        RandomResizedCrop crop = new(6, 5);
        Gen.Select(Gen.Int[1, 300], Gen.Int[1, 300], Gen.ULong).Sample((width, height, seed) =>
        {
            SampleRandom random = new(seed);
            RgbImage result = crop.Apply(new RgbImage(width, height), ref random);
            Assert.Equal((6, 5), (result.Width, result.Height));
        }, iter: 300);
    }

    [Fact]
    public void AStripFallsBackToTheMiddle()
    {
        SampleRandom random = new(1);
        Assert.Equal(new ImageRectangle(4999, 0, 1, 1), new RandomResizedCrop(4) { Scale = (1, 1) }.Draw(10000, 1, ref random));
        Assert.Equal(new ImageRectangle(0, 433, 100, 133), new RandomResizedCrop(4) { Scale = (1, 1) }.Draw(100, 1000, ref random));
    }

    [Theory]
    [InlineData("a cup left of a plate", "a cup right of a plate")]
    [InlineData("Left, RIGHT and left-hand", "Right, LEFT and right-hand")]
    [InlineData("the leftmost one, rightwards", "the rightmost one, leftwards")]
    [InlineData("bright leftovers, upright, left_1", "bright leftovers, upright, left_1")]
    [InlineData("", "")]
    [InlineData("left", "right")]
    public void SidesAreSwapped(string caption, string expected)
    {
        Assert.Equal(expected, HorizontalFlip.SwapSides(caption));
        Assert.Equal(caption, HorizontalFlip.SwapSides(expected));
        Assert.Equal(caption != expected, HorizontalFlip.MentionsSide(caption));
    }

    [Fact]
    public void CaptionsStayTrue()
    {
        RgbImage image = EncodedImages.Quadrants();
        RgbImage mirrored = HorizontalFlip.Mirror(image);
        Assert.Equal(image[0, 3], mirrored[image.Width - 1, 3]);
        Assert.NotEqual(image.Pixels, mirrored.Pixels);
        Assert.Equal(image.Pixels, HorizontalFlip.Mirror(mirrored).Pixels);

        SampleRandom random = new(1);
        HorizontalFlip refuse = new(1, FlipCaptionRule.Refuse);
        Assert.Same(image, refuse.Apply(image, "green on the right", ref random).Image);
        Assert.Equal(mirrored.Pixels, refuse.Apply(image, "green on red", ref random).Image.Pixels);

        (RgbImage swapped, string caption) = new HorizontalFlip(1, FlipCaptionRule.SwapWords).Apply(image, "green on the right", ref random);
        Assert.Equal(mirrored.Pixels, swapped.Pixels);
        Assert.Equal("green on the left", caption);

        (RgbImage ignored, caption) = new HorizontalFlip(1, FlipCaptionRule.Ignore).Apply(image, "green on the right", ref random);
        Assert.Equal(mirrored.Pixels, ignored.Pixels);
        Assert.Equal("green on the right", caption);

        Assert.Same(image, new HorizontalFlip(0, FlipCaptionRule.SwapWords).Apply(image, "green on red", ref random).Image);
    }

    [Fact]
    public void AboutHalfIsMirrored()
    {
        RgbImage image = new(2, 1);
        HorizontalFlip flip = new();
        int mirrored = Enumerable.Range(0, 4000).Count(i =>
        {
            SampleRandom random = SampleRandom.For(5, 0, i);
            return !ReferenceEquals(image, flip.Apply(image, "", ref random).Image);
        });
        Assert.InRange(mirrored, 1850, 2150);
    }

    [Fact]
    public void ASampleDoesNotDependOnTheOthersOrOnThreads()
    {
        RgbImage image = EncodedImages.Quadrants(40, 30);
        ImageAugmentation augmentation = new(new RandomResizedCrop(12), new HorizontalFlip(0.5, FlipCaptionRule.SwapWords));
        (RgbImage Image, string Caption)[] inOrder = [.. Enumerable.Range(0, 64).Select(i => augmentation.Apply(image, "left", 9, 2, i))];
        (RgbImage Image, string Caption)[] inParallel = new (RgbImage, string)[64];
        Parallel.For(0, 64, i => inParallel[63 - i] = augmentation.Apply(image, "left", 9, 2, 63 - i));
        for (int i = 0; i < 64; i++)
        {
            Assert.Equal(inOrder[i].Image.Pixels, inParallel[i].Image.Pixels);
            Assert.Equal(inOrder[i].Caption, inParallel[i].Caption);
        }

        Assert.True(inOrder.Select(s => Convert.ToHexString(s.Image.Pixels)).Distinct().Count() > 60);
        Assert.NotEqual(inOrder[0].Image.Pixels, augmentation.Apply(image, "left", 9, 3, 0).Image.Pixels);
        Assert.NotEqual(inOrder[0].Image.Pixels, augmentation.Apply(image, "left", 10, 2, 0).Image.Pixels);
    }

    [Fact]
    public void WrongSettingsAreRefused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new RandomResizedCrop(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => new RandomResizedCrop(4) { Scale = (0, 1) });
        Assert.Throws<ArgumentOutOfRangeException>(() => new RandomResizedCrop(4) { Ratio = (2, 1) });
        Assert.Throws<ArgumentOutOfRangeException>(() => new HorizontalFlip(double.NaN));
        Assert.Throws<ArgumentOutOfRangeException>(() => new HorizontalFlip(0.5, (FlipCaptionRule)7));
    }
}
