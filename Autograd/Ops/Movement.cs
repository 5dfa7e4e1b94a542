using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Autograd;

/// <summary>Operations that move elements and compute nothing.</summary>
public static class MovementOps
{
    extension(Tensor x)
    {
        /// <summary>The same elements under another shape; a view.</summary>
        /// <exception cref="ShapeException">The shapes differ in their number of elements.</exception>
        public Tensor Reshape(Shape shape)
        {
            if (shape.Length != x.Shape.Length) throw new ShapeException($"Reshape: {x.Shape} has {x.Shape.Length} elements, {shape} has {shape.Length}.");
            return shape == x.Shape ? x : Tape.Add(new ReshapeFunction(x, shape), x);
        }

        /// <summary>Rows start .. start + count - 1 of the leading axis; a view: [n, ...] to [count, ...].</summary>
        /// <exception cref="ShapeException">The range does not lie inside the axis.</exception>
        public Tensor Slice(int start, int count)
        {
            RequireRange(x, 0, start, count, nameof(Slice));
            return start == 0 && count == x.Shape[0] ? x : Tape.Add(new SliceFunction(x, start, count), x);
        }

        /// <summary>Indices start .. start + count - 1 of any axis, copied.</summary>
        /// <exception cref="ShapeException">The range does not lie inside the axis.</exception>
        public Tensor Narrow(int axis, int start, int count)
        {
            RequireRange(x, axis, start, count, nameof(Narrow));
            return Tape.Add(new NarrowFunction(x, x.Shape.Axis(axis), start, count), x);
        }

        /// <summary>The axes in another order: result axis i is axis axes[i] of x.</summary>
        /// <exception cref="ShapeException">The axes are not each named once.</exception>
        public Tensor Permute(params ReadOnlySpan<int> axes)
        {
            Shape order = Shape.Create(axes);
            int seen = 0;
            foreach (int axis in axes) seen |= 1 << x.Shape.Axis(axis);
            if (axes.Length != x.Shape.Rank || seen != (1 << axes.Length) - 1) throw new ShapeException($"Permute: the axes {order} must name each axis of {x.Shape} once.");
            return Tape.Add(new PermuteFunction(x, order), x);
        }

        /// <summary>The last two axes exchanged: [..., rows, columns] to [..., columns, rows]. MatMul has flags instead of this copy.</summary>
        public Tensor Transpose()
        {
            int rank = x.Shape.Rank;
            if (rank < 2) throw new ShapeException($"Transpose: {x.Shape} must have two axes or more.");
            Span<int> axes = stackalloc int[rank];
            for (int i = 0; i < rank; i++) axes[i] = i;
            (axes[rank - 1], axes[rank - 2]) = (axes[rank - 2], axes[rank - 1]);
            return x.Permute(axes);
        }

        /// <summary>One token in front of every sequence: x [batch, tokens, width], token [width], to [batch, 1 + tokens, width].</summary>
        public Tensor Prepend(Tensor token)
        {
            if (x.Shape.Rank != 3 || token.Shape.Length != x.Shape[2]) throw new ShapeException($"Prepend: x must be [batch, tokens, width] and token [width], found {x.Shape} and {token.Shape}.");
            SameDevice.Require(nameof(Prepend), x, token);
            return Tape.Add(new PrependFunction(x, token), x, token);
        }

        /// <summary>One token of every sequence: [batch, tokens, width] to [batch, width].</summary>
        public Tensor Token(int index)
        {
            if (x.Shape.Rank != 3) throw new ShapeException($"Token: x must be [batch, tokens, width], found {x.Shape}.");
            return x.Narrow(1, index, 1).Reshape([x.Shape[0], x.Shape[2]]);
        }

        /// <summary>One token of each sequence, at a position of its own: [batch, tokens, width] and positions [batch] to [batch, width].</summary>
        /// <exception cref="ArgumentOutOfRangeException">A position is negative or not below the number of tokens.</exception>
        public Tensor TokenAt(IndexTensor positions)
        {
            if (x.Shape.Rank != 3 || positions.Shape.Length != x.Shape[0]) throw new ShapeException($"TokenAt: x must be [batch, tokens, width] and positions [batch], found {x.Shape} and {positions.Shape}.");
            RequireIndices(x, positions, x.Shape[1], nameof(TokenAt));
            return Tape.Add(new GatherFunction(x, positions, [x.Shape[0], x.Shape[2]], new RowGroups(1, x.Shape[1]), null), x);
        }

