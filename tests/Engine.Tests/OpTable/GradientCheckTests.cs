using MiniVlp.Autograd;
using MiniVlp.Kernels;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Engine.Tests.OpTable;

public sealed class GradientCheckTests
{
    [Fact]
    public void A_right_gradient_passes_and_operands_are_left_alone()
    {
        using TensorScope scope = new();
        Tensor x = Tensor.FromArray([0.3f, -1.2f, 2f, 0.7f, 0.1f, -0.4f], [2, 3]), weight = Tensor.FromArray([1f, 0.5f, -2f], [3]);
        x.NeedsGradient = weight.NeedsGradient = true;
        GradientCheckResult result = GradientCheck.Run(t => t[0].LayerNorm(t[1]).Gelu(), [x, weight]);
        Assert.InRange(result.Error, 1e-9, 5e-3);
        Assert.Equal([0.3f, -1.2f, 2f, 0.7f, 0.1f, -0.4f], x.ToArray());
    }

    [Fact]
    public void A_wrong_gradient_is_found_and_named()
    {
        using TensorScope scope = new();
        Tensor x = Tensor.FromArray([0.5f, 2f], [2]);
        x.NeedsGradient = true;
        GradientCheckResult result = GradientCheck.Run(t => t[0].Apply<WrongSquare>(), [x]);
        Assert.True(result.Error > 0.1);
        Assert.Equal((0, 1), (result.Operand, result.Element));
        Assert.Equal(2 * result.Analytic, result.Numeric, 1e-2);
        x.NeedsGradient = false;
        Assert.Throws<ArgumentException>(() => GradientCheck.Run(t => t[0].Square(), [x]));
    }

    private readonly struct WrongSquare : IUnaryOp
    {
        public static float Forward(float x) => x * x;

        public static float Derivative(float x, float y) => x;
    }
}
