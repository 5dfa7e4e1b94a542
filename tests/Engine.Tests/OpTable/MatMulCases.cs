using System.Runtime.CompilerServices;
using MiniVlp.Autograd;
using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Engine.Tests.OpTable;

public static class MatMulCases
{
    public static IEnumerable<OpCase> Cases =>
    [
        .. Sizes(),
        .. Batches(),
        .. Linears(),
        new("MatMul with itself", [[7, 7]], t => t[0].MatMul(t[0]), x => Product(x[0], x[0], 7, 7, 7)),
        new("MatMul with itself transposed", [[3, 33, 5]], t => t[0].MatMul(t[0], transposeRight: true), x => Batched(x[0], x[0], [3], [3], 33, 33, 5, false, true)),
        Patches([2, 3, 4, 6], 2),
        Patches([1, 1, 3, 3], 3),
        Patches([2, 2, 17, 34], 17),
        Patches([0, 3, 4, 4], 4),
        Patches([1, 5, 3, 2], 1),
    ];

    /// <summary>One product: sizes on both sides of every tile, block and path boundary, in all four layouts.</summary>
    private static IEnumerable<OpCase> Sizes()
    {
        (int Rows, int Columns, int Depth)[] small =
            [(1, 1, 1), (1, 33, 17), (31, 1, 17), (17, 33, 1), (12, 32, 8), (13, 33, 9), (33, 31, 17), (25, 65, 40), (4, 50, 70), (0, 5, 3), (5, 0, 3), (4, 3, 0)];
        foreach ((int rows, int columns, int depth) in small)
        {
            foreach (bool transposeLeft in new[] { false, true })
                foreach (bool transposeRight in new[] { false, true })
                    yield return Single(rows, columns, depth, transposeLeft, transposeRight, transposeLeft ? 0.37f : 1f, samples: 60);
        }

        // Several chunks and several depth blocks.
        foreach (bool transposeLeft in new[] { false, true })
        {
            foreach (bool transposeRight in new[] { false, true })
            {
                yield return Single(211, 275, 29, transposeLeft, transposeRight, 1f, samples: 3);
                yield return Single(29, 37, 803, transposeLeft, transposeRight, 1f, samples: 3);
                yield return Single(2, 275, 803, transposeLeft, transposeRight, 1f, samples: 3);
                yield return Single(131, 140, 405, transposeLeft, transposeRight, 1f, samples: 2);
            }
        }
    }

    private static IEnumerable<OpCase> Batches()
    {
        (int[] Left, int[] Right)[] shapes =
        [
            ([3], [3]), ([3], [1]), ([1], [3]), ([3], []), ([], [3]), ([2, 1], [3]), ([2, 3], [2, 1]), ([2, 3], [1, 3]), ([2, 3], [2, 3]),
            ([2, 1, 2, 1], [1, 3, 1, 2]), ([2, 2, 3, 2], [2, 2, 1, 2]), ([0, 2], [0, 2]), ([2, 1], [1, 0]), ([1, 1], [1, 1]),
        ];
        foreach ((int[] left, int[] right) in shapes)
        {
            foreach ((bool transposeLeft, bool transposeRight) in new[] { (false, false), (false, true), (true, false), (true, true) })
            {
                yield return new(
                    $"MatMul batches [{string.Join(' ', left)}] [{string.Join(' ', right)}] {Layout(transposeLeft, transposeRight)}",
                    [[.. left, .. transposeLeft ? [5, 4] : (int[])[4, 5]], [.. right, .. transposeRight ? [3, 5] : (int[])[5, 3]]],
                    t => t[0].MatMul(t[1], transposeLeft, transposeRight),
                    x => Batched(x[0], x[1], left, right, 4, 3, 5, transposeLeft, transposeRight))
                { GradientSamples = 40 };
            }
        }
    }

