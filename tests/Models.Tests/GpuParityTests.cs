using MiniVlp.Kernels;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Models.Tests;

/// <summary>The goldens on the GPUs that are here; an absent device is skipped by name.</summary>
public sealed class GpuParityTests
{
    private static readonly string[] Devices = Environment.GetEnvironmentVariable("MINIVLP_TEST_DEVICES") is { Length: > 0 } names ? names.Split(',') : ["opencl", "cuda"];

    public static TheoryData<string, string> Cases()
    {
        TheoryData<string, string> cases = [];
        foreach (string device in Devices)
            foreach (string name in IsThere(device) ? Goldens.Names : [string.Empty])
                cases.Add(device, name);
        return cases;
    }

    /// <summary>Outputs, losses and all parameter gradients agree with the reference within its own tolerances, as on the CPU.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void AgreesWithReference(string device, string name)
    {
        if (!IsThere(device)) Assert.Skip($"There is no {device} device here.");
        GpuBackend backend = device == "cuda" ? GpuBackend.CreateCuda(checkGuards: true) : GpuBackend.CreateOpenCl(checkGuards: true);
        using Device gpu = new(backend);
        IReadOnlyList<ParityRow> rows = Parity.Check(Goldens.Folder(name), gpu);
        Assert.Contains(rows, row => row.Name.StartsWith("grad.", StringComparison.Ordinal));
        string[] failed = [.. rows.Where(row => !row.Passed).Select(row => $"{row.Name}: {row.Problem ?? $"{row.MaxAbsolute:G3}, allowed {row.Allowed:G3}"}")];
        Assert.True(failed.Length == 0, $"{failed.Length} of {rows.Count} differ:\n{string.Join("\n", failed)}");
        Assert.Equal(0, backend.RentedCount);
    }

    private static bool IsThere(string device) => GpuSearch.Find().Devices.Any(found => found.Kind == device && found.Problem is null);
}
