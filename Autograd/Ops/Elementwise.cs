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

        /// <summary>y = eˣ.</summary>
        public Tensor Exp() => x.Apply<Exp>();

        /// <summary>y = ln x; -∞ at 0, NaN below.</summary>
        public Tensor Log() => x.Apply<Log>();

        /// <summary>y = √x; NaN below 0.</summary>
        public Tensor Sqrt() => x.Apply<Sqrt>();

        /// <summary>y = x².</summary>
        public Tensor Square() => x.Apply<Square>();

        /// <summary>y = |x|.</summary>
        public Tensor Abs() => x.Apply<Abs>();

        /// <summary>y = -x.</summary>
        public Tensor Negate() => x.Apply<Negate>();

        /// <summary>y = 1 / x.</summary>
        public Tensor Reciprocal() => x.Apply<Reciprocal>();

        /// <summary>y = erf(x).</summary>
        public Tensor Erf() => x.Apply<Erf>();

        /// <summary>y = x · tanh(ln(1 + eˣ)), see <see cref="Kernels.Mish"/>.</summary>
        public Tensor Mish() => x.Apply<Mish>();

        /// <summary>y = tanh x.</summary>
        public Tensor Tanh() => x.Apply<Tanh>();

        /// <summary>y = σ(x) = 1 / (1 + e^(-x)).</summary>
        public Tensor Sigmoid() => x.Apply<Sigmoid>();

        /// <summary>y = ln σ(x), without overflow.</summary>
        public Tensor LogSigmoid() => x.Apply<LogSigmoid>();

        /// <summary>y = ln(1 + eˣ), without overflow.</summary>
        public Tensor Softplus() => x.Apply<Softplus>();

        /// <summary>y = max(x, 0).</summary>
        public Tensor Relu() => x.Apply<Relu>();

        /// <summary>y = min(max(x, 0), 6).</summary>
        public Tensor Relu6() => x.Apply<Relu6>();

        /// <summary>y = x · Φ(x), the exact GELU, see <see cref="Kernels.Gelu"/>.</summary>
        public Tensor Gelu() => x.Apply<Gelu>();

        /// <summary>GELU approximated by tanh, see <see cref="Kernels.GeluTanh"/>.</summary>
        public Tensor GeluTanh() => x.Apply<GeluTanh>();

        /// <summary>y = x · σ(1.702 x), see <see cref="Kernels.QuickGelu"/>.</summary>
        public Tensor QuickGelu() => x.Apply<QuickGelu>();

        /// <summary>y = x · σ(x).</summary>
        public Tensor Silu() => x.Apply<Silu>();
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
