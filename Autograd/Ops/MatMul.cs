using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Autograd;

/// <summary>The batched matrix product.</summary>
public static class MatMulOps
{
    extension(Tensor left)
    {
        /// <summary>
        /// scale · op(left) · op(right), where op transposes the last two axes when asked: [..., m, k] · [..., k, n] = [..., m, n]. The axes
        /// in front of the last two count products and broadcast: an axis of size 1, or one that is missing, is used again for all of the other.
        /// Gradients (without transposes): dleft = scale · dy · rightᵀ, dright = scale · leftᵀ · dy, summed over axes that were broadcast.
        /// </summary>
        /// <param name="right">The right factor; with two axes it is shared by all products.</param>
        /// <param name="transposeLeft">Whether left is stored as [..., k, m].</param>
        /// <param name="transposeRight">Whether right is stored as [..., n, k].</param>
        /// <param name="scale">A factor of the result, such as 1/√headSize.</param>
        /// <exception cref="ShapeException">The shapes do not fit together.</exception>
        public Tensor MatMul(Tensor right, bool transposeLeft = false, bool transposeRight = false, float scale = 1f)
        {
            if (left.Shape.Rank < 2 || right.Shape.Rank < 2)
                throw new ShapeException($"MatMul: both factors need at least two axes, but left is {left.Shape} and right is {right.Shape}.");
            if (left.Shape[transposeLeft ? -2 : -1] != right.Shape[transposeRight ? -1 : -2])
            {
                throw new ShapeException(
                    $"MatMul: the inner sizes must be equal, but left is {Describe(left.Shape, transposeLeft)} and right is {Describe(right.Shape, transposeRight)}.");
            }

            SameDevice.Require("MatMul", left, right);
            return Tape.Add(new MatMulFunction(left, right, transposeLeft, transposeRight, scale), left, right);
        }
    }

    private static string Describe(Shape shape, bool transposed) => transposed ? $"{shape} transposed" : shape.ToString();

    private sealed class MatMulFunction : Function
    {
        private readonly Tensor _left;
        private readonly Tensor _right;
        private readonly bool _transposeLeft;
        private readonly bool _transposeRight;
        private readonly float _scale;
        private readonly int _rows;
        private readonly int _columns;
        private readonly int _depth;
        private readonly BatchAxis[] _axes;

        public MatMulFunction(Tensor left, Tensor right, bool transposeLeft, bool transposeRight, float scale)
        {
            (_left, _right, _transposeLeft, _transposeRight, _scale) = (left, right, transposeLeft, transposeRight, scale);
            _rows = left.Shape[transposeLeft ? -1 : -2];
            _depth = left.Shape[transposeLeft ? -2 : -1];
            _columns = right.Shape[transposeRight ? -2 : -1];
            Shape batch = BroadcastBatch(left.Shape, right.Shape);
            Output = Allocate(WithMatrix(batch, _rows, _columns), left.Device);
            if (right.Shape.LengthBefore(-2) == 1 && !transposeLeft)
            {
                // One right factor for all: the products are the rows of one.
                _rows *= batch.Length;
                _axes = [];
            }
            else
            {
                _axes = BatchAxis.Collapse(batch, left.Shape, right.Shape, _rows * _depth, _depth * _columns, _rows * _columns);
            }

            BatchedProduct.Run(
                left.Device.Backend,
                new(_rows, _columns, _depth) { TransposeA = transposeLeft, TransposeB = transposeRight, Alpha = scale },
                left.Buffer,
                right.Buffer,
                new GradientTarget(Output.Buffer, Accumulate: false),
                _axes);
        }

        public override void Backward(DeviceBuffer outputGradient)
        {
            IBackend backend = _left.Device.Backend;
            DeviceBuffer left = _left.Buffer, right = _right.Buffer, dy = outputGradient;
            GradientTarget dLeft = _left.GradientTarget();
            if (dLeft.IsNeeded && _transposeLeft)
            {
                MatMulArgs args = new(_depth, _rows, _columns) { TransposeA = _transposeRight, TransposeB = true, Alpha = _scale };
                BatchedProduct.Run(backend, args, right, dy, dLeft, Axes(axis => new(axis.Size, axis.Right, axis.Output, axis.Left)));
            }
            else if (dLeft.IsNeeded)
            {
                MatMulArgs args = new(_rows, _depth, _columns) { TransposeB = !_transposeRight, Alpha = _scale };
                BatchedProduct.Run(backend, args, dy, right, dLeft, Axes(axis => new(axis.Size, axis.Output, axis.Right, axis.Left)));
            }

            GradientTarget dRight = _right.GradientTarget();
            if (dRight.IsNeeded && _transposeRight)
            {
                MatMulArgs args = new(_columns, _depth, _rows) { TransposeA = true, TransposeB = _transposeLeft, Alpha = _scale };
                BatchedProduct.Run(backend, args, dy, left, dRight, Axes(axis => new(axis.Size, axis.Output, axis.Left, axis.Right)));
            }
            else if (dRight.IsNeeded)
            {
                MatMulArgs args = new(_depth, _columns, _rows) { TransposeA = !_transposeLeft, Alpha = _scale };
                BatchedProduct.Run(backend, args, left, dy, dRight, Axes(axis => new(axis.Size, axis.Left, axis.Output, axis.Right)));
            }
        }

