using MiniVlp.Autograd;
using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Engine.Tests.OpTable;

public static class ArithmeticCases
{
    private static readonly (Shape Left, Shape Right)[] Shapes =
    [
        ([], []), ([0], [0]), ([17], [17]), ([3, 31], [3, 31]),
        ([5, 33], [33]), ([2, 3, 17], [3, 17]), ([2, 3, 17], [1, 3, 17]), ([7, 9], [7, 1]), ([2, 3, 5], [2, 3, 1]), ([2, 3, 5], [2, 1, 5]),
        ([2, 3, 5], [2, 1, 1]), ([4, 19], [1]), ([4, 19], []), ([0, 5], [5]), ([33], [5, 33]), ([7, 1], [7, 9]), ([], [19]),
    ];

    public static IEnumerable<OpCase> Cases =>
    [
        .. Binary("op_Addition", (a, b) => a + b, (a, b) => a + b),
        .. Binary("op_Subtraction", (a, b) => a - b, (a, b) => a - b),
        .. Binary("op_Multiply", (a, b) => a * b, (a, b) => a * b),
        .. Binary("op_Division", (a, b) => a / b, (a, b) => a / b),
        .. Binary("Maximum", (a, b) => a.Maximum(b), Math.Max, step: 1e-6),
        .. Binary("Minimum", (a, b) => a.Minimum(b), Math.Min, step: 1e-6),
        .. Binary("Apply", (a, b) => a.Apply<Hypotenuse>(b), (a, b) => Math.Sqrt((a * a) + (b * b))),
        Numbers("op_Addition x+1", x => x + 1.5f, v => v + 1.5),
        Numbers("op_Addition 1+x", x => 1.5f + x, v => v + 1.5),
        Numbers("op_Subtraction x-1", x => x - 1.5f, v => v - 1.5),
        Numbers("op_Subtraction 1-x", x => 1.5f - x, v => 1.5 - v),
        Numbers("op_Multiply 2x", x => 2.5f * x, v => 2.5 * v),
        Numbers("op_Multiply x2", x => x * 2.5f, v => 2.5 * v),
        Numbers("op_Division x/3", x => x / 3f, v => v / 3),
        Numbers("op_Division 3/x", x => 3f / x, v => 3 / v),
        Numbers("op_UnaryNegation", x => -x, v => -v),
        Numbers("op_Addition itself", x => x + x, v => 2 * v),
        Numbers("op_Subtraction itself", x => x - x, _ => 0),
        Numbers("op_Multiply itself", x => x * x, v => v * v),
        Numbers("op_Addition used twice", x => (x + 1f) * (x + 2f) + x, v => ((v + 1) * (v + 2)) + v),
        new("op_Multiply rows in blocks", [[203, 331], [331]], t => t[0] * t[1], x => Spread(x, [203, 331], [331], (a, b) => a * b)) { GradientSamples = 4 },
        new("op_Multiply columns in blocks", [[3, 40_003], [3, 1]], t => t[0] * t[1], x => Spread(x, [3, 40_003], [3, 1], (a, b) => a * b)) { GradientSamples = 3, GradientTolerance = 1e-4 },
        new("op_Multiply wide rows", [[5, 4_099], [4_099]], t => t[0] * t[1], x => Spread(x, [5, 4_099], [4_099], (a, b) => a * b)) { GradientSamples = 4 },
        new("Sum", [[3, 17]], t => t[0].Sum(), x => [x[0].Sum()]),
        new("Sum long", [[70_001]], t => t[0].Sum(), x => [x[0].Sum()]) { GradientSamples = 4 },
        new("Sum nothing", [[0, 3]], t => t[0].Sum(), x => [x[0].Sum()]),
        new("Mean", [[3, 17]], t => t[0].Mean(), x => [x[0].Average()]),
        .. Axes("Sum", (t, axis, keep) => t.Sum(axis, keep), values => values.Sum()),
        .. Axes("Mean", (t, axis, keep) => t.Mean(axis, keep), values => values.Average()),
        new("Sum empty axis", [[3, 0]], t => t[0].Sum(1), _ => [0, 0, 0]),
    ];

    private static IEnumerable<OpCase> Binary(string name, Func<Tensor, Tensor, Tensor> op, Func<double, double, double> reference, double step = 1e-5)
        => Shapes.Select(s => new OpCase($"{name} {s.Left} {s.Right}", [s.Left, s.Right], t => op(t[0], t[1]), x => Spread(x, s.Left, s.Right, reference)) { Range = (0.5f, 2f), Step = step });

    private static OpCase Numbers(string name, Func<Tensor, Tensor> op, Func<double, double> reference)
        => new(name, [[3, 17]], t => op(t[0]), x => [.. x[0].Select(reference)]) { Range = (0.5f, 2f) };

    private static IEnumerable<OpCase> Axes(string name, Func<Tensor, int, bool, Tensor> op, Func<IEnumerable<double>, double> reference)
    {
        foreach (Shape shape in new Shape[] { [5], [3, 17], [2, 7, 33], [2, 3, 5, 4] })
        {
            for (int axis = 0; axis < shape.Rank; axis++)
            {
                int a = axis;
                bool keep = axis % 2 == 0;
                yield return new OpCase($"{name} {shape} axis {a}", [shape], t => op(t[0], keep ? a : a - shape.Rank, keep), x => DoubleMath.AlongAxis(x[0], shape, a, reference));
            }
        }
    }

    /// <summary>Broadcasting as NumPy defines it, by index arithmetic.</summary>
    private static double[] Spread(double[][] x, Shape left, Shape right, Func<double, double, double> function)
    {
        int rank = Math.Max(left.Rank, right.Rank);
        int[] sizes = new int[rank];
        for (int i = 0; i < rank; i++) sizes[i] = Size(left, i) == 1 ? Size(right, i) : Size(left, i);
        double[] y = new double[sizes.Aggregate(1, (a, b) => a * b)];
        for (int n = 0; n < y.Length; n++) y[n] = function(x[0][Index(left, n)], x[1][Index(right, n)]);
        return y;

        int Size(Shape shape, int axis) => axis < rank - shape.Rank ? 1 : shape[axis - (rank - shape.Rank)];

        int Index(Shape shape, int n)
        {
            int index = 0, stride = 1;
            for (int axis = rank - 1; axis >= 0; axis--)
            {
                int position = n % sizes[axis];
                n /= sizes[axis];
                if (Size(shape, axis) > 1) index += position * stride;
                stride *= Size(shape, axis);
            }

            return index;
        }
    }

    /// <summary>What a user writes: scalar forms only. Public, or ILGPU could not run it on its CPU accelerator.</summary>
    public readonly struct Hypotenuse : IBinaryOp
    {
        public static float Forward(float left, float right) => MathF.Sqrt((left * left) + (right * right));

        public static float LeftDerivative(float left, float right, float y) => left / y;

        public static float RightDerivative(float left, float right, float y) => right / y;
    }
}
