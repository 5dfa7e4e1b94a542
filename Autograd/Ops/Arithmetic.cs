using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Autograd;

/// <summary>
/// Element-wise functions of two tensors. One operand has the shape of the result; the other one may be smaller and spread over it:
/// [width] or [tokens, width] over [batch, tokens, width], [batch, tokens, 1], [batch, 1, width], or a single element.
/// The gradient of an operand that was spread is summed in a fixed order.
/// </summary>
public static class ArithmeticOps
{
    extension(Tensor left)
    {
        /// <summary>y = f(left, right) for any operation of two arguments written as a type.</summary>
        /// <typeparam name="TOp">The operation.</typeparam>
        /// <exception cref="ShapeException">Neither operand spreads over the other.</exception>
        public Tensor Apply<TOp>(Tensor right)
            where TOp : struct, IBinaryOp
            => Compute<TOp>(typeof(TOp).Name, left, right);

        /// <summary>y = max(left, right), element by element.</summary>
        /// <exception cref="ShapeException">Neither operand spreads over the other.</exception>
        public Tensor Maximum(Tensor right) => Compute<Maximum>("Maximum", left, right);

        /// <summary>y = min(left, right), element by element.</summary>
        /// <exception cref="ShapeException">Neither operand spreads over the other.</exception>
        public Tensor Minimum(Tensor right) => Compute<Minimum>("Minimum", left, right);
    }

    extension(Tensor)
    {
        /// <summary>y = left + right.</summary>
        /// <exception cref="ShapeException">Neither operand spreads over the other.</exception>
        public static Tensor operator +(Tensor left, Tensor right)
        {
            BroadcastPlan plan = BroadcastPlan.Resolve("+", left, right);
            return plan.LeftIsFull ? Sum(left, right, 1f, plan.Layout) : Sum(right, left, 1f, plan.Layout);
        }

        /// <summary>y = left - right.</summary>
        /// <exception cref="ShapeException">Neither operand spreads over the other.</exception>
        public static Tensor operator -(Tensor left, Tensor right)
        {
            BroadcastPlan plan = BroadcastPlan.Resolve("-", left, right);
            return plan.LeftIsFull ? Sum(left, right, -1f, plan.Layout) : Compute<Subtraction>("-", left, right);
        }

        /// <summary>y = left · right, element by element.</summary>
        /// <exception cref="ShapeException">Neither operand spreads over the other.</exception>
        public static Tensor operator *(Tensor left, Tensor right) => Compute<Multiplication>("*", left, right);

        /// <summary>y = left / right, element by element.</summary>
        /// <exception cref="ShapeException">Neither operand spreads over the other.</exception>
        public static Tensor operator /(Tensor left, Tensor right) => Compute<Division>("/", left, right);

        /// <summary>y = -x.</summary>
        public static Tensor operator -(Tensor x) => Affine(x, -1f, 0f);

        /// <summary>y = x + number.</summary>
        public static Tensor operator +(Tensor x, float number) => Affine(x, 1f, number);

        /// <summary>y = number + x.</summary>
        public static Tensor operator +(float number, Tensor x) => Affine(x, 1f, number);

        /// <summary>y = x - number.</summary>
        public static Tensor operator -(Tensor x, float number) => Affine(x, 1f, -number);

        /// <summary>y = number - x.</summary>
        public static Tensor operator -(float number, Tensor x) => Affine(x, -1f, number);

        /// <summary>y = x · number.</summary>
        public static Tensor operator *(Tensor x, float number) => Affine(x, number, 0f);

        /// <summary>y = number · x.</summary>
        public static Tensor operator *(float number, Tensor x) => Affine(x, number, 0f);

        /// <summary>y = x / number, computed as x · (1 / number).</summary>
        public static Tensor operator /(Tensor x, float number) => Affine(x, 1f / number, 0f);

        /// <summary>y = number / x.</summary>
        public static Tensor operator /(float number, Tensor x) => Affine(x.Reciprocal(), number, 0f);
    }

    private static Tensor Compute<TOp>(string operation, Tensor left, Tensor right)
        where TOp : struct, IBinaryOp
    {
        BroadcastPlan plan = BroadcastPlan.Resolve(operation, left, right);
        return plan.LeftIsFull
            ? Tape.Add(new BinaryFunction<TOp>(left, right, plan.Layout), left, right)
            : Tape.Add(new BinaryFunction<Exchanged<TOp>>(right, left, plan.Layout), left, right);
    }

    private static Tensor Sum(Tensor full, Tensor small, float sign, Broadcast layout) => Tape.Add(new SumFunction(full, small, sign, layout), full, small);

    private static Tensor Affine(Tensor x, float scale, float offset) => Tape.Add(new AffineFunction(x, scale, offset), x);

    private sealed class BinaryFunction<TOp> : Function
        where TOp : struct, IBinaryOp
    {
        private readonly Tensor _full;
        private readonly Tensor _small;
        private readonly Broadcast _layout;

        public BinaryFunction(Tensor full, Tensor small, Broadcast layout)
        {
            _full = full;
            _small = small;
            _layout = layout;
            Output = Allocate(full.Shape, full.Device);
            full.Device.Backend.Binary<TOp>(full.Buffer, small.Buffer, Output.Buffer, layout);
        }

        public override void Backward(DeviceBuffer outputGradient)
        {
            GradientTarget full = _full.GradientTarget();
            _full.Device.Backend.BinaryBackward<TOp>(
                _full.Buffer, _small.Buffer, Output.Buffer, outputGradient, _layout, full, _small.GradientTarget());
        }
    }

    private sealed class SumFunction : Function
    {
        private readonly Tensor _full;
        private readonly Tensor _small;
        private readonly float _sign;
        private readonly Broadcast _layout;

        public SumFunction(Tensor full, Tensor small, float sign, Broadcast layout)
        {
            _full = full;
            _small = small;
            _sign = sign;
            _layout = layout;
            Output = Allocate(full.Shape, full.Device);
            if (sign > 0f) full.Device.Backend.Binary<Addition>(full.Buffer, small.Buffer, Output.Buffer, layout);
            else full.Device.Backend.Binary<Subtraction>(full.Buffer, small.Buffer, Output.Buffer, layout);
        }

        public override void Backward(DeviceBuffer outputGradient)
        {
            _full.Device.Backend.SumMiddle(outputGradient, _layout, _sign, _small.GradientTarget());
            GradientFlow.PassOn(Output, _full, outputGradient);
        }
    }

    private sealed class AffineFunction : Function
    {
        private readonly Tensor _x;
        private readonly float _scale;

        public AffineFunction(Tensor x, float scale, float offset)
        {
            _x = x;
            _scale = scale;
            Output = Allocate(x.Shape, x.Device);
            x.Device.Backend.Affine(x.Buffer, scale, offset, new GradientTarget(Output.Buffer, false));
        }

        public override void Backward(DeviceBuffer outputGradient)
        {
            if (_scale == 1f) GradientFlow.PassOn(Output, _x, outputGradient);
            else _x.Device.Backend.Affine(outputGradient, _scale, 0f, _x.GradientTarget());
        }
    }
}