        /// <summary>
        /// Several tokens of each sequence, at positions of its own: [batch, tokens, width] and positions [batch, count] to [batch, count, width].
        /// </summary>
        /// <exception cref="ShapeException">The shapes are not of this form.</exception>
        /// <exception cref="ArgumentOutOfRangeException">A position is negative or not below the number of tokens.</exception>
        public Tensor GatherTokens(IndexTensor positions)
        {
            if (x.Shape.Rank != 3 || positions.Shape.Rank != 2 || positions.Shape[0] != x.Shape[0])
                throw new ShapeException($"GatherTokens: x must be [batch, tokens, width] and positions [batch, count], found {x.Shape} and {positions.Shape}.");
            RequireIndices(x, positions, x.Shape[1], nameof(GatherTokens));
            return Tape.Add(new GatherFunction(x, positions, [x.Shape[0], positions.Shape[1], x.Shape[2]], new RowGroups(Math.Max(1, positions.Shape[1]), x.Shape[1]), null), x);
        }

        /// <summary>
        /// Rows added up by number: x [..., width] and ids [...] to [rows, width], y[ids[i]] += x[i] in order of i; rows that no id names are zero.
        /// </summary>
        /// <param name="ids">The row that each row of x goes to.</param>
        /// <param name="rows">Rows of the result.</param>
        /// <exception cref="ShapeException">There is not one id for each row of x.</exception>
        /// <exception cref="ArgumentOutOfRangeException">An id is negative or not below <paramref name="rows"/>.</exception>
        public Tensor ScatterAddRows(IndexTensor ids, int rows)
        {
            if (x.Shape.Rank == 0 || x.Shape.Without(-1) != ids.Shape) throw new ShapeException($"ScatterAddRows: ids must have the shape of x without its last axis, found x {x.Shape} and ids {ids.Shape}.");
            RequireIndices(x, ids, rows, nameof(ScatterAddRows));
            return Tape.Add(new ScatterFunction(x, ids, rows), x);
        }

        /// <summary>Rows of a table by number: x [rows, width] and ids [...] to [..., width].</summary>
        /// <param name="ids">Row numbers.</param>
        /// <param name="paddingIndex">An id that contributes no gradient.</param>
        /// <exception cref="ArgumentOutOfRangeException">An id is negative or not below the number of rows.</exception>
        public Tensor GatherRows(IndexTensor ids, int? paddingIndex = null)
        {
            if (x.Shape.Rank != 2) throw new ShapeException($"GatherRows: the table must be [rows, width], found {x.Shape}.");
            if (ids.Shape.Rank == Shape.MaxRank) throw new ShapeException($"GatherRows: ids {ids.Shape} have too many axes.");
            RequireIndices(x, ids, x.Shape[0], nameof(GatherRows));
            return Tape.Add(new GatherFunction(x, ids, [.. ids.Shape.ToArray(), x.Shape[1]], RowGroups.One, paddingIndex), x);
        }

        /// <summary>The tensor spread over a larger shape: absent leading axes and axes of size 1 repeat, side by side: [width] or [tokens, 1] to [tokens, width].</summary>
        /// <exception cref="ShapeException">The tensor does not spread over the shape.</exception>
        public Tensor BroadcastTo(Shape shape)
        {
            if (x.Shape == shape) return x;
            if (!BroadcastPlan.TrySpread(x.Shape, shape, out Broadcast layout))
                throw new ShapeException($"BroadcastTo: {x.Shape} does not spread over {shape}; the axes that it lacks must stand side by side.");
            return Tape.Add(new BroadcastFunction(x, shape, layout), x);
        }

        /// <summary>The same elements <paramref name="count"/> times: [1, ...] to [count, ...].</summary>
        public Tensor Expand(int count)
        {
            if (x.Shape.Rank == 0 || x.Shape[0] != 1) throw new ShapeException($"Expand: the leading axis must be 1, found {x.Shape}.");
            return Tape.Add(new ExpandFunction(x, count), x);
        }
    }

