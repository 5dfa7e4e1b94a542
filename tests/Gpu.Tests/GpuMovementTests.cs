using MiniVlp.Autograd;
using MiniVlp.Engine.Tests.OpTable;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Gpu.Tests;

/// <summary>Movements by tiles and by quads, from any offset; sums of rows that share a number.</summary>
public sealed class GpuMovementTests
{
    [Theory]
    [MemberData(nameof(GpuDevices.All), MemberType = typeof(GpuDevices))]
    public void Elements_arrive_where_the_CPU_puts_them(string name)
    {
        Device device = GpuDevices.RequireFast(name);
        Same([2, 33, 70], x => x.Permute(0, 2, 1));
        Same([40, 3, 65], x => x.Permute(2, 1, 0));
        Same([3, 20, 5, 40], x => x.Permute(3, 1, 0, 2));
        Same([3, 8, 16], x => x.Permute(1, 0, 2));
        Same([2, 3, 32, 48], x => x.Patchify(16));
        Same([2, 3, 30, 45], x => x.Patchify(15));
        Same([7, 16], x => x.Narrow(1, 4, 8));
        Same([7, 16], x => x.Narrow(1, 3, 8));
        Same([5, 8], x => Tensor.Concatenate(1, x, x, x));

        void Same(Shape shape, Func<Tensor, Tensor> move)
        {
            (float[] output, float[] gradient) = Move(Device.Cpu, shape, move);
            (float[] outputThere, float[] gradientThere) = Move(device, shape, move);
            OpRunner.AssertSameBits(output, outputThere, $"moved {shape}");
            OpRunner.AssertSameBits(gradient, gradientThere, $"gradient of {shape}");
        }
    }

    /// <summary>Operands that start at no multiple of four elements cannot be read by quads.</summary>
    [Theory]
    [MemberData(nameof(GpuDevices.All), MemberType = typeof(GpuDevices))]
    public void Operands_may_start_anywhere(string name)
    {
        Device device = GpuDevices.RequireFast(name);
        foreach (int start in new[] { 0, 1, 4 })
        {
            foreach (Shape shape in new Shape[] { [9, 17], [9, 16], [9, 3, 8] })
            {
                Func<Tensor, Tensor>[] operations =
                [
                    x => x.Slice(start, 5) * 2f, x => x.Slice(start, 5) * x.Slice(start + 1, 1).Reshape(x.Shape.Without(0)), x => x.Slice(start, 5) + x.Slice(4, 5),
                    x => x.Slice(start, 5).Dropout(0.5f, new Generator(3)), x => x.Reshape([9, x.Shape.LengthAfter(0)]).Slice(start, 5).Transpose(),
                    x => x.Reshape([9, x.Shape.LengthAfter(0)]).Slice(start, 5).GatherRows(IndexTensor.FromArray([4, 0, 2], [3], x.Device)),
                ];
                foreach (Func<Tensor, Tensor> operation in operations)
                {
                    (float[] output, float[] gradient) = Move(Device.Cpu, shape, operation);
                    (float[] outputThere, float[] gradientThere) = Move(device, shape, operation);
                    OpRunner.AssertClose([.. output], outputThere, 1e-7, $"{shape} from {start}");
                    OpRunner.AssertClose([.. gradient], gradientThere, 1e-6, $"gradient of {shape} from {start}");
                }
            }
        }
    }

