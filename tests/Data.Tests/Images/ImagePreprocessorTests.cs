using System.Text.Json;
using MiniVlp.Data.Images;
using Xunit;

namespace MiniVlp.Data.Tests.Images;

public sealed class ImagePreprocessorTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("minivlp-preprocessor-").FullName;

    public void Dispose()
    {
        Directory.Delete(_folder, recursive: true);
    }

    [Theory]
    [InlineData("clip_preprocess.wide")]
    [InlineData("clip_preprocess.tall")]
    public void ClipEqualsTransformers(string name)
    {
        JsonElement golden = ImageGoldens.Case(name);
        RgbImage image = ImageGoldens.Image(golden, "inputs");
        ImagePreprocessor clip = ImagePreprocessor.Clip(18);

        (int width, int height) = clip.Size.Of(image.Width, image.Height);
        RgbImage resized = ImageGoldens.Image(golden, "outputs", "resized");
        Assert.Equal((resized.Width, resized.Height), (width, height));
        Assert.Equal(resized.Pixels, ImageResize.Resize(image, width, height, clip.Resample).Pixels);
        Assert.Equal(ImageGoldens.Image(golden, "outputs", "cropped").Pixels, clip.ResizeAndCrop(image).Pixels);
        AssertClose(ImageGoldens.Floats(golden, "outputs", "pixel_values"), clip.Process(image));
    }

    [Fact]
    public void BlipEqualsTransformers()
    {
        JsonElement golden = ImageGoldens.Case("blip_preprocess");
        AssertClose(ImageGoldens.Floats(golden, "outputs", "pixel_values"), ImagePreprocessor.Blip(18).Process(ImageGoldens.Image(golden, "inputs")));
    }

    [Fact]
    public void VitEqualsTransformers()
    {
        JsonElement golden = ImageGoldens.Case("vit_preprocess");
        AssertClose(ImageGoldens.Floats(golden, "outputs", "pixel_values"), ImagePreprocessor.Vit(18).Process(ImageGoldens.Image(golden, "inputs")));
    }

    [Theory]
    [InlineData(10000, 1)]
    [InlineData(1, 10000)]
    [InlineData(1, 1)]
    public void ExtremeShapesTakeLittleMemory(int width, int height)
    {
        RgbImage image = new(width, height);
        image.Pixels.AsSpan().Fill(200);
        long before = GC.GetAllocatedBytesForCurrentThread();
        RgbImage result = ImagePreprocessor.Clip(224).ResizeAndCrop(image);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 4_000_000);
        Assert.Equal((224, 224), (result.Width, result.Height));
        Assert.All(result.Pixels, p => Assert.Equal(200, p));
    }

    [Fact]
    public void KeepingTheAspectWithoutACropIsLimited()
    {
        ImagePreprocessor open = new() { Size = ResizeTarget.ShortestEdge(224) };
        Assert.Equal((448, 224), open.OutputSize(200, 100));
        Assert.Throws<ArgumentException>(() => open.ResizeAndCrop(new RgbImage(10000, 1)));
    }

    [Theory]
    [InlineData(5, 4, 8, 7)]
    [InlineData(5, 12, 8, 7)]
    [InlineData(12, 4, 7, 9)]
    public void ACropLargerThanThePictureIsFilledWithBlack(int width, int height, int cropWidth, int cropHeight)
    {
        SampleRandom random = new(7);
        RgbImage image = ImageResizeTests.Noise(width, height, ref random);
        ImagePreprocessor crop = new() { DoResize = false, DoCenterCrop = true, CropSize = (cropWidth, cropHeight) };
        RgbImage result = crop.ResizeAndCrop(image);
        int left = (int)Math.Floor((width - cropWidth) / 2.0);
        int top = (int)Math.Floor((height - cropHeight) / 2.0);
        for (int y = 0; y < cropHeight; y++)
        {
            for (int x = 0; x < cropWidth; x++)
            {
                bool inside = x + left >= 0 && x + left < width && y + top >= 0 && y + top < height;
                Assert.Equal(inside ? image[x + left, y + top] : default, result[x, y]);
            }
        }
    }

    [Fact]
    public void ReadsCurrentClipFiles()
    {
        ImagePreprocessor clip = Read("""
            {"crop_size": {"height": 200, "width": 210}, "do_center_crop": true, "do_convert_rgb": true, "do_normalize": true, "do_rescale": true,
             "do_resize": true, "image_mean": [0.1, 0.2, 0.3], "image_processor_type": "CLIPImageProcessorFast", "image_std": [0.4, 0.5, 0.6],
             "resample": 2, "rescale_factor": 0.5, "size": {"shortest_edge": 240}}
            """);
        Assert.Equal((210, 200), clip.CropSize);
        Assert.Equal(ResizeTarget.ShortestEdge(240), clip.Size);
        Assert.Equal(ResampleFilter.Bilinear, clip.Resample);
        Assert.Equal("CLIPImageProcessor", clip.ProcessorType);
        RgbImage image = new(1, 1, [10, 20, 30]);
        float[] values = new float[3];
        clip.Normalize(image, values);
        AssertClose([(float)((5 - 0.1) / 0.4), (float)((10 - 0.2) / 0.5), (float)((15 - 0.3) / 0.6)], values);
    }

    [Fact]
    public void ReadsOldFilesWithBareNumbers()
    {
        ImagePreprocessor clip = Read("""
            {"crop_size": 336, "do_center_crop": true, "do_normalize": true, "do_resize": true, "feature_extractor_type": "CLIPFeatureExtractor",
             "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711], "resample": 3, "size": 336}
            """);
        Assert.Equal(ResizeTarget.ShortestEdge(336), clip.Size);
        Assert.Equal((336, 336), clip.CropSize);
        Assert.True(clip.DoRescale);

        ImagePreprocessor vit = Read("""{"do_normalize": true, "do_resize": true, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "size": 384}""");
        Assert.Equal(ResizeTarget.Exact(384, 384), vit.Size);
        Assert.Equal(ResampleFilter.Bilinear, vit.Resample);
        Assert.False(vit.DoCenterCrop);
    }

    [Fact]
    public void AbsentAndNullFieldsTakeTheDefaultsOfTheProcessor()
    {
        AssertEqual(ImagePreprocessor.Clip(), Read("""{"image_processor_type": "CLIPImageProcessor", "resample": null, "size": null}"""));
        AssertEqual(ImagePreprocessor.Vit(), Read("""{"image_processor_type": "ViTFeatureExtractor"}"""));
        AssertEqual(ImagePreprocessor.Blip(), Read("""{"image_processor_type": "BlipImageProcessor"}"""));
        AssertEqual(ImagePreprocessor.Siglip(), Read("""{"image_processor_type": "SiglipImageProcessor"}"""));
    }

    [Fact]
    public void ReadsTheImagePartOfACombinedFile()
    {
        File.WriteAllText(
            Path.Combine(_folder, "processor_config.json"),
            """{"image_processor": {"image_processor_type": "BlipImageProcessor", "size": {"height": 30, "width": 40}}, "processor_class": "BlipProcessor"}""");
        Assert.Equal(ResizeTarget.Exact(40, 30), ImagePreprocessor.FromPretrained(_folder).Size);
    }

    [Fact]
    public void WhatIsSavedIsReadBack()
    {
        ImagePreprocessor[] all =
        [
            ImagePreprocessor.Clip(64),
            ImagePreprocessor.Vit(32),
            ImagePreprocessor.Blip(48),
            ImagePreprocessor.Siglip(),
            new ImagePreprocessor
            {
                DoResize = false, DoRescale = false, DoNormalize = false, DoCenterCrop = true, CropSize = (5, 6), RescaleFactor = 0.25,
                Resample = ResampleFilter.Lanczos, Mean = [0.1, 0.2, 0.3], Std = [1, 2, 3], Size = ResizeTarget.Exact(8, 9),
            },
        ];
        foreach (ImagePreprocessor saved in all)
        {
            saved.Save(_folder);
            AssertEqual(saved, ImagePreprocessor.FromPretrained(_folder));
            Assert.Equal(["preprocessor_config.json"], Directory.GetFiles(_folder).Select(Path.GetFileName));
        }
    }

    [Theory]
    [InlineData("""{"size": "224"}""", "'size'", "\"224\"")]
    [InlineData("""{"size": {"longest_edge": 224}}""", "'size'", "longest_edge")]
    [InlineData("""{"size": {"shortest_edge": -1}}""", "'size.shortest_edge'", "-1")]
    [InlineData("""{"size": {"height": 224}}""", "'size'", "height")]
    [InlineData("""{"size": {"height": 2.5, "width": 3}}""", "'size.height'", "2.5")]
    [InlineData("""{"size": 2000000000}""", "'size'", "2000000000")]
    [InlineData("""{"crop_size": {"shortest_edge": 224}}""", "'crop_size'", "shortest_edge")]
    [InlineData("""{"crop_size": []}""", "'crop_size'", "[]")]
    [InlineData("""{"resample": 7}""", "'resample'", "7")]
    [InlineData("""{"resample": "bicubic"}""", "'resample'", "bicubic")]
    [InlineData("""{"do_resize": 1}""", "'do_resize'", "1")]
    [InlineData("""{"image_mean": [0.5, 0.5]}""", "'image_mean'", "[0.5, 0.5]")]
    [InlineData("""{"image_mean": [0.5, 0.5, "x"]}""", "'image_mean'", "\"x\"")]
    [InlineData("""{"image_std": [0.5, 0.5, 0]}""", "'image_std'", "above zero")]
    [InlineData("""{"rescale_factor": "1/255"}""", "'rescale_factor'", "1/255")]
    [InlineData("""{"image_processor_type": "Qwen2VLImageProcessor"}""", "'image_processor_type'", "Qwen2VLImageProcessor")]
    [InlineData("""{"image_processor_type": 3}""", "'image_processor_type'", "3")]
    [InlineData("""[]""", "json object", "array")]
    [InlineData("""{"size": """, "json", "json")]
    public void WrongFieldsAreNamed(string json, string field, string found)
    {
        InvalidDataException error = Assert.Throws<InvalidDataException>(() => Read(json));
        Assert.Contains(Path.Combine(_folder, "preprocessor_config.json"), error.Message, StringComparison.Ordinal);
        Assert.Contains(field, error.Message, StringComparison.Ordinal);
        Assert.Contains(found, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AMissingFileAndAWrongOutputAreNamed()
    {
        Assert.Contains("preprocessor_config.json", Assert.Throws<FileNotFoundException>(
            () => ImagePreprocessor.FromPretrained(_folder)).Message, StringComparison.Ordinal);
        Assert.Contains("[3, 4, 4]", Assert.Throws<ArgumentException>(
            () => ImagePreprocessor.Vit(4).Process(new RgbImage(9, 9), new float[47])).Message, StringComparison.Ordinal);
    }

    private ImagePreprocessor Read(string json)
    {
        File.WriteAllText(Path.Combine(_folder, "preprocessor_config.json"), json);
        return ImagePreprocessor.FromPretrained(_folder);
    }

    private static void AssertEqual(ImagePreprocessor expected, ImagePreprocessor actual)
    {
        Assert.Equal(expected.ProcessorType, actual.ProcessorType);
        Assert.Equal(expected.Size, actual.Size);
        Assert.Equal(expected.Resample, actual.Resample);
        Assert.Equal((expected.DoResize, expected.DoCenterCrop, expected.DoRescale, expected.DoNormalize),
            (actual.DoResize, actual.DoCenterCrop, actual.DoRescale, actual.DoNormalize));
        Assert.Equal(expected.DoCenterCrop ? expected.CropSize : actual.CropSize, actual.CropSize);
        Assert.Equal(expected.RescaleFactor, actual.RescaleFactor);
        Assert.Equal(expected.Mean, actual.Mean);
        Assert.Equal(expected.Std, actual.Std);
    }

    private static void AssertClose(float[] expected, float[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++)
        {
            Assert.True(Math.Abs(expected[i] - actual[i]) <= 1e-5f, $"value {i} is {actual[i]} instead of {expected[i]}");
        }
    }
}
