using CsCheck;
using MiniVlp.Data.Images;
using MiniVlp.Data.Skia;
using SkiaSharp;
using Xunit;

namespace MiniVlp.Data.Tests.Images;

public sealed class SkiaImageDecoderTests
{
    private static readonly byte[] Palette = [230, 20, 20, 20, 210, 20, 20, 20, 230, 230, 220, 20];
    private readonly SkiaImageDecoder _decoder = new();

    [Fact]
    public void LosslessFormatsComeBackExactly()
    {
        RgbImage image = EncodedImages.Quadrants();
        AssertSame(image, EncodedImages.Skia(image, SKEncodedImageFormat.Png));
        AssertSame(image, EncodedImages.Bmp(image));
        AssertSame(image, EncodedImages.Bmp(image, topDown: true));
    }

    [Fact]
    public void PngWriterIsReadBackExactly()
    {
        Gen.Select(Gen.Int[1, 30], Gen.Int[1, 30], Gen.UInt, Gen.Bool).Sample((width, height, seed, smooth) =>
        {
            SampleRandom random = new(seed);
            RgbImage image = smooth ? EncodedImages.Quadrants(width, height) : ImageResizeTests.Noise(width, height, ref random);
            AssertSame(image, PngWriter.Encode(image));
        }, iter: 100);
    }

    [Theory]
    [InlineData(SKEncodedImageFormat.Jpeg)]
    [InlineData(SKEncodedImageFormat.Webp)]
    public void LossyFormatsComeBackNearly(SKEncodedImageFormat format)
    {
        RgbImage image = EncodedImages.Quadrants();
        AssertNear(image, Decode(EncodedImages.Skia(image, format)), 6, margin: 4);
    }

