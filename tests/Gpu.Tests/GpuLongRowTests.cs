using MiniVlp.Autograd;
using MiniVlp.Engine.Tests.OpTable;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Gpu.Tests;

/// <summary>Axes so long that kernels divide them, against double precision.</summary>
public sealed class GpuLongRowTests
{
    private const int Length = 100_003;

    [Theory]
    [MemberData(nameof(GpuDevices.All), MemberType = typeof(GpuDevices))]
    public void Sums_are_exact_to_the_last_places_and_always_the_same(string name)
    {
        Device device = GpuDevices.RequireFast(name);
        foreach (Shape shape in new Shape[] { [Length], [2, Length], [Length, 5], [3, 40_001, 2], [40_001, 3], [5_000, 33] })
        {
            float[] values = Values(shape.Length);
            for (int axis = 0; axis < shape.Rank; axis++)
            {
                float[] sums = Run(device, values, shape, x => x.Sum(axis));
                double scale = shape[axis] * 4e-7;
                AssertNear(DoubleMath.AlongAxis([.. values], shape, axis, v => v.Sum()), sums, scale, $"sum of {shape} along {axis}");
                OpRunner.AssertSameBits(sums, Run(device, values, shape, x => x.Sum(axis)), "again");
            }
        }
    }

    [Theory]
    [MemberData(nameof(GpuDevices.All), MemberType = typeof(GpuDevices))]
    public void Running_sums_go_on_from_block_to_block_in_both_directions(string name)
    {
        Device device = GpuDevices.RequireFast(name);
        foreach (Shape shape in new Shape[] { [Length], [2, Length], [Length, 5] })
        {
            float[] values = Values(shape.Length);
            int axis = shape.Rank == 2 && shape[1] == Length ? 1 : 0, inner = shape.LengthAfter(axis), size = shape[axis];
            double[] expected = [.. values], reversed = [.. values];
            for (int i = 0; i < expected.Length; i++)
                if (i / inner % size > 0) expected[i] += expected[i - inner];
            for (int i = expected.Length - 1; i >= 0; i--)
                if (i / inner % size < size - 1) reversed[i] += reversed[i + inner];

            AssertNear(expected, Run(device, values, shape, x => x.CumulativeSum(axis)), size * 1e-7, $"running sums of {shape}");
            using TensorScope scope = new();
            using Tape tape = Tape.Record();
            Tensor x = Tensor.FromArray(values, shape, device);
            x.NeedsGradient = true;
            tape.Backward(x.CumulativeSum(axis), Tensor.FromArray(values, shape, device));
            AssertNear(reversed, x.Gradient!.ToArray(), size * 1e-7, $"reversed running sums of {shape}");
        }
    }

    [Theory]
    [MemberData(nameof(GpuDevices.All), MemberType = typeof(GpuDevices))]
    public void The_largest_come_in_order_whatever_is_in_the_row(string name)
    {
        Device device = GpuDevices.RequireFast(name);
        float[] ties = [.. Enumerable.Range(0, 3001).Select(i => (float)(i * 37 % 101) - 50f)];
        float[] odd = [.. ties.Select((v, i) => (i % 500) switch { 7 => float.NaN, 8 => -float.NaN, 9 => float.NegativeInfinity, 10 => float.PositiveInfinity, 11 => -0f, 12 => 0f, _ => v })];
        float[] rows = [.. ties, .. odd, .. Enumerable.Repeat(1.5f, 3001), .. Values(3001)];
        foreach (int k in new[] { 1, 9, 1000, 1024, 1025, 3001 }) Check(rows, 3001, k);
        Check([.. Values(Length), .. Enumerable.Repeat(-2f, Length)], Length, 10);
        Check(rows[..2100], 700, 33);

        void Check(float[] values, int width, int k)
        {
            using TensorScope scope = new();
            (Tensor largest, IndexTensor positions) = Tensor.FromArray(values, [values.Length / width, width], device).TopK(k);
            int[] expected = [.. values.Chunk(width).SelectMany(row => Enumerable.Range(0, width).OrderByDescending(i => float.IsNaN(row[i])).ThenByDescending(i => row[i]).ThenBy(i => i).Take(k))];
            Assert.Equal(expected, positions.ToArray());
            OpRunner.AssertSameBits([.. expected.Select((position, i) => values[(i / k * width) + position])], largest.ToArray(), $"{k} largest of {width}");
        }
    }

    [Theory]
    [MemberData(nameof(GpuDevices.All), MemberType = typeof(GpuDevices))]
    public void The_first_of_the_largest_is_found(string name)
    {
        Device device = GpuDevices.RequireFast(name);
        using TensorScope scope = new();
        float[] values = Values(2 * Length);
        values[Length - 3] = values[Length - 70] = values[^1] = 9f;
        Tensor x = Tensor.FromArray(values, [2, Length], device);
        Assert.Equal([Length - 70, Length - 1], x.ArgMaxLastAxis().ToArray());
        Tensor odd = Tensor.FromArray([1f, float.NaN, 2f, -float.NaN, float.PositiveInfinity, 0f], [2, 3], device);
        Assert.Equal([1, 0], odd.ArgMaxLastAxis().ToArray());
        Assert.Equal([float.NaN, float.NaN], odd.Max(1).ToArray());
        IndexTensor ids = IndexTensor.FromArray([5, 9, 9, -1, -7, -7, -7, -8, 3, 3, 4, 0], [3, 4], device);
        Assert.Equal([1, 0, 2], ids.ArgMaxLastAxis().ToArray());
        Assert.Equal([1, 0, 0], ids.FirstIndexOf(9).ToArray());
        Assert.Equal([0, 3, 0], ids.FirstIndexOf(-8).ToArray());
    }

    private static float[] Run(Device device, float[] values, Shape shape, Func<Tensor, Tensor> operation)
    {
        using TensorScope scope = new();
        return operation(Tensor.FromArray(values, shape, device)).ToArray();
    }

    /// <summary>Numbers in [-1, 1.2).</summary>
    private static float[] Values(int count)
    {
        Random random = new(count);
        return [.. Enumerable.Range(0, count).Select(_ => (random.NextSingle() * 2.2f) - 1f)];
    }

    private static void AssertNear(double[] expected, float[] actual, double tolerance, string what)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++)
            if (!(Math.Abs(expected[i] - actual[i]) <= tolerance)) Assert.Fail($"{what}, element {i}: expected {expected[i]}, actual {actual[i]}");
    }
}
