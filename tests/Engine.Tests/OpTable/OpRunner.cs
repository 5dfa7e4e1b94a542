using MiniVlp.Autograd;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Engine.Tests.OpTable;

/// <summary>Runs a case of the table on a device: values, gradients, accumulation, untouched operands, and no buffer left rented.</summary>
public static class OpRunner
{
    /// <summary>Runs a case forward and twice backward and compares with the reference; returns what it got.</summary>
    public static Result Check(OpCase opCase, Device device)
    {
        OpExpectation expected = OpExpectation.Of(opCase);
        Result one = Run(opCase, expected, device, needsGradient: null);
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
        return one;
    }

    /// <summary>Runs a case; gradients of all operands, or of one alone.</summary>
    public static Result Run(OpCase opCase, OpExpectation expected, Device device, int? needsGradient)
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

    public static void AssertClose(double[] expected, float[] actual, double tolerance, string what)
    {
        double scale = 1 + expected.Where(double.IsFinite).Select(Math.Abs).DefaultIfEmpty(0).Max();
        for (int i = 0; i < expected.Length; i++)
        {
            bool isClose = double.IsFinite(expected[i]) ? Math.Abs(expected[i] - actual[i]) <= tolerance * scale : expected[i].Equals(actual[i]);
            if (!isClose) Assert.Fail($"{what}, element {i}: expected {expected[i]}, actual {actual[i]}");
        }
    }

    public static void AssertSameBits(float[] expected, float[] actual, string what)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++)
        {
            if (BitConverter.SingleToInt32Bits(expected[i]) != BitConverter.SingleToInt32Bits(actual[i]))
                Assert.Fail($"{what}, element {i}: {expected[i]} and {actual[i]}");
        }
    }

    public sealed record Result(float[] Output, float[][] Gradients);
}
