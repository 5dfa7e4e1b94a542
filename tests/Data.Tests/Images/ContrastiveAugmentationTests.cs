using CsCheck;
using MiniVlp.Data.Images;
using Xunit;

namespace MiniVlp.Data.Tests.Images;

public sealed class ContrastiveAugmentationTests
{
    private static readonly RgbImage Picture = EncodedImages.Quadrants(24, 18);

    [Fact]
    public void ColoursAreBlendedAsPillowDoes()
    {
        RgbImage image = new(2, 1, [200, 100, 50, 10, 20, 30]);

        // Brightness of the pixels: (19595·200 + 38470·100 + 7471·50 + 32768) >> 16 = 124 and 18; their mean 71.
        Assert.Equal([100, 50, 25, 5, 10, 15], ColorJitter.AdjustBrightness(image, 0.5).Pixels);
        Assert.Equal([255, 150, 75, 15, 30, 45], ColorJitter.AdjustBrightness(image, 1.5).Pixels);
        Assert.Equal([135, 85, 60, 40, 45, 50], ColorJitter.AdjustContrast(image, 0.5).Pixels);
        Assert.Equal([255, 129, 29, 0, 0, 0], ColorJitter.AdjustContrast(image, 2).Pixels);
        Assert.Equal([71, 71, 71, 71, 71, 71], ColorJitter.AdjustContrast(image, 0).Pixels);
        Assert.Equal([162, 112, 87, 14, 19, 24], ColorJitter.AdjustSaturation(image, 0.5).Pixels);
        Assert.Equal(RandomGrayscale.ToGray(image).Pixels, ColorJitter.AdjustSaturation(image, 0).Pixels);
        Assert.Equal([124, 124, 124, 18, 18, 18], RandomGrayscale.ToGray(image).Pixels);
        foreach (Func<RgbImage, double, RgbImage> adjust in new Func<RgbImage, double, RgbImage>[] { ColorJitter.AdjustBrightness, ColorJitter.AdjustContrast, ColorJitter.AdjustSaturation })
        {
            Assert.Equal(image.Pixels, adjust(image, 1).Pixels);
            Assert.Throws<ArgumentOutOfRangeException>(() => adjust(image, -0.1));
            Assert.Throws<ArgumentOutOfRangeException>(() => adjust(image, double.NaN));
        }
    }

    [Fact]
    public void AThirdOfATurnExchangesTheColours()
    {
        RgbImage image = new(4, 1, [200, 0, 0, 255, 255, 0, 90, 90, 90, 200, 100, 50]);
        Assert.Equal([0, 200, 0, 0, 255, 255, 90, 90, 90, 50, 200, 100], ColorJitter.ShiftHue(image, 1.0 / 3).Pixels);
        Assert.Equal([0, 0, 200, 255, 0, 255, 90, 90, 90, 100, 50, 200], ColorJitter.ShiftHue(image, -1.0 / 3).Pixels);
        Assert.Equal([200, 200, 0], ColorJitter.ShiftHue(image, 1.0 / 6).Pixels[..3]);
        Assert.Equal([200, 100, 0], ColorJitter.ShiftHue(image, 1.0 / 12).Pixels[..3]);
        Assert.Throws<ArgumentOutOfRangeException>(() => ColorJitter.ShiftHue(image, double.NaN));
    }

    [Fact]
    public void AShiftOfTheHueKeepsTheLargestAndTheSmallestChannelAndAWholeTurnEverything()
    {
        Gen.Select(Gen.Byte, Gen.Byte, Gen.Byte, Gen.Double[-0.5, 0.5]).Sample((red, green, blue, turns) =>
        {
            RgbImage image = new(1, 1, [red, green, blue]);
            byte[] shifted = ColorJitter.ShiftHue(image, turns).Pixels;
            Assert.Equal(image.Pixels.Max(), shifted.Max());
            Assert.Equal(image.Pixels.Min(), shifted.Min());
            Assert.Equal(image.Pixels, ColorJitter.ShiftHue(image, Math.Sign(turns)).Pixels);
        }, iter: 2000);
    }

    [Fact]
    public void ABlurredPointIsAGaussian()
    {
        RgbImage image = new(21, 21);
        image[10, 10] = (255, 0, 255);
        const double sigma = 1.5;
        RgbImage blurred = GaussianBlur.Blur(image, sigma);
        double sum = Enumerable.Range(-5, 11).Sum(d => Math.Exp(-d * d / (2 * sigma * sigma)));
        for (int y = 0; y < 21; y++)
        {
            for (int x = 0; x < 21; x++)
            {
                (int dx, int dy) = (Math.Abs(x - 10), Math.Abs(y - 10));
                double expected = dx > 5 || dy > 5 ? 0 : 255 * Math.Exp(-((dx * dx) + (dy * dy)) / (2 * sigma * sigma)) / (sum * sum);
                Assert.Equal(expected, blurred[x, y].Red, 0.51);
                Assert.Equal(0, blurred[x, y].Green);
                Assert.Equal(blurred[x, y].Red, blurred[x, y].Blue);
            }
        }
    }

