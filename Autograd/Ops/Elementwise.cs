using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Autograd;

/// <summary>Element-wise functions of one tensor.</summary>
public static class ElementwiseOps
{
    extension(Tensor x)
    {
        /// <summary>y[i] = f(x[i]) for any operation written as a type; x and y have the same shape.</summary>
        /// <typeparam name="TOp">The operation.</typeparam>
        public Tensor Apply<TOp>()
            where TOp : struct, IUnaryOp
            => Tape.Add(new UnaryFunction<TOp>(x), x);

        /// <summary>y = x · σ(1.702 x), see <see cref="Kernels.QuickGelu"/>.</summary>
        public Tensor QuickGelu() => x.Apply<QuickGelu>();
    }

    private sealed class UnaryFunction<TOp> : Function
        where TOp : struct, IUnaryOp
    {
        private readonly Tensor _x;

        public UnaryFunction(Tensor x)
        {
            _x = x;
            Output = Allocate(x.Shape, x.Device);
            x.Device.Backend.Unary<TOp>(x.Buffer, Output.Buffer);
        }

        public override void Backward(DeviceBuffer outputGradient)
            => _x.Device.Backend.UnaryBackward<TOp>(_x.Buffer, Output.Buffer, outputGradient, _x.GradientTarget());
    }
}