    extension(Tensor)
    {
        /// <summary>Tensors behind each other along an axis; all other sizes are equal.</summary>
        /// <exception cref="ShapeException">There are none, or their shapes differ in another axis.</exception>
        public static Tensor Concatenate(int axis, params Tensor[] tensors)
        {
            if (tensors.Length == 0) throw new ShapeException("Concatenate: at least one tensor is needed.");
            Shape shape = tensors[0].Shape;
            int along = shape.Axis(axis), size = 0;
            foreach (Tensor tensor in tensors)
            {
                if (tensor.Shape.Rank != shape.Rank || tensor.Shape.With(along, shape[along]) != shape) throw new ShapeException($"Concatenate: all sizes but that of axis {axis} must be equal, found {shape} and {tensor.Shape}.");
                size += tensor.Shape[along];
            }

            SameDevice.Require(nameof(Concatenate), tensors[0], tensors);
            return Tape.Add(new ConcatenateFunction(tensors, along, shape.With(along, size)), tensors);
        }
    }

    extension(IndexTensor ids)
    {
        /// <summary>For every row of the last axis, the first position of <paramref name="value"/>; 0 where it does not occur: [..., n] to [...].</summary>
        public IndexTensor FirstIndexOf(int value)
        {
            IndexTensor positions = new(ids.Shape.Without(-1), ids.Device) { KnownRange = new(0, Math.Max(0, ids.Shape[-1] - 1)) };
            ids.Device.Backend.FirstIndexOf(ids.Buffer, ids.Shape[-1], value, positions.Buffer);
            GC.KeepAlive(ids);
            return positions;
        }

        /// <summary>For every row of the last axis, the first position of its largest element: [..., n] to [...].</summary>
        public IndexTensor ArgMaxLastAxis()
        {
            if (ids.Shape[-1] == 0) throw new ShapeException($"ArgMaxLastAxis: the last axis of {ids.Shape} is empty.");
            IndexTensor positions = new(ids.Shape.Without(-1), ids.Device) { KnownRange = new(0, Math.Max(0, ids.Shape[-1] - 1)) };
            ids.Device.Backend.ArgMaxIndex(ids.Buffer, ids.Shape[-1], positions.Buffer);
            GC.KeepAlive(ids);
            return positions;
        }
    }

    private static void RequireRange(Tensor x, int axis, int start, int count, string operation)
    {
        int size = x.Shape[axis];
        if (start < 0 || count < 0 || start > size - count) throw new ShapeException($"{operation}: {start} .. {start} + {count} does not lie inside axis {axis} of {x.Shape}.");
    }

    private static void RequireIndices(Tensor x, IndexTensor ids, int limit, string operation)
    {
        SameDevice.Require(operation, x, ids);
        if (ids.Shape.Length == 0) return;
        // Asking a GPU would wait for everything it still has to do.
        (int smallest, int largest) = ids.KnownRange is { } known ? (known.Smallest, known.Largest) : ids.Device.Backend.IndexRange(ids.Buffer);
        if (smallest < 0 || largest >= limit)
            throw new ArgumentOutOfRangeException(nameof(ids), smallest < 0 ? smallest : largest, $"{operation}: indices must be 0 .. {limit - 1}.");
    }

    /// <summary>Rows and row length when a shape is cut in front of and behind one axis.</summary>
    private static (int Rows, int Inner) Around(Shape shape, int axis) => (shape.LengthBefore(axis), shape.LengthAfter(axis));

    private sealed class ReshapeFunction : Function
    {
        private readonly Tensor _x;

        public ReshapeFunction(Tensor x, Shape shape)
        {
            _x = x;
            Output = AllocateView(x, shape);
        }

        public override void Backward(DeviceBuffer outputGradient)
        {
            if (!_x.NeedsGradient || _x.TryAdoptGradient(Output)) return;
            _x.Device.Backend.CopyRows(outputGradient, default, _x.GradientTarget(), default, 1, outputGradient.Length);
        }
    }

    private sealed class SliceFunction : Function
    {
        private readonly Tensor _x;
        private readonly int _start;

        public SliceFunction(Tensor x, int start, int count)
        {
            _x = x;
            _start = start * x.Shape.LengthAfter(0);
            Output = AllocateView(x, x.Shape.With(0, count), _start);
        }

        public override void Backward(DeviceBuffer outputGradient)
        {
            GradientTarget target = Cleared(_x);
            _x.Device.Backend.CopyRows(outputGradient, default, target, new StridedRows(_start, 0), 1, outputGradient.Length);
        }
    }

