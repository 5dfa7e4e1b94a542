using MiniVlp.Kernels;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Models.Tests;

/// <summary>The goldens on the GPUs that are here; an absent device is skipped by name.</summary>
public sealed class GpuParityTests
{
    /// <summary>Largest error of a tensor in mixed precision, relative to its largest value: bfloat16 has a unit roundoff of 2⁻⁸ = 0.4 %.</summary>
    private const double MixedTolerance = 2e-2;

    private static readonly string[] Devices = Environment.GetEnvironmentVariable("MINIVLP_TEST_DEVICES") is { Length: > 0 } names ? names.Split(',') : ["opencl", "cuda"];

    public static TheoryData<string, string> Cases()
    {
        TheoryData<string, string> cases = [];
        foreach (string device in Devices)
            foreach (string name in IsThere(device) ? Goldens.Names : [string.Empty])
                cases.Add(device, name);
        return cases;
    }

    /// <summary>
    /// Outputs, losses and all parameter gradients agree with the reference within its own tolerances, as on the CPU; then in mixed precision, within
    /// what bfloat16 allows: the operands of matrix products are rounded, all else is float32. Devices without tensor cores round in the same way.
    /// Generated texts are compared in full precision alone: they are choices, and a rounded operand may make another one.
    /// </summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void AgreesWithReference(string device, string name)
    {
        if (!IsThere(device)) Assert.Skip($"There is no {device} device here.");
        GpuBackend backend = Create(device);
        using Device gpu = new(backend);
        IReadOnlyList<ParityRow> exact = Parity.Check(Goldens.Folder(name), gpu);
        Assert.Contains(exact, row => row.Name.StartsWith("grad.", StringComparison.Ordinal));
        AssertPassed(exact, row => row.Passed);

        backend.Precision = MatMulPrecision.BFloat16;
        IReadOnlyList<ParityRow> mixed = Parity.Check(Goldens.Folder(name), gpu);
        AssertPassed(mixed, row => row.Problem is null && (row.MaxRelative <= MixedTolerance || IsOfKeyBias(row.Name) || IsProbe(row.Name) || row.Name.StartsWith("generate.", StringComparison.Ordinal)));
        bool isRounded = mixed.Zip(exact).Any(pair => pair.First.MaxAbsolute > 10 * pair.Second.MaxAbsolute);
        Assert.True(isRounded || !HasRoundedProducts(name), "Nothing was rounded.");
        Assert.Equal(0, backend.RentedCount);
    }

    private static void AssertPassed(IReadOnlyList<ParityRow> rows, Predicate<ParityRow> passed)
    {
        string[] failed = [.. rows.Where(row => !passed(row)).Select(row => $"{row.Name}: {row.Problem ?? $"{row.MaxAbsolute:G3} ({row.MaxRelative:G3} of the largest), allowed {row.Allowed:G3}"}")];
        Assert.True(failed.Length == 0, $"{failed.Length} of {rows.Count} differ:\n{string.Join("\n", failed)}");
    }

    /// <summary>Whether a golden has products large enough to be rounded; those of BERT's and MAE's, whose sizes are smaller than a tile, say nothing here.</summary>
    private static bool HasRoundedProducts(string name) => name is "vit_model" or "vit_image_classification" or "clip_model";

    /// <summary>The same number added to all scores of a query changes no softmax: the gradient of a key's bias is zero but for rounding.</summary>
    private static bool IsOfKeyBias(string name)
        => name.StartsWith("grad.", StringComparison.Ordinal) && (name.EndsWith("key.bias", StringComparison.Ordinal) || name.EndsWith("k_proj.bias", StringComparison.Ordinal));

    /// <summary>In a sum of few products with random signs the outputs cancel, the errors do not.</summary>
    private static bool IsProbe(string name) => name == "probe_loss";

    internal static GpuBackend Create(string device) => device == "cuda" ? GpuBackend.CreateCuda(checkGuards: true) : GpuBackend.CreateOpenCl(checkGuards: true);

    internal static bool IsThere(string device) => GpuSearch.Find().Devices.Any(found => found.Kind == device && found.Problem is null);
}
