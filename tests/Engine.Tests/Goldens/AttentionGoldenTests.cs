using MiniVlp.Autograd;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Engine.Tests.Goldens;

/// <summary>Attention as PyTorch computed it; heads are moved between the axes on the host, since the goldens hold [batch, heads, tokens, headSize].</summary>
public sealed partial class AttentionGoldenTests
{
    public static TheoryData<string> Names() => [.. OpGolden.Names.Where(name => name.StartsWith("attention.", StringComparison.Ordinal))];

    private static void Check(string name, Device device)
    {
        int rented = device.Backend.RentedCount;
        using (Tape tape = Tape.Record())
        {
            OpGolden golden = new(name, device);
            int heads = golden.Floats("inputs", "q").Shape[1], keyValueHeads = golden.Floats("inputs", "k").Shape[1];
            Tensor query = Input(golden, "q"), key = Input(golden, "k"), value = Input(golden, "v");
            Tensor? bias = golden.Optional("bias");
            Tensor output = query.Attention(key, value, new AttentionOptions(heads)
            {
                KeyValueHeads = keyValueHeads,
                Scale = golden.HasArgument("scale") && golden.Argument("scale").ValueKind == System.Text.Json.JsonValueKind.Number ? golden.Float("scale") : 0f,
                Causal = golden.HasArgument("causal"),
                KeyMask = golden.HasInput("mask") ? golden.Indices("mask") : null,
                Bias = bias,
            });
            Tensor cotangent = Tensor.FromArray(Merged(golden, "cotangents", "y").Values, output.Shape, device);
            Check(Merged(golden, "outputs", "y").Values, output.ToArray(), 1e-5, "output");
            tape.Backward(output, cotangent);
            Check(Merged(golden, "grads", "q").Values, query.Gradient!.ToArray(), 2e-5, "gradient of the query");
            Check(Merged(golden, "grads", "k").Values, key.Gradient!.ToArray(), 2e-5, "gradient of the key");
            Check(Merged(golden, "grads", "v").Values, value.Gradient!.ToArray(), 2e-5, "gradient of the value");
            if (bias is { NeedsGradient: true }) Check(golden.Floats("grads", "bias").Values, bias.Gradient!.ToArray(), 2e-5, "gradient of the bias");
        }

        Assert.Equal(rented, device.Backend.RentedCount);
    }

    private static Tensor Input(OpGolden golden, string name)
    {
        (Shape shape, float[] values) = Merged(golden, "inputs", name);
        Tensor tensor = Tensor.FromArray(values, shape, golden.Device);
        tensor.NeedsGradient = true;
        return tensor;
    }

    /// <summary>[batch, heads, tokens, headSize] as [batch, tokens, heads · headSize].</summary>
    private static (Shape Shape, float[] Values) Merged(OpGolden golden, string role, string name)
    {
        (Shape shape, float[] values) = golden.Floats(role, name);
        (int batch, int heads, int tokens, int headSize) = (shape[0], shape[1], shape[2], shape[3]);
        float[] merged = new float[values.Length];
        for (int i = 0; i < values.Length; i++)
        {
            int c = i % headSize, token = i / headSize % tokens, head = i / headSize / tokens % heads, b = i / headSize / tokens / heads;
            merged[(((((b * tokens) + token) * heads) + head) * headSize) + c] = values[i];
        }

        return ([batch, tokens, heads * headSize], merged);
    }

    private static void Check(float[] expected, float[] actual, double relative, string what)
    {
        Assert.Equal(expected.Length, actual.Length);
        double limit = 1e-6 + (relative * expected.Max(MathF.Abs));
        for (int i = 0; i < expected.Length; i++)
            Assert.True(Math.Abs(expected[i] - actual[i]) <= limit, $"{what}, element {i}: expected {expected[i]}, actual {actual[i]}");
    }
}