    /// <summary>A target that can be added to in part: zeros where nothing was there.</summary>
    private static GradientTarget Cleared(Tensor x)
    {
        GradientTarget target = x.GradientTarget();
        if (target.IsNeeded && !target.Accumulate) x.Device.Backend.Fill(target.Buffer, 0f);
        return target with { Accumulate = true };
    }

    private sealed class NarrowFunction : Function
    {
        private readonly Tensor _x;
        private readonly StridedRows _from;
        private readonly int _rows;
        private readonly int _length;

        public NarrowFunction(Tensor x, int axis, int start, int count)
        {
            (_rows, int inner) = Around(x.Shape, axis);
            _x = x;
            _length = count * inner;
            _from = new StridedRows(start * inner, x.Shape[axis] * inner);
            Output = Allocate(x.Shape.With(axis, count), x.Device);
            x.Device.Backend.CopyRows(x.Buffer, _from, new GradientTarget(Output.Buffer, false), new StridedRows(0, _length), _rows, _length);
        }

        public override void Backward(DeviceBuffer outputGradient)
            => _x.Device.Backend.CopyRows(outputGradient, new StridedRows(0, _length), Cleared(_x), _from, _rows, _length);
    }

    private sealed class ConcatenateFunction : Function
    {
        private readonly Tensor[] _tensors;
        private readonly int _axis;

        public ConcatenateFunction(Tensor[] tensors, int axis, Shape shape)
        {
            _tensors = tensors;
            _axis = axis;
            Output = Allocate(shape, tensors[0].Device);
            int start = 0;
            foreach (Tensor tensor in tensors)
            {
                (int rows, int inner) = Around(tensor.Shape, axis);
                int length = tensor.Shape[axis] * inner;
                tensor.Device.Backend.CopyRows(
                    tensor.Buffer, new StridedRows(0, length), new GradientTarget(Output.Buffer, false), new StridedRows(start, shape[axis] * inner), rows, length);
                start += length;
            }
        }

        public override void Backward(DeviceBuffer outputGradient)
        {
            int start = 0;
            foreach (Tensor tensor in _tensors)
            {
                (int rows, int inner) = Around(tensor.Shape, _axis);
                int length = tensor.Shape[_axis] * inner;
                tensor.Device.Backend.CopyRows(
                    outputGradient, new StridedRows(start, Output.Shape[_axis] * inner), tensor.GradientTarget(), new StridedRows(0, length), rows, length);
                start += length;
            }
        }
    }

    private sealed class PrependFunction : Function
    {
        private readonly Tensor _x;
        private readonly Tensor _token;

        public PrependFunction(Tensor x, Tensor token)
        {
            (_x, _token) = (x, token);
            int batch = x.Shape[0], width = x.Shape[2], length = x.Shape[1] * width;
            Output = Allocate([batch, x.Shape[1] + 1, width], x.Device);
            GradientTarget y = new(Output.Buffer, false);
            x.Device.Backend.CopyRows(token.Buffer, default, y, new StridedRows(0, length + width), batch, width);
            x.Device.Backend.CopyRows(x.Buffer, new StridedRows(0, length), y, new StridedRows(width, length + width), batch, length);
        }

        public override void Backward(DeviceBuffer outputGradient)
        {
            int batch = _x.Shape[0], width = _x.Shape[2], length = _x.Shape[1] * width;
            IBackend backend = _x.Device.Backend;
            backend.SumStridedRows(outputGradient, new StridedRows(0, length + width), _token.GradientTarget(), batch, width);
            backend.CopyRows(outputGradient, new StridedRows(width, length + width), _x.GradientTarget(), new StridedRows(0, length), batch, length);
        }
    }

    private sealed class ExpandFunction : Function
    {
        private readonly Tensor _x;
        private readonly int _count;

        public ExpandFunction(Tensor x, int count)
        {
            (_x, _count) = (x, count);
            Output = Allocate(x.Shape.With(0, count), x.Device);
            x.Device.Backend.CopyRows(x.Buffer, default, new GradientTarget(Output.Buffer, false), new StridedRows(0, x.Shape.Length), count, x.Shape.Length);
        }