    [Fact]
    public void GifGivesItsFirstFrame()
    {
        byte[] indices = [.. Enumerable.Range(0, 24 * 16).Select(i => (byte)((i % 24 / 12) + (2 * (i / 24 / 8))))];
        RgbImage image = Decode(EncodedImages.Gif(24, 16, Palette, indices, secondFrame: true));
        for (int i = 0; i < indices.Length; i++)
        {
            Assert.Equal(Palette.AsSpan(indices[i] * 3, 3), image.Pixels.AsSpan(i * 3, 3));
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    [InlineData(7)]
    [InlineData(8)]
    public void ExifOrientationIsApplied(byte orientation)
    {
        RgbImage upright = EncodedImages.Quadrants();

        // Stored as a camera would, by the definition of the tag: where row 0 and column 0 of the stored picture are in the upright one.
        bool transposed = orientation >= 5;
        RgbImage stored = transposed ? new RgbImage(upright.Height, upright.Width) : new RgbImage(upright.Width, upright.Height);
        for (int y = 0; y < stored.Height; y++)
        {
            for (int x = 0; x < stored.Width; x++)
            {
                (int across, int down) = transposed ? (y, x) : (x, y);
                bool fromRight = orientation is 2 or 3 or 6 or 7;
                bool fromBottom = orientation is 3 or 4 or 7 or 8;
                stored[x, y] = upright[fromRight ? upright.Width - 1 - across : across, fromBottom ? upright.Height - 1 - down : down];
            }
        }

        byte[] jpeg = EncodedImages.WithOrientation(EncodedImages.Skia(stored, SKEncodedImageFormat.Jpeg), orientation);
        AssertNear(upright, Decode(jpeg), 6, margin: 4);
    }

    [Fact]
    public void TransparencyIsLaidOverWhite()
    {
        // Opaque, half and fully transparent pixels of one colour.
        byte[] rows = [0, 10, 100, 200, 255, 10, 100, 200, 128, 10, 100, 200, 0];
        RgbImage image = Decode(EncodedImages.Png(3, 1, 8, 6, rows));
        Assert.Equal(((byte)10, (byte)100, (byte)200), image[0, 0]);
        double share = 128 / 255.0;
        Assert.Equal(Math.Round((10 * share) + (255 * (1 - share))), image[1, 0].Red);
        Assert.Equal(Math.Round((100 * share) + (255 * (1 - share))), image[1, 0].Green);
        Assert.Equal(Math.Round((200 * share) + (255 * (1 - share))), image[1, 0].Blue);
        Assert.Equal(((byte)255, (byte)255, (byte)255), image[2, 0]);
    }

    [Fact]
    public void SixteenBitsGreyAndPaletteBecomeRgb()
    {
        RgbImage deep = Decode(EncodedImages.Png(1, 1, 16, 2, [0, 10, 0, 100, 0, 200, 0]));
        Assert.Equal(((byte)10, (byte)100, (byte)200), deep[0, 0]);
        RgbImage grey = Decode(EncodedImages.Png(2, 1, 4, 0, [0, 0x3F]));
        Assert.Equal(((byte)51, (byte)51, (byte)51), grey[0, 0]);
        Assert.Equal(((byte)255, (byte)255, (byte)255), grey[1, 0]);
        RgbImage palette = Decode(EncodedImages.Png(2, 1, 2, 3, [0, 0b01_10_0000], ("PLTE", Palette)));
        Assert.Equal(((byte)20, (byte)210, (byte)20), palette[0, 0]);
        Assert.Equal(((byte)20, (byte)20, (byte)230), palette[1, 0]);
    }

    [Fact]
    public void LyingSizesAreRefusedFromTheHeader()
    {
        byte[] rows = [0, 1, 2, 3];
        AssertRefused(EncodedImages.Png(100_000, 100_000, 8, 2, rows), "65535");
        AssertRefused(EncodedImages.Png(60_000, 60_000, 8, 2, rows), "3600000000");
        AssertRefused(EncodedImages.Png(-1, 1, 8, 2, rows), "4294967295");
        AssertRefused(EncodedImages.Png(0, 1, 8, 2, rows), "0x1");
        AssertRefused(EncodedImages.Png(5000, 5000, 8, 2, rows), "ends too early");
        AssertRefused(EncodedImages.Png(1, 1, 3, 2, rows), "bit depth 3");
        AssertRefused(EncodedImages.Png(1, 1, 8, 3, rows), "PLTE");

        byte[] bmp = EncodedImages.Bmp(EncodedImages.Quadrants());
        bmp[25] = 0x80;
        AssertRefused(bmp, "pixels");

        ImageLimits small = new() { MaxPixels = 100 };
        ImageFormatException error = Assert.Throws<ImageFormatException>(
            () => _decoder.Decode(PngWriter.Encode(new RgbImage(20, 6)), "a.png", small));
        Assert.Equal("a.png: expected at most 100 pixels, found 20x6 = 120.", error.Message);
        Assert.Throws<ImageFormatException>(() => _decoder.Decode(new byte[101], "a.png", new ImageLimits { MaxFileBytes = 100 }));
    }

    [Fact]
    public void OtherFilesAreRefusedByContent()
    {
        AssertRefused([], "empty");
        AssertRefused([0], "00");
        AssertRefused("This is not a picture."u8.ToArray(), "PNG, JPEG, WebP, GIF or BMP");
        AssertRefused("RIFF\0\0\0\0WAVEfmt and so on, and so on"u8.ToArray(), "PNG, JPEG, WebP, GIF or BMP");
    }

    [Fact]
    public void ADamagedChecksumIsRefused()
    {
        byte[] png = PngWriter.Encode(EncodedImages.Quadrants());
        png[^20] ^= 1;
        AssertRefused(png, "checksum");
    }

    [Fact]
    public void ABrokenStreamIsRefused()
    {
        byte[] good = EncodedImages.Png(2, 1, 8, 2, [9, 1, 2, 3, 4, 5, 6]);
        AssertRefused(good, "Png data");
        byte[] png = PngWriter.Encode(EncodedImages.Quadrants());
        byte[] rubbish = [.. png.AsSpan(0, 33), .. EncodedImages.Chunk("IDAT", [0x78, 0x9C, .. Enumerable.Range(0, 200).Select(i => (byte)i)]),
            .. EncodedImages.Chunk("IEND", [])];
        AssertRefused(rubbish, "Png data");
        byte[] empty = [.. png.AsSpan(0, 33), .. EncodedImages.Chunk("IEND", [])];
        AssertRefused(empty, "IDAT");
    }

    [Theory]
    [InlineData(SKEncodedImageFormat.Png)]
    [InlineData(SKEncodedImageFormat.Jpeg)]
    [InlineData(SKEncodedImageFormat.Webp)]
    [InlineData(SKEncodedImageFormat.Bmp)]
    public void EveryTruncationIsRefused(SKEncodedImageFormat format)
    {
        RgbImage image = EncodedImages.Quadrants();
        byte[] file = format == SKEncodedImageFormat.Bmp ? EncodedImages.Bmp(image) : EncodedImages.Skia(image, format, 80);
        for (int length = 0; length < file.Length; length++)
        {
            int end = length;
            Assert.Throws<ImageFormatException>(() => _decoder.Decode(file.AsSpan(0, end), "cut", ImageLimits.Default));
        }
    }

    [Fact]
    public void TextBehindTheEndIsIgnored()
    {
        RgbImage image = EncodedImages.Quadrants();
        AssertSame(image, [.. PngWriter.Encode(image), .. "trailing"u8]);
        AssertNear(image, Decode([.. EncodedImages.Skia(image, SKEncodedImageFormat.Jpeg), .. "trailing"u8]), 6, margin: 4);
    }

    [Fact]
    public void TooManyScansAreRefused()
    {
        byte[] jpeg = EncodedImages.Skia(EncodedImages.Quadrants(), SKEncodedImageFormat.Jpeg);
        int scan = jpeg.AsSpan().LastIndexOf((ReadOnlySpan<byte>)[0xFF, 0xDA]);
        byte[] scans = [.. Enumerable.Repeat(jpeg[scan..^2], 200).SelectMany(s => s)];
        AssertRefused([.. jpeg.AsSpan(0, scan), .. scans, 0xFF, 0xD9], "scans");
    }

    [Fact]
    public void RandomDamageNeverEscapesAsAnotherError()
    {
        RgbImage image = EncodedImages.Quadrants();
        byte[][] files =
        [
            EncodedImages.Skia(image, SKEncodedImageFormat.Png),
            EncodedImages.Skia(image, SKEncodedImageFormat.Jpeg, 60),
            EncodedImages.WithOrientation(EncodedImages.Skia(image, SKEncodedImageFormat.Jpeg, 90), 6),
            EncodedImages.Skia(image, SKEncodedImageFormat.Webp, 50),
            EncodedImages.Bmp(image),
            EncodedImages.Gif(24, 16, Palette, new byte[24 * 16], secondFrame: true),
        ];
        ImageLimits limits = new() { MaxPixels = 1 << 16 };
        SampleRandom random = new(1);
        int decoded = 0;
        for (int i = 0; i < 20_000; i++)
        {
            byte[] file = [.. files[random.Next(files.Length)]];
            for (int changes = 1 + random.Next(4); changes > 0; changes--)
            {
                // Half of the damage goes into the headers.
                file[random.Chance(0.5) ? random.Next(Math.Min(64, file.Length)) : random.Next(file.Length)] = (byte)random.NextUInt64();
            }

            try
            {
                RgbImage result = _decoder.Decode(file, "damaged", limits);
                Assert.InRange((long)result.Width * result.Height, 1, limits.MaxPixels);
                decoded++;
            }
            catch (ImageFormatException error)
            {
                Assert.Equal("damaged", error.FileName);
            }
        }

        Assert.InRange(decoded, 1, 19_999);
    }

    [Fact]
    public void DecodeFileNamesThePath()
    {
        string path = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName() + ".png");
        try
        {
            File.WriteAllBytes(path, PngWriter.Encode(EncodedImages.Quadrants()));
            Assert.Equal(24, _decoder.DecodeFile(path).Width);
            Assert.Contains(path, Assert.Throws<ImageFormatException>(
                () => _decoder.DecodeFile(path, new ImageLimits { MaxFileBytes = 10 })).Message, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(path);
        }
    }

    private RgbImage Decode(byte[] file)
    {
        return _decoder.Decode(file, "picture");
    }

    private void AssertSame(RgbImage expected, byte[] file)
    {
        RgbImage actual = Decode(file);
        Assert.Equal((expected.Width, expected.Height), (actual.Width, actual.Height));
        Assert.Equal(expected.Pixels, actual.Pixels);
    }

    /// <summary>Equal within a tolerance, away from the edges between the quadrants, which chroma subsampling blurs.</summary>
    private static void AssertNear(RgbImage expected, RgbImage actual, int tolerance, int margin)
    {
        Assert.Equal((expected.Width, expected.Height), (actual.Width, actual.Height));
        for (int y = 0; y < expected.Height; y++)
        {
            for (int x = 0; x < expected.Width; x++)
            {
                bool nearEdge = Math.Abs(x - (expected.Width / 2)) < margin || Math.Abs(y - (expected.Height / 2)) < margin;
                (byte red, byte green, byte blue) = actual[x, y];
                (byte r, byte g, byte b) = expected[x, y];
                int difference = Math.Max(Math.Abs(red - r), Math.Max(Math.Abs(green - g), Math.Abs(blue - b)));
                Assert.True(nearEdge || difference <= tolerance, $"({x},{y}) is {red},{green},{blue} instead of {r},{g},{b}");
            }
        }
    }

    private void AssertRefused(byte[] file, string because)
    {
        ImageFormatException error = Assert.Throws<ImageFormatException>(() => _decoder.Decode(file, "bad"));
        Assert.StartsWith("bad: expected ", error.Message, StringComparison.Ordinal);
        Assert.Contains(because, error.Message, StringComparison.Ordinal);
    }
}
