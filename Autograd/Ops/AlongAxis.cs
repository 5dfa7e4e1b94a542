using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Autograd;

/// <summary>Maxima, variances, running sums and the k largest along one axis.</summary>
public static class AlongAxisOps
{
    extension(Tensor x)
    {
        /// <summary>Largest element along an axis, which is dropped, or stays with size 1; NaN counts as the largest; the gradient goes to the first of equals.</summary>
        /// <param name="axis">The axis; negative counts from the end.</param>
        /// <param name="keep">Whether the axis stays with size 1.</param>
        /// <exception cref="ShapeException">There is no such axis, or it is empty.</exception>
        public Tensor Max(int axis, bool keep = false)
        {
            RequireElements("Max", x, axis);
            return Tape.Add(new MaxFunction(x, keep ? x.Shape.With(axis, 1) : x.Shape.Without(axis), Layout(x.Shape, axis)), x);
        }

        /// <summary>
        /// Σ (x - mean)² / n along an axis, which is dropped, or stays with size 1.
        /// </summary>
        /// <param name="axis">The axis; negative counts from the end.</param>
        /// <param name="keep">Whether the axis stays with size 1.</param>
        /// <param name="unbiased">Whether to divide by n - 1 instead of n.</param>
        /// <exception cref="ShapeException">There is no such axis, or it has no elements (fewer than two when unbiased).</exception>
        public Tensor Variance(int axis, bool keep = false, bool unbiased = false)
        {
            RequireElements("Variance", x, axis);
            int count = unbiased ? x.Shape[axis] - 1 : x.Shape[axis];
            if (count == 0) throw new ShapeException($"Variance: the unbiased variance needs two elements, but axis {axis} of {x.Shape} has one.");
            Tensor differences = x - x.Mean(axis, keep: true);
            return differences.Square().Sum(axis, keep) * (1f / count);
        }

        /// <summary>y[r] = x[0] + ... + x[r] along an axis.</summary>
        /// <param name="axis">The axis; negative counts from the end.</param>
        /// <exception cref="ShapeException">There is no such axis.</exception>
        public Tensor CumulativeSum(int axis) => Tape.Add(new CumulativeSumFunction(x, Layout(x.Shape, axis)), x);

        /// <summary>
        /// The k largest elements along the last axis, largest first (NaN before all) and the earlier first where equal: values (with gradient) and their
        /// positions, both [..., k].
        /// </summary>
        /// <exception cref="ShapeException">k is negative or larger than the last axis.</exception>
        public (Tensor Values, IndexTensor Positions) TopK(int k)
        {
            if (k < 0 || k > x.Shape[-1]) throw new ShapeException($"TopK: k must be 0 .. {x.Shape[-1]}, the last axis of {x.Shape}, not {k}.");
            IndexTensor positions = new(x.Shape.With(-1, k), x.Device);
            return (Tape.Add(new TopKFunction(x, k, positions), x), positions);
        }

        /// <summary>Position of the largest element along the last axis, the first of equals, NaN being the largest: [..., n] to [...].</summary>
        /// <exception cref="ShapeException">The last axis is empty.</exception>
        public IndexTensor ArgMaxLastAxis()
        {
            RequireElements("ArgMaxLastAxis", x, -1);
            IndexTensor positions = new(x.Shape.Without(-1), x.Device);
            x.Device.Backend.MaxMiddle(x.Buffer, Layout(x.Shape, -1), default, positions.Buffer);
            GC.KeepAlive(x);
            return positions;
        }
    }

    private static void RequireElements(string operation, Tensor x, int axis)
    {
        if (x.Shape[axis] == 0) throw new ShapeException($"{operation}: axis {axis} of {x.Shape} is empty.");
    }

    private static Broadcast Layout(Shape shape, int axis) => new(shape.LengthBefore(axis), shape[axis], shape.LengthAfter(axis));

    private sealed class MaxFunction : Function
    {
        private readonly Tensor _x;
        private readonly Broadcast _layout;
        private readonly IndexTensor _positions;

        public MaxFunction(Tensor x, Shape shape, Broadcast layout)
        {
            (_x, _layout) = (x, layout);
            _positions = new IndexTensor(shape, x.Device);
            Output = Allocate(shape, x.Device);
            x.Device.Backend.MaxMiddle(x.Buffer, layout, Output.Buffer, _positions.Buffer);
        }

        public override void Backward(DeviceBuffer outputGradient)
            => _x.Device.Backend.MaxMiddleBackward(_positions.Buffer, outputGradient, _layout, _x.GradientTarget());

        protected internal override void Release()
        {
            _positions.Dispose();
            base.Release();
        }
    }

    private sealed class CumulativeSumFunction : Function
    {
        private readonly Tensor _x;
        private readonly Broadcast _layout;

        public CumulativeSumFunction(Tensor x, Broadcast layout)
        {
            (_x, _layout) = (x, layout);
            Output = Allocate(x.Shape, x.Device);
            x.Device.Backend.CumulativeSum(x.Buffer, layout, reversed: false, new GradientTarget(Output.Buffer, false));
        }

        public override void Backward(DeviceBuffer outputGradient)
            => _x.Device.Backend.CumulativeSum(outputGradient, _layout, reversed: true, _x.GradientTarget());
    }

    private sealed class TopKFunction : Function
    {
        private readonly Tensor _x;
        private readonly int _k;
        private readonly IndexTensor _positions;

        public TopKFunction(Tensor x, int k, IndexTensor positions)
        {
            (_x, _k, _positions) = (x, k, positions);
            Output = Allocate(x.Shape.With(-1, k), x.Device);
            x.Device.Backend.TopK(x.Buffer, x.Shape[-1], k, Output.Buffer, positions.Buffer);
        }

        public override void Backward(DeviceBuffer outputGradient)
            => _x.Device.Backend.TopKBackward(_positions.Buffer, outputGradient, _x.Shape[-1], _k, _x.GradientTarget());
    }
}
