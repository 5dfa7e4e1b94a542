using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Autograd;

/// <summary>Sums and means, over everything or along one axis; the order of summation is fixed.</summary>
public static class ReductionOps
{
    extension(Tensor x)
    {
        /// <summary>Σ x over all elements, a tensor without axes.</summary>
        public Tensor Sum() => Reduce(x, [], new Broadcast(1, x.Shape.Length, 1), 1f);

        /// <summary>Mean of all elements, a tensor without axes.</summary>
        /// <exception cref="ShapeException">There are no elements.</exception>
        public Tensor Mean()
        {
            if (x.Shape.Length == 0) throw new ShapeException($"Mean: the tensor {x.Shape} has no elements.");
            return Reduce(x, [], new Broadcast(1, x.Shape.Length, 1), 1f / x.Shape.Length);
        }

        /// <summary>Σ x along one axis, which is dropped, or stays with size 1.</summary>
        /// <param name="axis">The axis; negative counts from the end.</param>
        /// <param name="keep">Whether the axis stays with size 1.</param>
        /// <exception cref="ShapeException">There is no such axis.</exception>
        public Tensor Sum(int axis, bool keep = false) => Reduce(x, axis, keep, 1f);

        /// <summary>Mean along one axis, which is dropped, or stays with size 1.</summary>
        /// <param name="axis">The axis; negative counts from the end.</param>
        /// <param name="keep">Whether the axis stays with size 1.</param>
        /// <exception cref="ShapeException">There is no such axis, or it is empty.</exception>
        public Tensor Mean(int axis, bool keep = false)
        {
            if (x.Shape[axis] == 0) throw new ShapeException($"Mean: the axis {axis} of {x.Shape} is empty.");
            return Reduce(x, axis, keep, 1f / x.Shape[axis]);
        }
    }

    private static Tensor Reduce(Tensor x, int axis, bool keep, float scale)
    {
        Shape shape = keep ? x.Shape.With(axis, 1) : x.Shape.Without(axis);
        return Reduce(x, shape, new Broadcast(x.Shape.LengthBefore(axis), x.Shape[axis], x.Shape.LengthAfter(axis)), scale);
    }

    private static Tensor Reduce(Tensor x, Shape shape, Broadcast layout, float scale) => Tape.Add(new SumFunction(x, shape, layout, scale), x);

    private sealed class SumFunction : Function
    {
        private readonly Tensor _x;
        private readonly Broadcast _layout;
        private readonly float _scale;

        public SumFunction(Tensor x, Shape shape, Broadcast layout, float scale)
        {
            _x = x;
            _layout = layout;
            _scale = scale;
            Output = Allocate(shape, x.Device);
            x.Device.Backend.SumMiddle(x.Buffer, layout, scale, new GradientTarget(Output.Buffer, false));
        }

        public override void Backward(DeviceBuffer outputGradient) => _x.Device.Backend.Spread(outputGradient, _layout, _scale, _x.GradientTarget());
    }
}
