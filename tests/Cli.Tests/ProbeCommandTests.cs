using System.Text.Json.Nodes;
using MiniVlp.Cli.Datasets;
using MiniVlp.Cli.Reports;
using MiniVlp.Data.Images;
using MiniVlp.Models;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Cli.Tests;

/// <summary><c>minivlp eval linear-probe</c>, <c>knn</c> and <c>reconstruction</c> on a masked autoencoder that was never trained.</summary>
public sealed class ProbeCommandTests : IDisposable
{
    private const int Size = 16;

    private readonly TemporaryFolder _folder = new();

    public ProbeCommandTests()
    {
        using Mae model = new(new MaeConfig
        {
            Encoder = new VisionTransformerConfig { ImageSize = Size, PatchSize = 4, Width = 24, Layers = 1, Heads = 2, HiddenWidth = 48 },
            DecoderWidth = 8,
            DecoderLayers = 1,
            DecoderHeads = 2,
            DecoderHiddenWidth = 16,
        });
        model.Initialize(Device.Cpu, seed: 1);
        model.SavePretrained(_folder["model"]);
        ImagePreprocessor.Vit(Size).Save(_folder["model"]);
    }

    public void Dispose() => _folder.Dispose();

    /// <summary>Random features tell colours apart far better than guessing does.</summary>
    [Theory]
    [InlineData("linear-probe", "linear")]
    [InlineData("knn", "knn")]
    public void AProbeOfScenesReportsColourAndShape(string command, string name)
    {
        string[] arguments = ["eval", command, "--model", _folder["model"], "--data", "scenes:train:300", "--test-data", "scenes:test:100"];
        JsonArray results = ToolRun.Of([.. arguments, "--json"]).Succeeds().Json.AsArray();
        Assert.Equal(["color", "shape"], results.Select(result => (string)result!["task"]!));
        foreach (JsonNode? result in results)
        {
            Assert.Equal(name, (string)result!["probe"]!);
            Assert.Equal((300, 100), ((int)result["train_pictures"]!, (int)result["test_pictures"]!));
            Assert.Equal(8, result["classes"]!.AsArray().Count);
            Assert.Equal(0.125, (double)result["chance"]!);
            Assert.InRange((double)result["accuracy"]!, 0, 1);
        }

        Assert.True((double)results[0]!["accuracy"]! > (double)results[0]!["majority"]! + 0.2, results.ToJsonString());
        Assert.Contains("shape", ToolRun.Of(arguments).Succeeds().Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("linear-probe")]
    [InlineData("knn")]
    public void AProbeOfClassFoldersTellsRedFromBlue(string command)
    {
        foreach (string split in (string[])["train", "test"])
        {
            foreach ((string name, byte red, byte blue) in ((string, byte, byte)[])[("red", 255, 0), ("blue", 0, 255)])
            {
                Directory.CreateDirectory(Path.Combine(_folder[split], name));
                for (int i = 0; i < 6; i++)
                {
                    RgbImage image = new(Size, Size);
                    for (int p = 0; p < Size * Size; p++) (image.Pixels[3 * p], image.Pixels[(3 * p) + 1], image.Pixels[(3 * p) + 2]) = (red, (byte)(i * (split == "train" ? 20 : 17)), blue);
                    File.WriteAllBytes(Path.Combine(_folder[split], name, $"{i}.png"), PngWriter.Encode(image));
                }
            }
        }

        string[] arguments = ["eval", command, "--model", _folder["model"], "--data", _folder["train"], "--label-field", "label", "--json"];
        JsonNode result = ToolRun.Of([.. arguments, "--test-data", _folder["test"]]).Succeeds().Json[0]!;
        Assert.Equal(1, (double)result["accuracy"]!);
        Assert.Equal(["blue", "red"], result["classes"]!.AsArray().Select(node => (string)node!));
        Assert.Equal(0.5, (double)result["majority"]!);
        ToolRun.Of(arguments).Fails(ExitCode.Failure, "--test-data");
        Directory.Move(Path.Combine(_folder["test"], "red"), Path.Combine(_folder["test"], "green"));
        ToolRun.Of([.. arguments, "--test-data", _folder["test"]]).Fails(ExitCode.Failure, "'green'");
    }

    [Fact]
    public void AProbeIsNotMeasuredOnWhatItLearntFrom()
    {
        string[] arguments = ["eval", "knn", "--model", _folder["model"], "--data", "scenes:train:20", "--test-data"];
        ToolRun.Of([.. arguments, "scenes:train:20"]).Fails(ExitCode.Failure, "another split");
        ToolRun.Of([.. arguments, "scenes-full:test:20"]).Fails(ExitCode.Failure, "same world");
        ToolRun.Of([.. arguments, _folder["model"]]).Fails(ExitCode.Failure, "measured on scenes");
    }

    [Fact]
    public void AReconstructionIsMeasuredAndDrawn()
    {
        string file = _folder["grid.png"];
        string[] arguments = ["eval", "reconstruction", "--model", _folder["model"], "--data", "scenes:validation:40", "--json"];
        JsonNode result = ToolRun.Of([.. arguments, "--out", file, "--pictures", "3"]).Succeeds().Json;
        Assert.Equal((40, 16, 4), ((int)result["pictures"]!, (int)result["patches"]!, (int)result["visible"]!));
        Assert.InRange((double)result["loss_of_zeros"]!, 0.05, 1);
        Assert.True((double)result["loss"]! > 0);
        RgbImage grid = new MiniVlp.Data.Skia.SkiaImageDecoder().Decode(File.ReadAllBytes(file), "grid.png");
        Assert.Equal(((3 * Size) + 4, (3 * Size) + 4), (grid.Width, grid.Height));
        Assert.Equal((double)result["loss"]!, (double)ToolRun.Of(arguments).Succeeds().Json["loss"]!);
        Assert.NotEqual((double)result["loss"]!, (double)ToolRun.Of([.. arguments, "--seed", "1"]).Succeeds().Json["loss"]!);
    }

    /// <summary>Left the picture itself, in the middle what the model sees of it, right what it completes: seen pixels are the same in all three.</summary>
    [Fact]
    public void AGridShowsPictureMaskAndReconstruction()
    {
        using Mae model = Mae.FromPretrained(_folder["model"]);
        RgbImage image = new(Size, Size);
        for (int i = 0; i < image.Pixels.Length; i++) image.Pixels[i] = (byte)(i * 37);
        Generator.Current = new Generator(1);
        RgbImage grid = ReconstructionGrid.Draw(model, ImagePreprocessor.Vit(Size), [image, image], Device.Cpu);
        Assert.Equal(((3 * Size) + 4, (2 * Size) + 2), (grid.Width, grid.Height));
        int seen = 0;
        for (int y = 0; y < Size; y++)
        {
            for (int x = 0; x < Size; x++)
            {
                Assert.Equal(image[x, y], grid[x, y]);
                Assert.Equal(image[x, y], grid[x, y + Size + 2]);
                if (grid[x + Size + 2, y] == (128, 128, 128)) continue;
                Assert.Equal(image[x, y], grid[x + Size + 2, y]);
                Assert.Equal(image[x, y], grid[x + (2 * (Size + 2)), y]);
                seen++;
            }
        }

        Assert.Equal(4 * 16, seen);
        Assert.Equal(((byte)255, (byte)255, (byte)255), grid[Size, 0]);
    }

    [Fact]
    public void TheRecipeWritesAModelThatCanBeMeasuredAndPicturesOfWhatItDoes()
    {
        string folder = _folder["trained"];
        ToolRun.Of("train", "--recipe", "mae", "--model", "tiny", "--data", "scenes:train:24", "--batch", "8", "--steps", "2", "--threads", "1", "--json", "--out", folder).Succeeds();
        RgbImage grid = new MiniVlp.Data.Skia.SkiaImageDecoder().Decode(File.ReadAllBytes(Path.Combine(folder, "reconstructions.png")), "reconstructions.png");
        Assert.Equal(((3 * 34) - 2, (8 * 34) - 2), (grid.Width, grid.Height));
        JsonNode result = ToolRun.Of("eval", "reconstruction", "--model", folder, "--data", "scenes:validation:8", "--json").Succeeds().Json;
        Assert.Equal((64, 16), ((int)result["patches"]!, (int)result["visible"]!));
    }

    [Fact]
    public void PixelsComeBackFromWhatTheModelTakes()
    {
        ImagePreprocessor preprocessor = ImagePreprocessor.Clip(Size);
        RgbImage image = new(Size, Size);
        for (int i = 0; i < image.Pixels.Length; i++) image.Pixels[i] = (byte)(i * 91);
        using Tensor pixels = PixelBatch.ToTensor(preprocessor, [image], Device.Cpu);
        Assert.Equal(image.Pixels, PixelBatch.ToImage(preprocessor, pixels.ToArray(), Size, Size).Pixels);
    }
}
