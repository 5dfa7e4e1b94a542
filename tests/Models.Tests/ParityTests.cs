using MiniVlp.Autograd;
using MiniVlp.Kernels;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Models.Tests;

public sealed class ParityTests
{
    public static TheoryData<string, SimdTier> Cases()
    {
        TheoryData<string, SimdTier> cases = [];
        foreach (string name in Goldens.Names)
            foreach (SimdTier tier in Enum.GetValues<SimdTier>())
                cases.Add(name, tier);
        return cases;
    }

    /// <summary>Outputs, losses and all parameter gradients agree with the float64-checked reference within its own tolerances.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void AgreesWithReference(string name, SimdTier tier)
    {
        Assert.SkipWhen(tier > CpuBackend.WidestTier, $"This machine has no {tier}.");
        CpuBackend backend = new(threads: 2, tier, checkGuards: true);
        using Device device = new(backend);
        IReadOnlyList<ParityRow> rows = Parity.Check(Goldens.Folder(name), device);
        Assert.Contains(rows, row => row.Name.StartsWith("grad.", StringComparison.Ordinal));
        string[] failed = [.. rows.Where(row => !row.Passed).Select(row => $"{row.Name}: {row.Problem ?? $"{row.MaxAbsolute:G3}, allowed {row.Allowed:G3}"}")];
        Assert.True(failed.Length == 0, $"{failed.Length} of {rows.Count} differ:\n{string.Join("\n", failed)}");
        Assert.Equal(0, backend.RentedCount);
    }

    /// <summary>
    /// Packed weights give the outputs of the model within what their format allows: the reference's own tolerance; the 2⁻⁹ that bfloat16
    /// rounds by, a few layers on; the half of a 127th of the largest weight of each output that int8 does. A probe is left out there: in a sum of few
    /// products with random signs the outputs cancel, the errors do not.
    /// </summary>
    [Theory]
    [MemberData(nameof(PackedCases))]
    public void PackedWeightsAgreeWithReference(string name, WeightFormat format)
    {
        CpuBackend backend = new(threads: 2, checkGuards: true);
        using Device device = new(backend);
        IReadOnlyList<ParityRow> rows = Parity.Check(Goldens.Folder(name), device, weights: format);
        Assert.NotEmpty(rows);
        double tolerance = format is WeightFormat.BFloat16 ? 2e-2 : 4e-2;
        string[] failed = [.. rows.Where(row => format is WeightFormat.Float32 ? !row.Passed : !(row.MaxRelative <= tolerance || row.Name == "probe_loss")).Select(row => $"{row.Name}: {row.Problem ?? $"{row.MaxRelative:G3}"}")];
        Assert.True(failed.Length == 0, $"{failed.Length} of {rows.Count} differ:\n{string.Join("\n", failed)}");
        Assert.Equal(format is not WeightFormat.Float32, rows.Any(row => row.MaxRelative > 1e-4));
        Assert.Equal(0, backend.RentedCount);
    }

    public static IEnumerable<TheoryDataRow<string, WeightFormat>> PackedCases()
        => Goldens.Names.SelectMany(name => Enum.GetValues<WeightFormat>().Select(format => new TheoryDataRow<string, WeightFormat>(name, format)));

    [Fact]
    public void APackedModelCannotBeTrainedOrSaved()
    {
        using PretrainedModel model = Architectures.Load(Goldens.Folder("clip_model"), Device.Cpu);
        model.PackWeights(WeightFormat.BFloat16);
        using TemporaryFolder folder = new();
        Assert.Contains("packed", Assert.Throws<InvalidOperationException>(() => model.SavePretrained(folder.Path)).Message, StringComparison.Ordinal);
        Assert.Contains("packed", Assert.Throws<InvalidOperationException>(() => model.PackWeights()).Message, StringComparison.Ordinal);
        using Tape tape = Tape.Record();
        Clip clip = (Clip)model;
        using Tensor image = Tensor.Zeros([1, 3, clip.Config.ImageSize, clip.Config.ImageSize]);
        Assert.Contains("packed", Assert.Throws<InvalidOperationException>(() => clip.EncodeImage(image)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void NoticesAChangedWeight()
    {
        using TemporaryFolder folder = Goldens.Copy("clip_model");
        byte[] weights = File.ReadAllBytes(folder.File("model.safetensors"));
        weights[^3] ^= 0x40;
        File.WriteAllBytes(folder.File("model.safetensors"), weights);
        Assert.Contains(Parity.Check(folder.Path), row => !row.Passed);
    }

    [Fact]
    public void ReportsAnOutputThatTheModelDoesNotGive()
    {
        using TemporaryFolder folder = Goldens.Copy("bert_model");
        File.Copy(Path.Combine(Goldens.Folder("clip_model"), "outputs.safetensors"), folder.File("outputs.safetensors"), overwrite: true);
        Assert.Contains(Parity.Check(folder.Path), row => row is { Name: "image_embeds", Problem: "missing" });
    }

    [Fact]
    public void UsesItsOwnToleranceWithoutMeta()
    {
        using TemporaryFolder folder = Goldens.Copy("vit_image_classification");
        File.Delete(folder.File("meta.json"));
        Assert.All(Parity.Check(folder.Path), row => Assert.True(row.Passed, row.ToString()));
        Assert.Contains(Parity.Check(folder.Path, tolerance: 1e-12), row => row.MaxAbsolute > 0 && row.Allowed < 1e-5);
    }

    [Theory]
    [InlineData("meta.json", "{}", "tolerance_outputs")]
    [InlineData("meta.json", "[", "meta.json")]
    [InlineData("config.json", "{\"architectures\":[\"GPT5\"]}", "GPT5")]
    [InlineData("config.json", "{}", "architectures")]
    public void NamesFileAndField(string file, string content, string expected)
    {
        using TemporaryFolder folder = Goldens.Copy("vit_model");
        File.WriteAllText(folder.File(file), content);
        ModelFormatException exception = Assert.Throws<ModelFormatException>(() => Parity.Check(folder.Path));
        Assert.Contains(expected, exception.Message, StringComparison.Ordinal);
        Assert.Contains(file, exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void NamesTheMissingFile()
    {
        using TemporaryFolder folder = Goldens.Copy("vit_model");
        File.Delete(folder.File("inputs.safetensors"));
        Assert.Contains("inputs.safetensors", Assert.Throws<ModelFormatException>(() => Parity.Check(folder.Path)).Message, StringComparison.Ordinal);
    }
}
