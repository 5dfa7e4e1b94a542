using MiniVlp.Autograd;
using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Engine.Tests.OpTable;

public static class ElementwiseCases
{
    private static readonly Shape[] Ragged = [[], [0], [1], [17], [3, 31], [33, 7]];

    public static IEnumerable<OpCase> Cases =>
    [
        .. Unary("Exp", x => x.Exp(), Math.Exp),
        .. Unary("Log", x => x.Log(), Math.Log, 0.1f, 9f),
        .. Unary("Sqrt", x => x.Sqrt(), Math.Sqrt, 0.2f, 9f),
        .. Unary("Square", x => x.Square(), v => v * v),
        .. Unary("Abs", x => x.Abs(), Math.Abs),
        .. Unary("Negate", x => x.Negate(), v => -v),
        .. Unary("Reciprocal", x => x.Reciprocal(), v => 1 / v, 0.3f, 4f),
        .. Unary("Erf", x => x.Erf(), DoubleMath.Erf, -5f, 5f),
        .. Unary("Tanh", x => x.Tanh(), Math.Tanh, -9f, 9f),
        .. Unary("Sigmoid", x => x.Sigmoid(), DoubleMath.Sigmoid, -20f, 20f),
        .. Unary("LogSigmoid", x => x.LogSigmoid(), v => -DoubleMath.Softplus(-v), -20f, 20f),
        .. Unary("Softplus", x => x.Softplus(), DoubleMath.Softplus, -20f, 20f),
        .. Unary("Relu", x => x.Relu(), v => Math.Max(v, 0)),
        .. Unary("Relu6", x => x.Relu6(), v => Math.Clamp(v, 0, 6), -3f, 9f),
        .. Unary("Gelu", x => x.Gelu(), v => 0.5 * v * (1 + DoubleMath.Erf(v / Math.Sqrt(2))), -7f, 7f),
        .. Unary("GeluTanh", x => x.GeluTanh(), v => 0.5 * v * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (v + (0.044715 * v * v * v)))), -7f, 7f),
        .. Unary("QuickGelu", x => x.QuickGelu(), v => v * DoubleMath.Sigmoid(1.702 * v), -7f, 7f),
        .. Unary("Silu", x => x.Silu(), v => v * DoubleMath.Sigmoid(v), -9f, 9f),
        .. Unary("Mish", x => x.Mish(), v => v * Math.Tanh(Math.Log(1 + Math.Exp(v))), -9f, 9f),
        .. Unary("Apply", x => x.Apply<Cube>(), v => v * v * v),
        new("Tanh two chunks", [[20_011]], t => t[0].Tanh(), x => [.. x[0].Select(Math.Tanh)]) { GradientSamples = 5 },
    ];

    private static IEnumerable<OpCase> Unary(string name, Func<Tensor, Tensor> op, Func<double, double> reference, float low = -4f, float high = 4f)
        => Ragged.Select(shape => new OpCase($"{name} {shape}", [shape], t => op(t[0]), x => [.. x[0].Select(reference)]) { Range = (low, high) });

    /// <summary>What a user writes: scalar forms only. Public, or ILGPU could not run it on its CPU accelerator.</summary>
    public readonly struct Cube : IUnaryOp
    {
        public static float Forward(float x) => x * x * x;

        public static float Derivative(float x, float y) => 3f * x * x;
    }
}