    private static IEnumerable<OpCase> Linears()
    {
        (Shape X, int Outputs, int Samples)[] sizes = [([17], 33, 60), ([1, 31], 17, 60), ([3, 11, 17], 33, 60), ([0, 5], 7, 60), ([4, 0], 3, 60), ([50, 300], 65, 3), ([260, 33], 270, 3)];
        foreach ((Shape shape, int outputs, int samples) in sizes)
        {
            int inputs = shape[-1], rows = shape.LengthBefore(-1);
            Shape weight = [outputs, inputs], bias = [outputs], output = shape.With(-1, outputs);
            yield return new($"Linear {shape} to {outputs} no bias", [shape, weight], t => t[0].Linear(t[1]), x => Reference(x[0], x[1], null, null))
            { GradientSamples = samples };
            yield return new($"Linear {shape} to {outputs}", [shape, weight, bias], t => t[0].Linear(t[1], t[2]), x => Reference(x[0], x[1], x[2], null))
            { GradientSamples = samples };
            yield return new(
                $"Linear {shape} to {outputs} residual",
                [shape, weight, bias, output],
                t => t[0].Linear(t[1], t[2], t[3]),
                x => Reference(x[0], x[1], x[2], x[3]))
            { GradientSamples = samples };
            yield return new(
                $"Linear {shape} to {outputs} quick gelu",
                [shape, weight, bias],
                t => t[0].Linear<QuickGelu>(t[1], t[2]),
                x => [.. Reference(x[0], x[1], x[2], null).Select(v => v * DoubleMath.Sigmoid(1.702 * v))])
            { GradientSamples = samples };
            yield return new(
                $"Linear {shape} to {outputs} scalar activation no bias",
                [shape, weight],
                t => t[0].Linear<Cube>(t[1], null),
                x => [.. Reference(x[0], x[1], null, null).Select(v => v * v * v)])
            { Range = (-0.5f, 0.5f), GradientSamples = samples };

            double[] Reference(double[] x, double[] w, double[]? b, double[]? residual)
            {
                double[] y = Batched(x, w, [], [], rows, outputs, inputs, false, true);
                for (int i = 0; i < y.Length; i++) y[i] += (b is null ? 0 : b[i % outputs]) + (residual is null ? 0 : residual[i]);
                return y;
            }
        }

        yield return new("Linear residual is the input", [[5, 9], [9, 9]], t => t[0].Linear(t[1], null, t[0]), x =>
            [.. Batched(x[0], x[1], [], [], 5, 9, 9, false, true).Zip(x[0], (product, residual) => product + residual)]);
    }

    private static OpCase Single(int rows, int columns, int depth, bool transposeLeft, bool transposeRight, float scale, int samples)
        => new(
            $"MatMul {rows}x{columns}x{depth} {Layout(transposeLeft, transposeRight)}",
            [transposeLeft ? [depth, rows] : [rows, depth], transposeRight ? [columns, depth] : [depth, columns]],
            t => t[0].MatMul(t[1], transposeLeft, transposeRight, scale),
            x => [.. Batched(x[0], x[1], [], [], rows, columns, depth, transposeLeft, transposeRight).Select(v => v * scale)])
        { GradientSamples = samples };

    private static OpCase Patches(Shape shape, int p)
        => new($"Patchify {shape} by {p}", [shape], t => t[0].Patchify(p), x =>
        {
            int channels = shape[1], height = shape[2], width = shape[3], i = 0;
            double[] patches = new double[shape.Length];
            for (int b = 0; b < shape[0]; b++)
                for (int r = 0; r < height / p; r++)
                    for (int s = 0; s < width / p; s++)
                        for (int c = 0; c < channels; c++)
                            for (int dy = 0; dy < p; dy++)
                                for (int dx = 0; dx < p; dx++)
                                    patches[i++] = x[0][(((((b * channels) + c) * height) + (r * p) + dy) * width) + (s * p) + dx];
            return patches;
        });

    private static string Layout(bool transposeLeft, bool transposeRight) => $"{(transposeLeft ? 'T' : 'N')}{(transposeRight ? 'T' : 'N')}";

    private static double[] Product(double[] left, double[] right, int rows, int columns, int depth)
        => Batched(left, right, [], [], rows, columns, depth, false, false);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static double[] Batched(
        double[] left, double[] right, int[] leftBatch, int[] rightBatch, int rows, int columns, int depth, bool transposeLeft, bool transposeRight)
    {
        int rank = Math.Max(leftBatch.Length, rightBatch.Length);
        int[] batch = [.. Enumerable.Range(-rank, rank).Select(axis => Size(leftBatch, axis) == 1 ? Size(rightBatch, axis) : Size(leftBatch, axis))];
        int count = batch.Aggregate(1, (product, size) => product * size);
        double[] result = new double[count * rows * columns];
        for (int product = 0; product < count; product++)
        {
            int l = Index(product, leftBatch) * rows * depth, r = Index(product, rightBatch) * depth * columns;
            for (int i = 0; i < rows; i++)
            {
                for (int j = 0; j < columns; j++)
                {
                    double sum = 0;
                    for (int k = 0; k < depth; k++)
                        sum += left[l + (transposeLeft ? (k * rows) + i : (i * depth) + k)] * right[r + (transposeRight ? (j * depth) + k : (k * columns) + j)];
                    result[(((product * rows) + i) * columns) + j] = sum;
                }
            }
        }

        return result;

        static int Size(int[] sizes, int axis) => sizes.Length + axis >= 0 ? sizes[sizes.Length + axis] : 1;

        int Index(int product, int[] sizes)
        {
            int index = 0, stride = 1;
            for (int axis = -1; axis >= -rank; axis--)
            {
                (product, int at) = Math.DivRem(product, batch[batch.Length + axis]);
                if (Size(sizes, axis) == 1) continue;
                index += at * stride;
                stride *= Size(sizes, axis);
            }

            return index;
        }
    }

    public readonly struct Cube : IUnaryOp
    {
        public static float Forward(float x) => x * x * x;

        public static float Derivative(float x, float y) => 3f * x * x;
    }
}
