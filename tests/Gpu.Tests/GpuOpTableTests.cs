using MiniVlp.Engine.Tests.OpTable;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Gpu.Tests;

/// <summary>The table of operations on every device of ILGPU that is here; a device that is absent is one skipped test with its name.</summary>
public sealed class GpuOpTableTests
{
    private const string Absent = "(absent)";

    /// <summary>Elements of all operands together that ILGPU's CPU accelerator can take in a moment.</summary>
    private const int TinyCase = 256;

    /// <summary>One case of each operation, the largest that is tiny: every group there is 256 threads of the operating system.</summary>
    private static IEnumerable<OpCase> TinyCases => Cases
        .Where(c => c.Inputs.Sum(shape => shape.Length) <= TinyCase)
        .GroupBy(c => c.Method, StringComparer.Ordinal)
        .Select(cases => cases.MaxBy(c => c.Inputs.Sum(shape => shape.Length))!);

    /// <summary>All cases; while working on some, only those of the methods named in MINIVLP_TEST_OPS (with commas between).</summary>
    private static IEnumerable<OpCase> Cases => Environment.GetEnvironmentVariable("MINIVLP_TEST_OPS") is { Length: > 0 } methods
        ? OpCases.All.Where(c => methods.Split(',').Contains(c.Method, StringComparer.Ordinal))
        : OpCases.All;

    public static TheoryData<string, string> Rows()
    {
        TheoryData<string, string> rows = [];
        foreach (string device in GpuDevices.Names)
        {
            if (GpuDevices.Find(device).Device is null) rows.Add(device, Absent);
            else foreach (OpCase opCase in device == "ilgpu-cpu" ? TinyCases : Cases) rows.Add(device, opCase.Name);
        }

        return rows;
    }

    [Theory]
    [MemberData(nameof(Rows))]
    public void Forward_and_gradients_equal_the_reference(string deviceName, string name)
    {
        (Device? device, string reason) = GpuDevices.Find(deviceName);
        if (device is null)
        {
            Assert.Skip($"{deviceName}: {reason}");
            return;
        }

        OpCase opCase = OpCases.Get(name);
        OpRunner.Result first = OpRunner.Check(opCase, device);
        OpRunner.Result again = OpRunner.Run(opCase, OpExpectation.Of(opCase), device, needsGradient: null);
        OpRunner.AssertSameBits(first.Output, again.Output, "forward again");
        for (int i = 0; i < first.Gradients.Length; i++) OpRunner.AssertSameBits(first.Gradients[i], again.Gradients[i], $"gradient of operand {i} again");

        // A gradient does not depend on which other operands need one.
        for (int only = 0; opCase.HasGradient && opCase.Inputs.Length > 1 && only < opCase.Inputs.Length; only++)
        {
            OpRunner.Result alone = OpRunner.Run(opCase, OpExpectation.Of(opCase), device, needsGradient: only);
            OpRunner.AssertSameBits(first.Gradients[only], alone.Gradients[only], $"gradient of operand {only} alone");
        }
    }
}
