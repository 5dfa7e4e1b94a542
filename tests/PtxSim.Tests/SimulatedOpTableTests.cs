using MiniVlp.Engine.Tests.OpTable;
using MiniVlp.Kernels;
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

    /// <summary>Error of mixed precision, relative to the largest element of a result or of a gradient.</summary>
    private const double MixedTolerance = 2e-2;

    private const string Absent = "(absent)";

    /// <summary>The operations that round their operands in mixed precision.</summary>
    private static readonly string[] MixedMethods = ["MatMul", "Linear", "Attention", "SoftmaxContrastive", "SigmoidContrastive"];

    /// <summary>Cases that are large enough for tensor cores, and a kernel that each must launch.</summary>
    private static readonly Dictionary<string, string> TensorCoreKernels = new(StringComparer.Ordinal)
    {
        ["MatMul 25x65x40 NN"] = "MmaMatMulKernel",
        ["MatMul 211x275x29 TN"] = "MmaMatMulKernel",
        ["Linear [260, 33] to 270"] = "MmaMatMulKernel",
        ["Attention head of 32, key mask, causal, grouped heads"] = "TensorCoreKeyGradientKernel",
        ["Attention head of 64, bias per head"] = "TensorCoreAttentionKernel",
        ["SoftmaxContrastive several tiles"] = "TensorCoreContrastiveGradientKernel",
    };

    /// <summary>All cases; while working on some, only those of the methods named in MINIVLP_TEST_OPS (with commas between).</summary>
    private static IEnumerable<OpCase> Cases => Environment.GetEnvironmentVariable("MINIVLP_TEST_OPS") is { Length: > 0 } methods
        ? OpCases.All.Where(c => methods.Split(',').Contains(c.Method, StringComparer.Ordinal))
        : OpCases.All;

    public static TheoryData<string> Rows() => RowsOf(_ => true);

    public static TheoryData<string> MixedRows() => RowsOf(c => MixedMethods.Contains(c.Method, StringComparer.Ordinal));

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
    /// <summary>The same in bfloat16, where the case has products, attention or a contrastive loss; small ones stay in float32.</summary>
    [Theory]
    [MemberData(nameof(MixedRows))]
    public void Mixed_precision_is_near_the_reference(string name)
    {
        (Device? device, string reason) = SimulatedDevice.Instance;
        if (device is null)
        {
            Assert.Skip(reason);
            return;
        }

        OpCase opCase = OpCases.Get(name);
        OpExpectation expected = OpExpectation.Of(opCase);
        HashSet<string> launched = new(StringComparer.Ordinal);
        GpuBackend backend = (GpuBackend)device.Backend;
        OpRunner.Result result;
        backend.Precision = MatMulPrecision.BFloat16;
        StandInDriver.OnLaunch = (kernel, _) => launched.Add(kernel.Name.Split('_')[0]);
        try
        {
            result = OpRunner.Run(opCase, expected, device, needsGradient: null);
        }
        finally
        {
            StandInDriver.OnLaunch = null;
            backend.Precision = MatMulPrecision.Float32;
        }

        double scale = expected.Output.Select(Math.Abs).DefaultIfEmpty(0).Max();
        for (int i = 0; i < expected.Output.Length; i++) AssertNear(expected.Output[i], result.Output[i], scale, $"element {i}");
        for (int i = 0; i < result.Gradients.Length; i++)
        {
            foreach ((int element, double derivative) in expected.Gradients[i])
                AssertNear(derivative, result.Gradients[i][element], expected.GradientScale(i), $"gradient of operand {i}, element {element}");
        }

        if (!StandInDriver.UsesRealDriver && TensorCoreKernels.TryGetValue(name, out string? required)) Assert.Contains(required, launched);
    }

    [Fact]
    public void The_table_has_the_cases_that_are_large_enough_for_tensor_cores()
        => Assert.All(TensorCoreKernels.Keys, name => Assert.InRange(OpCases.Get(name).Inputs.Sum(shape => (long)shape.Length), 1, LargestCase));

    private static void AssertNear(double expected, float actual, double scale, string what)
        => Assert.True(Math.Abs(expected - actual) <= (MixedTolerance * scale) + 1e-5, $"{what}: expected {expected}, actual {actual}, the largest {scale}");

    private static TheoryData<string> RowsOf(Func<OpCase, bool> isWanted)
    {
        TheoryData<string> rows = [];
        if (SimulatedDevice.Instance.Device is null) rows.Add(Absent);
        else foreach (OpCase opCase in Cases.Where(c => isWanted(c) && c.Inputs.Sum(shape => (long)shape.Length) <= LargestCase)) rows.Add(opCase.Name);
        return rows;
    }
}
