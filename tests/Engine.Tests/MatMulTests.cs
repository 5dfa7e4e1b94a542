using MiniVlp.Kernels;
using Xunit;

namespace MiniVlp.Engine.Tests;

/// <summary>What the table of operations is too small for: several slabs, many threads, a general β.</summary>
public sealed class MatMulTests
{
    [Theory]
    [InlineData(20, 21, 9000, false, false)]
    [InlineData(1000, 30, 4200, true, false)]
    [InlineData(70, 1000, 4200, false, true)]
    [InlineData(13, 70, 2100, false, true)]
    public void Several_slabs_and_depth_blocks_equal_double_precision(int rows, int columns, int depth, bool transposeA, bool transposeB)
    {
        using CpuBackend backend = new(2, checkGuards: true);
        float[] a = Draw(rows * depth, 1), b = Draw(columns * depth, 2), c = Draw(rows * columns, 3), bias = Draw(columns, 4);
        float[] actual = Multiply(backend, new(rows, columns, depth) { TransposeA = transposeA, TransposeB = transposeB, Alpha = 0.5f, Beta = 1f }, a, b, c, bias);
        Random random = new(5);
        for (int sample = 0; sample < 2000; sample++)
        {
            int i = random.Next(rows), j = random.Next(columns);
            double expected = c[(i * columns) + j] + bias[j];
            for (int k = 0; k < depth; k++)
                expected += 0.5 * a[transposeA ? (k * rows) + i : (i * depth) + k] * b[transposeB ? (j * depth) + k : (k * columns) + j];
            Assert.Equal(expected, actual[(i * columns) + j], 1e-4);
        }

        Assert.Equal(0, backend.RentedCount);
    }

    [Theory]
    [InlineData(333, 517, 300)]
    [InlineData(150, 1000, 70)]
    [InlineData(40, 600, 500)]
    public void Results_are_the_same_bits_for_any_number_of_threads(int rows, int columns, int depth)
    {
        float[] a = Draw(rows * depth, 1), b = Draw(columns * depth, 2), c = new float[rows * columns], bias = Draw(columns, 4);
        MatMulArgs args = new(rows, columns, depth) { TransposeB = true };
        float[]? first = null;
        foreach (int threads in new[] { 1, 2, 3, 7, 16 })
        {
            using CpuBackend backend = new(threads);
            float[] result = Multiply(backend, args, a, b, c, bias);
            first ??= result;
            Assert.True(first.AsSpan().SequenceEqual(result), $"{threads} threads differ from one.");
        }
    }

    [Fact]
    public void A_general_beta_scales_what_was_there()
    {
        using CpuBackend backend = new(2, checkGuards: true);
        float[] a = Draw(6 * 7, 1), b = Draw(7 * 5, 2), c = Draw(30, 3);
        float[] actual = Multiply(backend, new(6, 5, 7) { Beta = -0.75f }, a, b, c, new float[5]);
        for (int i = 0; i < 6; i++)
        {
            for (int j = 0; j < 5; j++)
            {
                double expected = -0.75 * c[(i * 5) + j];
                for (int k = 0; k < 7; k++) expected += (double)a[(i * 7) + k] * b[(k * 5) + j];
                Assert.Equal(expected, actual[(i * 5) + j], 1e-5);
            }
        }
    }

    private static float[] Multiply(CpuBackend backend, MatMulArgs args, float[] a, float[] b, float[] c, float[] bias)
    {
        DeviceBuffer[] buffers = [.. new[] { a, b, c, bias }.Select(values =>
        {
            DeviceBuffer buffer = backend.Rent(values.Length);
            backend.Upload(values, buffer);
            return buffer;
        })];
        backend.MatMul(args, buffers[0], buffers[1], buffers[2], buffers[3]);
        float[] result = new float[c.Length];
        backend.Download(buffers[2], result);
        foreach (DeviceBuffer buffer in buffers) backend.Return(buffer);
        return result;
    }

    private static float[] Draw(int count, int seed)
    {
        Random random = new(seed);
        float[] values = new float[count];
        foreach (ref float value in values.AsSpan()) value = (2f * random.NextSingle()) - 1f;
        return values;
    }
}
