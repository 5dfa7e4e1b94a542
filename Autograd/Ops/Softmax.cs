using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Autograd;

/// <summary>Softmax and its relatives.</summary>
public static class SoftmaxOps
{
    extension(Tensor x)
    {
        /// <summary>y = eˣ / Σ eˣ along an axis, without overflow. Where all elements are -∞ the result is NaN.</summary>
        /// <param name="axis">The axis; negative counts from the end. Any but the last costs two transpositions.</param>
        /// <exception cref="ShapeException">There is no such axis.</exception>
        public Tensor Softmax(int axis = -1) => AlongAxis(x, axis, last => Tape.Add(new SoftmaxFunction(last), last));

        /// <summary>y = x - ln Σ eˣ along an axis, without overflow.</summary>
        /// <param name="axis">The axis; negative counts from the end. Any but the last costs two transpositions.</param>
        /// <exception cref="ShapeException">There is no such axis.</exception>
        public Tensor LogSoftmax(int axis = -1) => AlongAxis(x, axis, last => Tape.Add(new LogSoftmaxFunction(last), last));

        /// <summary>y = ln Σ eˣ along the last axis, which is dropped.</summary>
        /// <exception cref="ShapeException">The tensor is a scalar.</exception>
        public Tensor LogSumExp()
        {
            x.Shape.Axis(-1);
            return Tape.Add(new LogSumExpFunction(x), x);
        }
    }

    private static Tensor AlongAxis(Tensor x, int axis, Func<Tensor, Tensor> operation)
    {
        if (x.Shape.Axis(axis) == x.Shape.Rank - 1) return operation(x);
        Tensor transposed = x.Reshape([x.Shape.LengthBefore(axis), x.Shape[axis], x.Shape.LengthAfter(axis)]).Transpose();
        return operation(transposed).Transpose().Reshape(x.Shape);
    }

    private sealed class SoftmaxFunction : Function
    {
        private readonly Tensor _x;

        public SoftmaxFunction(Tensor x)
        {
            _x = x;
            Output = Allocate(x.Shape, x.Device);
            x.Device.Backend.Softmax(x.Buffer, x.Shape[-1], Output.Buffer);
        }

        public override void Backward(DeviceBuffer outputGradient)
            => _x.Device.Backend.SoftmaxBackward(Output.Buffer, outputGradient, _x.Shape[-1], _x.GradientTarget());
    }

    private sealed class LogSoftmaxFunction : Function
    {
        private readonly Tensor _x;

        public LogSoftmaxFunction(Tensor x)
        {
            _x = x;
            Output = Allocate(x.Shape, x.Device);
            x.Device.Backend.LogSoftmax(x.Buffer, x.Shape[-1], Output.Buffer);
        }

        public override void Backward(DeviceBuffer outputGradient)
            => _x.Device.Backend.LogSoftmaxBackward(Output.Buffer, outputGradient, _x.Shape[-1], _x.GradientTarget());
    }

    private sealed class LogSumExpFunction : Function
    {
        private readonly Tensor _x;

        public LogSumExpFunction(Tensor x)
        {
            _x = x;
            Output = Allocate(x.Shape.Without(-1), x.Device);
            x.Device.Backend.LogSumExp(x.Buffer, x.Shape[-1], Output.Buffer);
        }

        public override void Backward(DeviceBuffer outputGradient)
            => _x.Device.Backend.LogSumExpBackward(_x.Buffer, Output.Buffer, outputGradient, _x.Shape[-1], _x.GradientTarget());
    }
}