        private BatchAxis[] Axes(Converter<BatchAxis, BatchAxis> roles) => _axes.Length == 0 ? _axes : Array.ConvertAll(_axes, roles);

        private static Shape BroadcastBatch(Shape left, Shape right)
        {
            int rank = Math.Max(left.Rank, right.Rank) - 2;
            Span<int> sizes = stackalloc int[Shape.MaxRank];
            for (int axis = -rank; axis < 0; axis++)
            {
                int l = BatchSize(left, axis), r = BatchSize(right, axis);
                if (l != r && l != 1 && r != 1)
                {
                    throw new ShapeException(
                        $"MatMul: the axes in front of the last two must be equal or 1, but left is {left} and right is {right} ({l} against {r}).");
                }

                sizes[axis + rank] = l == 1 ? r : l;
            }

            return Shape.Create(sizes[..rank]);
        }

        private static Shape WithMatrix(Shape batch, int rows, int columns)
        {
            Span<int> sizes = stackalloc int[Shape.MaxRank + 2];
            batch.CopyTo(sizes);
            sizes[batch.Rank] = rows;
            sizes[batch.Rank + 1] = columns;
            return Shape.Create(sizes[..(batch.Rank + 2)]);
        }
    }

    /// <summary>Size of the batch axis that many from the end of the batch axes; 1 when it is missing.</summary>
    private static int BatchSize(Shape shape, int axis) => shape.Rank - 2 + axis >= 0 ? shape[axis - 2] : 1;

    /// <summary>One batch axis: its size and how many elements each operand advances along it (0: shared).</summary>
    private readonly record struct BatchAxis(int Size, int Left, int Right, int Output)
    {
        /// <summary>The batch axes with neighbours joined that all operands step through as through one.</summary>
        public static BatchAxis[] Collapse(Shape batch, Shape left, Shape right, int leftLength, int rightLength, int outputLength)
        {
            List<BatchAxis> axes = [];
            for (int axis = -1; axis >= -batch.Rank; axis--)
            {
                int l = BatchSize(left, axis), r = BatchSize(right, axis), size = batch[axis];
                BatchAxis next = new(size, l == 1 ? 0 : leftLength, r == 1 ? 0 : rightLength, outputLength);
                leftLength *= l;
                rightLength *= r;
                outputLength *= size;
                if (size == 1) continue;
                if (axes.Count > 0 && next.Continues(axes[^1])) axes[^1] = axes[^1] with { Size = axes[^1].Size * size };
                else axes.Add(next);
            }

            axes.Reverse();
            return [.. axes];
        }

        private bool Continues(BatchAxis inner)
            => Left == inner.Left * inner.Size && Right == inner.Right * inner.Size && Output == inner.Output * inner.Size;
    }

    /// <summary>Runs a product over all batch axes; where the output is shared along an axis, the products are summed in order.</summary>
    private static class BatchedProduct
    {
        public static void Run(
            IBackend backend, MatMulArgs args, DeviceBuffer left, DeviceBuffer right, GradientTarget output, ReadOnlySpan<BatchAxis> axes)
        {
            // The kernel takes two axes along which the output advances; the others are loops here.
            int kept = 0;
            foreach (BatchAxis axis in axes)
                if (axis.Output != 0) kept++;
            List<BatchAxis> loops = [];
            foreach (BatchAxis axis in axes)
            {
                if (axis.Output == 0 || kept-- > 2)
                {
                    loops.Add(axis);
                }
                else
                {
                    args = args with
                    {
                        OuterBatch = args.InnerBatch,
                        OuterStrideA = args.InnerStrideA,
                        OuterStrideB = args.InnerStrideB,
                        InnerBatch = axis.Size,
                        InnerStrideA = axis.Left,
                        InnerStrideB = axis.Right,
                    };
                }
            }

            int steps = 1;
            foreach (BatchAxis axis in loops) steps *= axis.Size;
            if (steps == 0 && !output.Accumulate) backend.Fill(output.Buffer, 0f);
            for (int step = 0; step < steps; step++)
            {
                int rest = step, l = 0, r = 0, o = 0;
                bool isFirst = true;
                for (int i = loops.Count - 1; i >= 0; i--)
                {
                    (rest, int index) = Math.DivRem(rest, loops[i].Size);
                    l += index * loops[i].Left;
                    r += index * loops[i].Right;
                    o += index * loops[i].Output;
                    isFirst &= index == 0 || loops[i].Output != 0;
                }

                backend.MatMul(args with { Beta = isFirst && !output.Accumulate ? 0f : 1f }, From(left, l), From(right, r), From(output.Buffer, o));
            }
        }

        private static DeviceBuffer From(DeviceBuffer buffer, int start) => buffer.Slice(start, buffer.Length - start);
    }
}