    [Theory]
    [MemberData(nameof(GpuDevices.All), MemberType = typeof(GpuDevices))]
    public void Rows_that_share_a_number_are_added_in_a_fixed_order(string name)
    {
        Device device = GpuDevices.RequireFast(name);
        const int Width = 37, Rows = 501;
        Random random = new(4);
        foreach (int count in new[] { 1, 63, 64, 65, 200, 5_000 })
        {
            // Half of all ids are one number, as of padding; ids of another one make up exactly two tiles; the rest is spread.
            int[] ids = [.. Enumerable.Range(0, count).Select(i => i % 2 == 0 ? 7 : i < 256 ? 0 : random.Next(Rows))];
            float[] values = [.. Enumerable.Range(0, count * Width).Select(_ => random.NextSingle() - 0.4f)];
            double[] expected = new double[Rows * Width], magnitude = new double[Rows * Width];
            for (int i = 0; i < values.Length; i++)
            {
                expected[(ids[i / Width] * Width) + (i % Width)] += values[i];
                magnitude[(ids[i / Width] * Width) + (i % Width)] += Math.Abs(values[i]);
            }

            float[] sums = Scatter();
            for (int i = 0; i < sums.Length; i++)
                Assert.True(Math.Abs(expected[i] - sums[i]) <= 1e-6 * magnitude[i], $"{count} ids, element {i}: expected {expected[i]}, actual {sums[i]}");
            OpRunner.AssertSameBits(sums, Scatter(), "again");

            float[] Scatter()
            {
                using TensorScope scope = new();
                return Tensor.FromArray(values, [count, Width], device).ScatterAddRows(IndexTensor.FromArray(ids, [count], device), Rows).ToArray();
            }
        }
    }

    [Theory]
    [MemberData(nameof(GpuDevices.All), MemberType = typeof(GpuDevices))]
    public void Padding_gives_no_gradient_and_tables_of_their_own_do_not_mix(string name)
    {
        Device device = GpuDevices.RequireFast(name);
        int[] ids = [.. Enumerable.Range(0, 300).Select(i => i % 3 == 0 ? 2 : i % 5)];
        (_, float[] expected) = Move(Device.Cpu, [5, 17], x => x.GatherRows(IndexTensor.FromArray(ids, [300], x.Device), paddingIndex: 2));
        (_, float[] actual) = Move(device, [5, 17], x => x.GatherRows(IndexTensor.FromArray(ids, [300], x.Device), paddingIndex: 2));
        OpRunner.AssertClose([.. expected], actual, 1e-6, "with padding");
        Assert.All(actual[34..51], v => Assert.Equal(0f, v));

        (_, expected) = Move(Device.Cpu, [60, 5, 4], x => x.GatherTokens(IndexTensor.FromArray(ids, [60, 5], x.Device)));
        (_, actual) = Move(device, [60, 5, 4], x => x.GatherTokens(IndexTensor.FromArray(ids, [60, 5], x.Device)));
        OpRunner.AssertClose([.. expected], actual, 1e-6, "with a table for each sequence");
    }

    [Theory]
    [MemberData(nameof(GpuDevices.All), MemberType = typeof(GpuDevices))]
    public void The_range_of_many_ids_is_found(string name)
    {
        Device device = GpuDevices.RequireFast(name);
        using TensorScope scope = new();
        int[] ids = [.. Enumerable.Range(0, 70_001).Select(i => i % 1000)];
        (ids[^1], ids[300]) = (-17, 123_456_789);
        IndexTensor there = IndexTensor.FromArray(ids, [70_001], device);
        Assert.Equal("-17", Assert.Throws<ArgumentOutOfRangeException>(() => Tensor.Zeros([5, 2], device).GatherRows(there)).ActualValue!.ToString());
        ids[^1] = 0;
        there = IndexTensor.FromArray(ids, [70_001], device);
        Assert.Equal("123456789", Assert.Throws<ArgumentOutOfRangeException>(() => Tensor.Zeros([5, 2], device).GatherRows(there)).ActualValue!.ToString());
    }

    /// <summary>The result, and the gradient of x after two backward passes, so that the second one adds.</summary>
    private static (float[] Output, float[] Gradient) Move(Device device, Shape shape, Func<Tensor, Tensor> move)
    {
        using TensorScope scope = new();
        Tensor x = Tensor.FromArray([.. Enumerable.Range(0, shape.Length).Select(i => (i % 1001 * 0.25f) - 100f)], shape, device);
        x.NeedsGradient = true;
        float[] output = [];
        for (int pass = 0; pass < 2; pass++)
        {
            using Tape tape = Tape.Record();
            Tensor y = move(x);
            output = y.ToArray();
            tape.Backward(y, Tensor.FromArray([.. Enumerable.Range(0, output.Length).Select(i => (i % 997 * 0.5f) + pass)], y.Shape, device));
        }

        return (output, x.Gradient!.ToArray());
    }
}
