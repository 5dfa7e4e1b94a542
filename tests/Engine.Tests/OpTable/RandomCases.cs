using MiniVlp.Autograd;
using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Engine.Tests.OpTable;

public static class RandomCases
{
    public static IEnumerable<OpCase> Cases =>
    [
        .. new Shape[] { [], [0, 3], [17], [3, 31] }.Select(s => new OpCase($"Dropout {s}", [s], t => t[0].Dropout(0.3f, new Generator(5, 7)), x => Drop(x[0], 0.3, 1, 5, 7))),
        new("Dropout in chunks", [[40_007]], t => t[0].Dropout(0.75f, new Generator(ulong.MaxValue, 1UL << 40)), x => Drop(x[0], 0.75, 1, ulong.MaxValue, 1UL << 40)) { GradientSamples = 4 },
        new("Dropout nothing", [[17]], t => t[0].Dropout(0f) + 0f, x => x[0]),
        .. new Shape[] { [7], [6, 5], [9, 3, 33], [0, 3], [3, 0] }.Select(s => new OpCase($"DropPath {s}", [s], t => t[0].DropPath(0.4f, new Generator(2)) + 0f, x => Drop(x[0], 0.4, s.LengthAfter(0), 2, 0))),
        new("SwiGlu", [[3, 17], [3, 17]], t => t[0].SwiGlu(t[1]), x => [.. x[0].Zip(x[1], (g, u) => g * DoubleMath.Sigmoid(g) * u)]),
        new("Rope", [[2, 3, 4 * 6]], t => t[0].Rope(IndexTensor.FromArray([0, 1, 2, 5, 90, 3], [2, 3], t[0].Device), 4), x => Rope(x[0], [0, 1, 2, 5, 90, 3], 4, 6, 10000)),
        new("Rope wide heads", [[1, 2, 2 * 66]], t => t[0].Rope(IndexTensor.FromArray([4, 9], [1, 2], t[0].Device), 2, 500f), x => Rope(x[0], [4, 9], 2, 66, 500)),
        new("Rope shared positions", [[3, 2, 8]], t => t[0].Rope(IndexTensor.FromArray([4, 9], [2], t[0].Device), 1), x => Rope(x[0], [4, 9, 4, 9, 4, 9], 1, 8, 10000)),
    ];

    private static double[] Drop(double[] x, double rate, int run, ulong seed, ulong position) => [.. x.Select((v, i) =>
    {
        int draw = i / run;
        (uint r0, uint r1, uint r2, uint r3) = Philox.Generate(seed, position + (ulong)(draw / 4));
        uint random = (draw % 4) switch { 0 => r0, 1 => r1, 2 => r2, _ => r3 };
        return random / 4294967296.0 < rate ? 0 : v / (1 - rate);
    })];

    private static double[] Rope(double[] x, int[] positions, int heads, int size, double theta)
    {
        double[] y = new double[x.Length];
        for (int i = 0; i < x.Length; i++)
        {
            int row = i / (heads * size), j = i % size, pair = j % (size / 2), start = i - j;
            double angle = positions[row] * Math.Pow(theta, -2.0 * pair / size);
            double other = j < size / 2 ? -x[start + j + (size / 2)] : x[start + j - (size / 2)];
            y[i] = (x[i] * Math.Cos(angle)) + (other * Math.Sin(angle));
        }

        return y;
    }
}
