using MiniVlp.Engine.Tests.OpTable;
using MiniVlp.Kernels;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Gpu.Tests;

/// <summary>Products that need several groups in every direction, against double precision, with all that a product can do beside.</summary>
public sealed class GpuMatMulTests
{
    /// <summary>Ragged in all sizes; deep enough to be divided; aligned for 128-bit accesses on one side alone; few rows; a linear layer's three products.</summary>
    public static TheoryData<string, MatMulArgs> Cases()
    {
        MatMulArgs[] products =
        [
            new(333, 777, 555), new(333, 777, 555) { TransposeA = true, TransposeB = true }, new(17, 31, 4096), new(17, 4096, 31) { TransposeB = true },
            new(260, 388, 2000) { TransposeA = true }, new(129, 132, 1030) { TransposeB = true, Alpha = 0.3f, Beta = 1f },
            new(66, 130, 2051) { TransposeA = true, Alpha = -1.5f, Beta = 0.5f }, new(5, 1031, 772) { TransposeB = true }, new(8, 70, 4099) { TransposeB = true, Beta = 1f },
            new(70, 68, 131) { OuterBatch = 3, InnerBatch = 2, OuterStrideA = 70 * 131, InnerStrideB = 131 * 68 },
            new(1, 12, 64) { TransposeB = true, OuterBatch = 2, InnerBatch = 5, OuterStrideA = 5 * 64, InnerStrideA = 64, InnerStrideB = 12 * 64 },
            new(130, 140, 1100) { TransposeA = true, InnerBatch = 3, InnerStrideA = 130 * 1100, InnerStrideB = 140 * 1100 },
        ];
        TheoryData<string, MatMulArgs> cases = [];
        foreach (string device in GpuDevices.Names)
            foreach (MatMulArgs product in products)
                cases.Add(device, product);
        return cases;
    }

    public static TheoryData<string> Devices() => [.. GpuDevices.Names];

