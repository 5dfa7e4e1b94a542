using MiniVlp.Engine.Tests.OpTable;
using MiniVlp.PtxSim.Driver;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.PtxSim.Tests;

/// <summary>
/// The table of operations on a simulated CUDA device: what ILGPU really emits runs instruction by instruction, and every access of memory is
/// checked. Cases with more elements than <see cref="LargestCase"/> are left out: they take long and reach no other code.
/// </summary>
[Collection(nameof(StandInDriver))]
public sealed class SimulatedOpTableTests
{
    /// <summary>Elements of all operands together, above which a case is left out.</summary>
    private const int LargestCase = 20_000;

    private const string Absent = "(absent)";

    /// <summary>All cases; while working on some, only those of the methods named in MINIVLP_TEST_OPS (with commas between).</summary>
    private static IEnumerable<OpCase> Cases => Environment.GetEnvironmentVariable("MINIVLP_TEST_OPS") is { Length: > 0 } methods
        ? OpCases.All.Where(c => methods.Split(',').Contains(c.Method, StringComparer.Ordinal))
        : OpCases.All;

    public static TheoryData<string> Rows()
    {
        TheoryData<string> rows = [];
        if (SimulatedDevice.Instance.Device is null) rows.Add(Absent);
        else foreach (OpCase opCase in Cases.Where(c => c.Inputs.Sum(shape => (long)shape.Length) <= LargestCase)) rows.Add(opCase.Name);
        return rows;
    }

    [Theory]
    [MemberData(nameof(Rows))]
    public void Forward_and_gradients_equal_the_reference(string name)
    {
        (Device? device, string reason) = SimulatedDevice.Instance;
        if (device is null)
        {
            Assert.Skip(reason);
            return;
        }

        OpRunner.Check(OpCases.Get(name), device);
    }
}