        public override void Backward(DeviceBuffer outputGradient)
            => _x.Device.Backend.SumStridedRows(outputGradient, new StridedRows(0, _x.Shape.Length), _x.GradientTarget(), _count, _x.Shape.Length);
    }

    private sealed class PermuteFunction : Function
    {
        private readonly Tensor _x;
        private readonly Shape _order;

        public PermuteFunction(Tensor x, Shape order)
        {
            (_x, _order) = (x, order);
            Span<int> sizes = stackalloc int[order.Rank];
            for (int i = 0; i < order.Rank; i++) sizes[i] = x.Shape[order[i]];
            Output = Allocate(Shape.Create(sizes), x.Device);
            x.Device.Backend.Permute(x.Buffer, new GradientTarget(Output.Buffer, false), Arguments(x.Shape, order));
        }

        public override void Backward(DeviceBuffer outputGradient)
        {
            Span<int> inverse = stackalloc int[_order.Rank];
            for (int i = 0; i < _order.Rank; i++) inverse[_order[i]] = i;
            _x.Device.Backend.Permute(outputGradient, _x.GradientTarget(), Arguments(Output.Shape, Shape.Create(inverse)));
        }

        private static PermuteArgs Arguments(Shape shape, Shape order)
        {
            PermuteArgs.SixAxes sizes = default, strides = default;
            for (int i = 0; i < Shape.MaxRank; i++) sizes[i] = 1;
            int front = Shape.MaxRank - order.Rank;
            for (int i = 0; i < order.Rank; i++)
            {
                sizes[front + i] = shape[order[i]];
                strides[front + i] = shape.LengthAfter(order[i]);
            }

            return new PermuteArgs(sizes, strides);
        }
    }

    private sealed class GatherFunction : Function
    {
        private readonly Tensor _table;
        private readonly IndexTensor _ids;
        private readonly RowGroups _groups;
        private readonly int _ignoredId;

        public GatherFunction(Tensor table, IndexTensor ids, Shape shape, RowGroups groups, int? paddingIndex)
        {
            (_table, _ids, _groups, _ignoredId) = (table, ids, groups, paddingIndex ?? -1);
            Output = Allocate(shape, table.Device);
            table.Device.Backend.GatherRows(table.Buffer, ids.Buffer, Output.Buffer, shape[-1], groups);
        }

        public override void Backward(DeviceBuffer outputGradient)
            => _table.Device.Backend.ScatterAddRows(outputGradient, _ids.Buffer, _table.GradientTarget(), Output.Shape[-1], _groups, _ignoredId);
    }

    private sealed class ScatterFunction : Function
    {
        private readonly Tensor _x;
        private readonly IndexTensor _ids;

        public ScatterFunction(Tensor x, IndexTensor ids, int rows)
        {
            (_x, _ids) = (x, ids);
            Output = Allocate([rows, x.Shape[-1]], x.Device);
            x.Device.Backend.ScatterAddRows(x.Buffer, ids.Buffer, new GradientTarget(Output.Buffer, false), x.Shape[-1], RowGroups.One, -1);
        }

        public override void Backward(DeviceBuffer outputGradient)
        {
            GradientTarget target = _x.GradientTarget();
            if (!target.IsNeeded) return;
            IBackend backend = _x.Device.Backend;
            if (!target.Accumulate)
            {
                backend.GatherRows(outputGradient, _ids.Buffer, target.Buffer, _x.Shape[-1], RowGroups.One);
                return;
            }

            DeviceBuffer gathered = backend.Rent(_x.Shape.Length);
            backend.GatherRows(outputGradient, _ids.Buffer, gathered, _x.Shape[-1], RowGroups.One);
            backend.PassGradient(gathered, target);
            backend.Return(gathered);
        }
    }

    private sealed class BroadcastFunction : Function
    {
        private readonly Tensor _x;
        private readonly Broadcast _layout;

        public BroadcastFunction(Tensor x, Shape shape, Broadcast layout)
        {
            (_x, _layout) = (x, layout);
            Output = Allocate(shape, x.Device);
            x.Device.Backend.Spread(x.Buffer, layout, 1f, new GradientTarget(Output.Buffer, false));
        }

        public override void Backward(DeviceBuffer outputGradient) => _x.Device.Backend.SumMiddle(outputGradient, _layout, 1f, _x.GradientTarget());
    }
}