    [Theory]
    [MemberData(nameof(Devices))]
    public void A_packed_weight_gives_the_product_of_the_weight_and_narrow_formats_are_refused(string name)
    {
        const int Rows = 9, Outputs = 70, Inputs = 33;
        IBackend backend = GpuDevices.RequireFast(name).Backend;
        int rented = backend.RentedCount;
        DeviceBuffer[] buffers = [.. new[] { Rows * Inputs, Outputs * Inputs, Outputs, Rows * Outputs, Rows * Outputs }.Select((length, i) =>
        {
            DeviceBuffer buffer = backend.Rent(length);
            backend.Upload(Values(length, i), buffer);
            return buffer;
        })];
        float[] expected = new float[Rows * Outputs], actual = new float[Rows * Outputs];
        backend.MatMul<Gelu>(new(Rows, Outputs, Inputs) { TransposeB = true }, buffers[0], buffers[1], buffers[4], buffers[2], buffers[3], default);
        backend.Download(buffers[4], expected);
        Assert.Throws<NotSupportedException>(() => backend.PackWeight(buffers[1], Outputs, Inputs, WeightFormat.Int8));
        using (PackedWeight packed = backend.PackWeight(buffers[1], Outputs, Inputs, WeightFormat.Float32))
        {
            backend.Fill(buffers[1], float.NaN);
            backend.MatMulPacked<Gelu>(packed, Rows, buffers[0], buffers[4], buffers[2], buffers[3]);
        }

        backend.Download(buffers[4], actual);
        foreach (DeviceBuffer buffer in buffers) backend.Return(buffer);
        Assert.Equal(expected, actual);
        Assert.Equal(rented, backend.RentedCount);
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Product_equals_double_precision_and_always_has_the_same_bits(string name, MatMulArgs args)
    {
        IBackend backend = GpuDevices.RequireFast(name).Backend;
        int rented = backend.RentedCount, products = args.OuterBatch * args.InnerBatch, size = args.Rows * args.Columns;
        int lastOuter = args.OuterBatch - 1, lastInner = args.InnerBatch - 1;
        float[] a = Values((args.Rows * args.Depth) + (lastOuter * args.OuterStrideA) + (lastInner * args.InnerStrideA), 1);
        float[] b = Values((args.Depth * args.Columns) + (lastOuter * args.OuterStrideB) + (lastInner * args.InnerStrideB), 2);
        float[] before = Values(products * size, 3), bias = Values(args.Columns, 4), residual = Values(products * size, 5);
        (float[] c, float[] pre) = Run();
        (float[] again, float[] preAgain) = Run();
        OpRunner.AssertSameBits(c, again, "again");
        OpRunner.AssertSameBits(pre, preAgain, "before the activation, again");

        double[] expected = new double[products * size], expectedPre = new double[products * size];
        Parallel.For(0, products * args.Rows, Row);
        OpRunner.AssertClose(expectedPre, pre, 1e-6, "before the activation");
        OpRunner.AssertClose(expected, c, 1e-6, "product");
        Assert.Equal(rented, backend.RentedCount);

        void Row(int row)
        {
            int product = row / args.Rows, i = row % args.Rows, outer = product / args.InnerBatch, inner = product % args.InnerBatch;
            int startA = (outer * args.OuterStrideA) + (inner * args.InnerStrideA), startB = (outer * args.OuterStrideB) + (inner * args.InnerStrideB);
            for (int j = 0; j < args.Columns; j++)
            {
                double sum = 0;
                for (int k = 0; k < args.Depth; k++)
                {
                    sum += (double)a[startA + (args.TransposeA ? (k * args.Rows) + i : (i * args.Depth) + k)]
                        * b[startB + (args.TransposeB ? (j * args.Depth) + k : (k * args.Columns) + j)];
                }

                int at = (row * args.Columns) + j;
                double z = (args.Alpha * sum) + (args.Beta * before[at]) + bias[j];
                expectedPre[at] = z;
                expected[at] = (z * DoubleMath.Sigmoid(1.702 * z)) + residual[at];
            }
        }

        (float[] C, float[] Pre) Run()
        {
            DeviceBuffer[] buffers = [Upload(a), Upload(b), args.Beta == 0f ? backend.Rent(before.Length) : Upload(before), Upload(bias), Upload(residual), backend.Rent(before.Length)];
            backend.MatMul<QuickGelu>(args, buffers[0], buffers[1], buffers[2], buffers[3], buffers[4], buffers[5]);
            float[] values = new float[before.Length], preActivation = new float[before.Length];
            backend.Download(buffers[2], values);
            backend.Download(buffers[5], preActivation);
            foreach (DeviceBuffer buffer in buffers) backend.Return(buffer);
            return (values, preActivation);
        }

        DeviceBuffer Upload(float[] values)
        {
            DeviceBuffer buffer = backend.Rent(values.Length);
            backend.Upload(values, buffer);
            return buffer;
        }
    }

    [Theory]
    [MemberData(nameof(GpuDevices.All), MemberType = typeof(GpuDevices))]
    public void Operand_that_starts_anywhere_is_read_from_there(string name)
    {
        Device device = GpuDevices.RequireFast(name);
        using TensorScope scope = new();
        float[] values = Values(3 * 67 * 68, 6);
        Tensor all = Tensor.FromArray(values, [3 * 67, 68], device);
        IBackend backend = device.Backend;
        DeviceBuffer c = backend.Rent(67 * 67);
        foreach (int start in new[] { 0, 1, 2, 68 })
        {
            backend.MatMul(new(67, 67, 68) { TransposeB = true }, all.Buffer.Slice(start, 67 * 68), all.Buffer.Slice(start + 67, 67 * 68), c);
            float[] actual = new float[67 * 67];
            backend.Download(c, actual);
            for (int i = 0; i < actual.Length; i++)
            {
                double sum = 0;
                for (int k = 0; k < 68; k++) sum += (double)values[start + (i / 67 * 68) + k] * values[start + 67 + (i % 67 * 68) + k];
                Assert.Equal(sum, actual[i], 1e-4);
            }
        }

        backend.Return(c);
    }

    [Theory]
    [MemberData(nameof(GpuDevices.All), MemberType = typeof(GpuDevices))]
    public void Bias_gradient_sums_many_rows(string name)
    {
        IBackend backend = GpuDevices.RequireFast(name).Backend;
        foreach ((int rows, int columns) in new[] { (1, 5), (63, 33), (5003, 7), (1000, 100), (70_001, 1) })
        {
            float[] values = Values(rows * columns, 7), sums = new float[columns];
            DeviceBuffer x = backend.Rent(values.Length), target = backend.Rent(columns);
            backend.Upload(values, x);
            backend.Fill(target, 1f);
            backend.BiasGradient(x, columns, new GradientTarget(target, Accumulate: true));
            backend.Download(target, sums);
            backend.Return(x);
            backend.Return(target);
            for (int j = 0; j < columns; j++)
            {
                double expected = 1;
                for (int i = 0; i < rows; i++) expected += values[(i * columns) + j];
                Assert.Equal(expected, sums[j], 1e-6 * rows);
            }
        }
    }

    private static float[] Values(int count, int seed)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, count).Select(_ => random.NextSingle() - 0.5f)];
    }
}
