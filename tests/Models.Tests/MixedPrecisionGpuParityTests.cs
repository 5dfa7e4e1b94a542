using MiniVlp.Kernels;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Models.Tests;

/// <summary>
/// The goldens in mixed precision: the operands of matrix products are rounded to bfloat16, all else is float32. On devices without tensor cores
/// the operands are rounded in the same way, so that this holds for the accuracy on tensor cores.
/// </summary>
public sealed class MixedPrecisionGpuParityTests
{
    /// <summary>Largest error of a tensor, relative to its largest value: bfloat16 has a unit roundoff of 2⁻⁸ = 0.4 %.</summary>
    private const double Tolerance = 2e-2;

    private static readonly string[] Models = ["vit_model", "vit_image_classification"];

    private static readonly string[] Devices = Environment.GetEnvironmentVariable("MINIVLP_TEST_DEVICES") is { Length: > 0 } names ? names.Split(',') : ["opencl", "cuda"];

    public static TheoryData<string, string> Cases()
    {
        TheoryData<string, string> cases = [];
        foreach (string device in Devices)
            foreach (string name in IsThere(device) ? Models : [string.Empty])
                cases.Add(device, name);
        return cases;
    }

    /// <summary>Outputs, losses and all parameter gradients are near the reference, and differ from float32: something was rounded.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void IsNearTheReference(string device, string name)
    {
        if (!IsThere(device)) Assert.Skip($"There is no {device} device here.");
        GpuBackend backend = device == "cuda" ? GpuBackend.CreateCuda(checkGuards: true) : GpuBackend.CreateOpenCl(checkGuards: true);
        using Device gpu = new(backend);
        IReadOnlyList<ParityRow> exact = Parity.Check(Goldens.Folder(name), gpu);
        backend.Precision = MatMulPrecision.BFloat16;
        IReadOnlyList<ParityRow> rows = Parity.Check(Goldens.Folder(name), gpu);
        Assert.Contains(rows.Zip(exact), pair => pair.First.MaxAbsolute > 10 * pair.Second.MaxAbsolute);
        string[] failed = [.. rows.Where(row => row.Problem is not null || !(row.MaxRelative <= Tolerance || IsOfKeyBias(row.Name))).Select(row => $"{row.Name}: {row.Problem ?? $"{row.MaxRelative:G3}"}")];
        Assert.True(failed.Length == 0, $"{failed.Length} of {rows.Count} differ:\n{string.Join("\n", failed)}");
        Assert.Equal(0, backend.RentedCount);
    }

    /// <summary>The same number added to all scores of a query changes no softmax: the gradient of a key's bias is zero but for rounding.</summary>
    private static bool IsOfKeyBias(string name) => name.StartsWith("grad.", StringComparison.Ordinal) && name.EndsWith("key.bias", StringComparison.Ordinal);

    private static bool IsThere(string device) => GpuSearch.Find().Devices.Any(found => found.Kind == device && found.Problem is null);
}