    [Fact]
    public void ABlurLeavesOneColourAndGoesOnPastTheEdge()
    {
        RgbImage flat = new(5, 4);
        flat.Pixels.AsSpan().Fill(77);
        Assert.Equal(flat.Pixels, GaussianBlur.Blur(flat, 2.7).Pixels);
        Assert.Equal(flat.Pixels[..3], GaussianBlur.Blur(new RgbImage(1, 1, [77, 77, 77]), 100).Pixels);

        // Half black, half white: far from the edge between them nothing changes, at any border of the picture.
        RgbImage halves = new(40, 3);
        for (int y = 0; y < 3; y++)
        {
            halves.Row(y)[60..].Fill(255);
        }

        RgbImage blurred = GaussianBlur.Blur(halves, 2);
        Assert.Equal((0, 0, 0), blurred[0, 0]);
        Assert.Equal((255, 255, 255), blurred[39, 2]);
        Assert.InRange(blurred[19, 1].Red, 90, 110);
        Assert.Equal(255, blurred[19, 1].Red + blurred[20, 1].Red, 1.0);
        Assert.Throws<ArgumentOutOfRangeException>(() => GaussianBlur.Blur(flat, 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => new GaussianBlur { Sigma = (2, 1) });
    }

    [Fact]
    public void EachStepHappensAsOftenAsTold()
    {
        const int count = 4000;
        int jittered = 0, grey = 0, blurred = 0;
        ColorJitter jitter = new() { Probability = 0.8 };
        RandomGrayscale grayscale = new(0.2);
        GaussianBlur blur = new(0.5);
        RgbImage image = EncodedImages.Quadrants(4, 4);
        for (int i = 0; i < count; i++)
        {
            SampleRandom random = SampleRandom.For(3, 0, i);
            jittered += ReferenceEquals(image, jitter.Apply(image, ref random)) ? 0 : 1;
            grey += ReferenceEquals(image, grayscale.Apply(image, ref random)) ? 0 : 1;
            blurred += ReferenceEquals(image, blur.Apply(image, ref random)) ? 0 : 1;
        }

        Assert.Equal(0.8, (double)jittered / count, 0.03);
        Assert.Equal(0.2, (double)grey / count, 0.03);
        Assert.Equal(0.5, (double)blurred / count, 0.03);
    }

    [Fact]
    public void AJitterOfStrengthZeroChangesNothing()
    {
        SampleRandom random = new(1);
        Assert.Same(Picture, new ColorJitter(0, 0, 0, 0).Apply(Picture, ref random));
        Assert.Throws<ArgumentOutOfRangeException>(() => new ColorJitter(hue: 0.6));
        Assert.Throws<ArgumentOutOfRangeException>(() => new ColorJitter(brightness: -1));
        Assert.Throws<ArgumentOutOfRangeException>(() => new ColorJitter { Probability = 2 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new RandomGrayscale(-1));
        Assert.Throws<ArgumentOutOfRangeException>(() => new GaussianBlur(1.5));
    }

    [Fact]
    public void TwoViewsDifferAndASampleDoesNotDependOnTheOthers()
    {
        foreach (ContrastiveAugmentation augmentation in new[] { ContrastiveAugmentation.MocoV1(12), ContrastiveAugmentation.MocoV2(12) })
        {
            byte[] before = [.. Picture.Pixels];
            (RgbImage First, RgbImage Second)[] inOrder = [.. Enumerable.Range(0, 64).Select(i => augmentation.Views(Picture, 9, 2, i))];
            (RgbImage First, RgbImage Second)[] inParallel = new (RgbImage, RgbImage)[64];
            Parallel.For(0, 64, i => inParallel[63 - i] = augmentation.Views(Picture, 9, 2, 63 - i));
            for (int i = 0; i < 64; i++)
            {
                Assert.Equal((12, 12), (inOrder[i].First.Width, inOrder[i].Second.Height));
                Assert.Equal(inOrder[i].First.Pixels, inParallel[i].First.Pixels);
                Assert.Equal(inOrder[i].Second.Pixels, inParallel[i].Second.Pixels);
                Assert.NotEqual(inOrder[i].First.Pixels, inOrder[i].Second.Pixels);
            }

            Assert.NotEqual(inOrder[0].First.Pixels, augmentation.Views(Picture, 9, 3, 0).First.Pixels);
            Assert.NotEqual(inOrder[0].First.Pixels, augmentation.Views(Picture, 8, 2, 0).First.Pixels);
            Assert.Equal(before, Picture.Pixels);
        }
    }
}
