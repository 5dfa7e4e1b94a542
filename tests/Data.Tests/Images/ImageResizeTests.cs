using System.Text.Json;
using CsCheck;
using MiniVlp.Data.Images;
using Xunit;

namespace MiniVlp.Data.Tests.Images;

public sealed class ImageResizeTests
{
    public static TheoryData<string> ResizeCases => [.. ImageGoldens.Names("pil_resize", "pil_resize_box")];

    [Theory]
    [MemberData(nameof(ResizeCases))]
    public void EqualsPillowBitForBit(string name)
    {
        JsonElement golden = ImageGoldens.Case(name);
        JsonElement args = golden.GetProperty("args");
        int width = args.GetProperty("width").GetInt32();
        int height = args.GetProperty("height").GetInt32();
        ResampleFilter filter = Enum.Parse<ResampleFilter>(args.GetProperty("filter").GetString()!, ignoreCase: true);
        (int[] shape, byte[] input) = ImageGoldens.Tensor(golden, "inputs", "image");
        byte[] expected = ImageGoldens.Tensor(golden, "outputs", "image").Bytes;

        byte[] actual;
        if (shape.Length == 2)
        {
            actual = ImageResize.ResizeGrey(input, shape[1], shape[0], width, height, filter);
        }
        else
        {
            RgbImage image = new(shape[1], shape[0], input);
            if (args.TryGetProperty("box", out JsonElement box))
            {
                float[] edges = [.. box.EnumerateArray().Select(e => e.GetSingle())];
                actual = ImageResize.Resize(image, width, height, filter, new ImageBox(edges[0], edges[1], edges[2], edges[3])).Pixels;
            }
            else
            {
                actual = ImageResize.Resize(image, width, height, filter).Pixels;
            }
        }

        Assert.Equal(expected, actual);
    }

    [Fact]
    public void GreyEqualsPillowBitForBit()
    {
        JsonElement golden = ImageGoldens.Case("pil_convert_grey");
        Assert.Equal(ImageGoldens.Tensor(golden, "outputs", "image").Bytes, ImageResize.ToGrey(ImageGoldens.Image(golden, "inputs")));
    }

    [Theory]
    [InlineData(ResampleFilter.Nearest)]
    [InlineData(ResampleFilter.Lanczos)]
    [InlineData(ResampleFilter.Bilinear)]
    [InlineData(ResampleFilter.Bicubic)]
    [InlineData(ResampleFilter.Box)]
    public void OneColourStaysOneColour(ResampleFilter filter)
    {
        Gen.Select(Gen.Int[1, 40], Gen.Int[1, 40], Gen.Int[1, 40], Gen.Int[1, 40], Gen.Byte).Sample((width, height, newWidth, newHeight, value) =>
        {
            RgbImage image = new(width, height);
            image.Pixels.AsSpan().Fill(value);
            Assert.All(ImageResize.Resize(image, newWidth, newHeight, filter).Pixels, p => Assert.Equal(value, p));
        }, iter: 200);
    }

    [Theory]
    [InlineData(ResampleFilter.Nearest)]
    [InlineData(ResampleFilter.Lanczos)]
    [InlineData(ResampleFilter.Bilinear)]
    [InlineData(ResampleFilter.Bicubic)]
    [InlineData(ResampleFilter.Box)]
    public void AWindowEqualsTheSamePartOfTheWholeResult(ResampleFilter filter)
    {
        Gen<int> side = Gen.Int[1, 40];
        Gen.Select(side, side, side, side, Gen.UInt).Sample((width, height, newWidth, newHeight, seed) =>
        {
            SampleRandom random = new(seed);
            RgbImage image = Noise(width, height, ref random);
            int x = random.Next(newWidth);
            int y = random.Next(newHeight);
            ImageRectangle window = new(x, y, 1 + random.Next(newWidth - x), 1 + random.Next(newHeight - y));
            RgbImage whole = ImageResize.Resize(image, newWidth, newHeight, filter);
            Assert.Equal(ImageResize.Crop(whole, window).Pixels, ImageResize.ResizeAndCrop(image, newWidth, newHeight, filter, window).Pixels);
        }, iter: 300);
    }

    [Fact]
    public void CropAndResizeDoesNotLookOutsideOfTheCrop()
    {
        SampleRandom random = new(3);
        RgbImage image = Noise(31, 23, ref random);
        ImageRectangle crop = new(4, 5, 17, 11);
        RgbImage expected = ImageResize.Resize(ImageResize.Crop(image, crop), 9, 20, ResampleFilter.Bicubic);
        Assert.Equal(expected.Pixels, ImageResize.CropAndResize(image, crop, 9, 20, ResampleFilter.Bicubic).Pixels);

        // The same crop ending at the last pixel of the picture: nothing may be read past it.
        ImageRectangle corner = new(14, 12, 17, 11);
        expected = ImageResize.Resize(ImageResize.Crop(image, corner), 9, 20, ResampleFilter.Bicubic);
        Assert.Equal(expected.Pixels, ImageResize.CropAndResize(image, corner, 9, 20, ResampleFilter.Bicubic).Pixels);
    }

    [Fact]
    public void BoxIsTheMeanOfTheCoveredPixels()
    {
        SampleRandom random = new(5);
        RgbImage image = Noise(12, 9, ref random);
        RgbImage small = ImageResize.Resize(image, 4, 9, ResampleFilter.Box);
        for (int y = 0; y < 9; y++)
        {
            for (int x = 0; x < 4; x++)
            {
                double mean = (image[3 * x, y].Green + image[(3 * x) + 1, y].Green + image[(3 * x) + 2, y].Green) / 3.0;
                Assert.Equal(Math.Round(mean), small[x, y].Green);
            }
        }
    }

    [Fact]
    public void RefusesWhatCannotBe()
    {
        RgbImage image = new(4, 3);
        Assert.Throws<ArgumentOutOfRangeException>(() => ImageResize.Resize(image, 0, 3, ResampleFilter.Box));
        Assert.Throws<ArgumentOutOfRangeException>(() => ImageResize.Resize(image, 100_000, 100_000, ResampleFilter.Box));
        Assert.Throws<ArgumentOutOfRangeException>(() => ImageResize.Resize(image, 4, 4, (ResampleFilter)9));
        Assert.Throws<ArgumentOutOfRangeException>(() => ImageResize.Resize(image, 4, 4, ResampleFilter.Box, new ImageBox(0, 0, 5, 3)));
        Assert.Throws<ArgumentOutOfRangeException>(() => ImageResize.Resize(image, 4, 4, ResampleFilter.Box, new ImageBox(2, 0, 2, 3)));
        Assert.Throws<ArgumentOutOfRangeException>(() => ImageResize.Resize(image, 4, 4, ResampleFilter.Box, new ImageBox(float.NaN, 0, 2, 3)));
        Assert.Throws<ArgumentOutOfRangeException>(() => ImageResize.Crop(image, new ImageRectangle(2, 0, 3, 3)));
        Assert.Throws<ArgumentOutOfRangeException>(() => ImageResize.Crop(image, new ImageRectangle(2, 0, int.MaxValue, 3)));
        Assert.Throws<ArgumentException>(() => new RgbImage(2, 2, new byte[11]));
        Assert.Throws<ArgumentOutOfRangeException>(() => new RgbImage(100_000, 100_000));
    }

    internal static RgbImage Noise(int width, int height, ref SampleRandom random)
    {
        RgbImage image = new(width, height);
        foreach (ref byte value in image.Pixels.AsSpan())
        {
            value = (byte)random.NextUInt64();
        }

        return image;
    }
}
