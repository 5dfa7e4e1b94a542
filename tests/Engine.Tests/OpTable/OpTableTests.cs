using MiniVlp.Autograd;
using MiniVlp.Kernels;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Engine.Tests.OpTable;

/// <summary>Runs every case of the table on every CPU tier, with one and two threads.</summary>
[Collection("op table")]
public sealed class OpTableTests
{
    public static TheoryData<SimdTier, string> Rows()
    {
        TheoryData<SimdTier, string> rows = [];
        foreach (SimdTier tier in Enum.GetValues<SimdTier>())
            foreach (OpCase opCase in OpCases.All) rows.Add(tier, opCase.Name);
        return rows;
    }

    [Theory]
    [MemberData(nameof(Rows))]
    public void Forward_and_gradients_equal_the_reference(SimdTier tier, string name)
    {
        OpCase opCase = OpCases.Get(name);
        OpExpectation expected = OpExpectation.Of(opCase);
        Result one = Run(opCase, expected, TestDevices.Get(tier, 1), needsGradient: null);
        AssertClose(expected.Output, one.Output, opCase.Tolerance, "forward");
        for (int i = 0; i < one.Gradients.Length; i++)
        {
            foreach ((int element, double derivative) in expected.Gradients[i])
            {
                double error = Math.Abs(derivative - one.Gradients[i][element]);
                Assert.True(
                    error <= opCase.GradientTolerance * (1 + expected.GradientScale(i)),
                    $"gradient of operand {i}, element {element}: expected {derivative}, actual {one.Gradients[i][element]}");
            }
        }

        Result two = Run(opCase, expected, TestDevices.Get(tier, 2), needsGradient: null);
        AssertSameBits(one.Output, two.Output, "forward with two threads");
        for (int i = 0; i < one.Gradients.Length; i++) AssertSameBits(one.Gradients[i], two.Gradients[i], $"gradient of operand {i} with two threads");

        // A gradient does not depend on which other operands need one.
        for (int only = 0; opCase.HasGradient && opCase.Inputs.Length > 1 && only < opCase.Inputs.Length; only++)
        {
            Result alone = Run(opCase, expected, TestDevices.Get(tier, 1), needsGradient: only);
            AssertSameBits(one.Gradients[only], alone.Gradients[only], $"gradient of operand {only} alone");
        }
    }

    private static Result Run(OpCase opCase, OpExpectation expected, Device device, int? needsGradient)
    {
        int rented = device.Backend.RentedCount;
        Result result;
        using (TensorScope scope = new())
        {
            Tensor[] inputs = [.. opCase.Inputs.Select((shape, i) => Tensor.FromArray(expected.Inputs[i], shape, device))];
            for (int i = 0; i < inputs.Length; i++) inputs[i].NeedsGradient = opCase.HasGradient && (needsGradient is null || needsGradient == i);
            float[] output = Step(inputs);
            if (!opCase.HasGradient) return new Result(output, []);

            float[][] gradients = [.. inputs.Select(x => x.Gradient?.ToArray() ?? [])];
            Step(inputs);
            for (int i = 0; i < inputs.Length; i++)
            {
                if (!inputs[i].NeedsGradient) continue;
                Assert.True(inputs[i].HasGradient, $"operand {i} got no gradient");
                AssertClose([.. gradients[i].Select(g => 2.0 * g)], inputs[i].Gradient!.ToArray(), 2e-6, $"second backward pass of operand {i}");
            }

            result = new Result(output, gradients);
        }

        Assert.Equal(rented, device.Backend.RentedCount);
        return result;

        float[] Step(Tensor[] inputs)
        {
            using Tape tape = Tape.Record();
            Tensor y = opCase.Op(inputs);
            Assert.Equal(expected.Output.Length, y.Shape.Length);
            float[] values = y.ToArray();
            if (opCase.HasGradient) tape.Backward(y, Tensor.FromArray(expected.Cotangent, y.Shape, device));
            for (int i = 0; i < inputs.Length; i++) AssertSameBits(expected.Inputs[i], inputs[i].ToArray(), $"operand {i} after the operation");
            return values;
        }
    }

    private static void AssertClose(double[] expected, float[] actual, double tolerance, string what)
    {
        double scale = 1 + expected.Where(double.IsFinite).Select(Math.Abs).DefaultIfEmpty(0).Max();
        for (int i = 0; i < expected.Length; i++)
        {
            bool isClose = double.IsFinite(expected[i]) ? Math.Abs(expected[i] - actual[i]) <= tolerance * scale : expected[i].Equals(actual[i]);
            if (!isClose) Assert.Fail($"{what}, element {i}: expected {expected[i]}, actual {actual[i]}");
        }
    }

    private static void AssertSameBits(float[] expected, float[] actual, string what)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++)
        {
            if (BitConverter.SingleToInt32Bits(expected[i]) != BitConverter.SingleToInt32Bits(actual[i]))
                Assert.Fail($"{what}, element {i}: {expected[i]} and {actual[i]}");
        }
    }

    private sealed record Result(float[] Output, float[][] Gradients);
}
