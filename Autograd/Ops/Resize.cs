using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Autograd;

/// <summary>Interpolation of maps [batch, channels, height, width] to another size, such as position embeddings for larger pictures.</summary>
public static class ResizeOps
{
    extension(Tensor x)
    {
        /// <summary>
        /// Bicubic interpolation (Keys, 1981) as PyTorch has it: [batch, channels, h, w] to [batch, channels, height, width].
        /// </summary>
        /// <param name="height">New height.</param>
        /// <param name="width">New width.</param>
        /// <param name="antialias">Whether shrinking averages over all pixels; the kernel is then Pillow's (a = -0.5), otherwise a = -0.75.</param>
        /// <exception cref="ShapeException">Not four axes, an empty one, or a new size below 1.</exception>
        public Tensor ResizeBicubic(int height, int width, bool antialias = false)
        {
            Func<int, int, ResampleTable> table = antialias
                ? (from, to) => ResampleTable.Antialias(from, to, 2, ResampleTable.Cubic(-0.5))
                : (from, to) => ResampleTable.Interpolate(from, to, 2, ResampleTable.Cubic(-0.75), alignCorners: false);
            return Resize(x, height, width, "ResizeBicubic", table);
        }

        /// <summary>Bilinear interpolation as PyTorch has it: [batch, channels, h, w] to [batch, channels, height, width].</summary>
        /// <param name="height">New height.</param>
        /// <param name="width">New width.</param>
        /// <param name="alignCorners">Whether the centres of the corner pixels fall on each other, instead of the outer edges.</param>
        /// <exception cref="ShapeException">Not four axes, an empty one, or a new size below 1.</exception>
        public Tensor ResizeBilinear(int height, int width, bool alignCorners = false)
            => Resize(x, height, width, "ResizeBilinear", (from, to) => ResampleTable.Interpolate(from, to, 1, ResampleTable.Linear, alignCorners));

        /// <summary>The pixel ⌊i · h / height⌋ for every new pixel i: [batch, channels, h, w] to [batch, channels, height, width].</summary>
        /// <param name="height">New height.</param>
        /// <param name="width">New width.</param>
        /// <exception cref="ShapeException">Not four axes, an empty one, or a new size below 1.</exception>
        public Tensor ResizeNearest(int height, int width) => Resize(x, height, width, "ResizeNearest", ResampleTable.Nearest);
    }

    private static Tensor Resize(Tensor x, int height, int width, string operation, Func<int, int, ResampleTable> table)
    {
        if (x.Shape.Rank != 4 || x.Shape[2] == 0 || x.Shape[3] == 0)
            throw new ShapeException($"{operation}: x must be [batch, channels, height, width] with at least one pixel, found {x.Shape}.");
        if (height < 1 || width < 1) throw new ShapeException($"{operation}: the new size must be at least 1 by 1, not {height} by {width}.");
        Tensor rows = width == x.Shape[3] ? x : Tape.Add(new ResampleFunction(x, 3, table(x.Shape[3], width)), x);
        return height == x.Shape[2] ? rows : Tape.Add(new ResampleFunction(rows, 2, table(x.Shape[2], height)), rows);
    }

    private sealed class ResampleFunction : Function
    {
        private readonly Tensor _x;
        private readonly int _axis;
        private readonly ResampleTable _table;

        public ResampleFunction(Tensor x, int axis, ResampleTable table)
        {
            (_x, _axis, _table) = (x, axis, table);
            Output = Allocate(x.Shape.With(axis, table.Rows.Length), x.Device);
            Resample(x.Buffer, x.Shape, table, new GradientTarget(Output.Buffer, false));
        }

        public override void Backward(DeviceBuffer outputGradient)
        {
            GradientTarget target = _x.GradientTarget();
            if (target.IsNeeded) Resample(outputGradient, Output.Shape, _table.Transpose(), target);
        }

        private void Resample(DeviceBuffer source, Shape shape, ResampleTable table, GradientTarget target)
        {
            IBackend backend = _x.Device.Backend;
            float[] values = table.Flatten();
            DeviceBuffer buffer = backend.Rent(values.Length);
            backend.Upload(values, buffer);
            ResampleArgs args = new(shape.LengthBefore(_axis), table.From, table.Rows.Length, shape.LengthAfter(_axis), table.Taps);
            backend.Resample(source, buffer, args, target);
            backend.Return(buffer);
        }
    }
}
