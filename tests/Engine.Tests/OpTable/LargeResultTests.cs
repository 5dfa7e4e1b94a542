using MiniVlp.Kernels;
using Xunit;

namespace MiniVlp.Engine.Tests.OpTable;

/// <summary>Results that are too large for the caches are written past them: not one bit may differ from what small results get.</summary>
[Collection("op table")]
public sealed class LargeResultTests
{
    private const int Width = 1024, Rows = 2050, SmallRows = 410;

    [Theory]
    [InlineData(SimdTier.Scalar)]
    [InlineData(SimdTier.Vector128)]
    [InlineData(SimdTier.Vector256)]
    [InlineData(SimdTier.Vector512)]
    public void Large_results_are_those_of_their_parts(SimdTier tier)
    {
        for (int threads = 1; threads <= 2; threads++)
        {
            CpuBackend backend = (CpuBackend)TestDevices.Get(tier, threads).Backend;
            Check(backend, "Gelu", (x, _, y) => backend.Unary<Gelu>(x, y));
            Check(backend, "gradient of Gelu", (x, dy, dx) => backend.UnaryBackward<Gelu>(x, x, dy, new GradientTarget(dx, Accumulate: false)));
            Check(backend, "Softmax", (x, _, y) => backend.Softmax(x, Width, y));
            Check(backend, "gradient of Softmax", (y, dy, dx) => backend.SoftmaxBackward(y, dy, Width, new GradientTarget(dx, Accumulate: false)));
            Check(backend, "LayerNorm", (x, weight, y) =>
            {
                DeviceBuffer statistics = backend.Rent(2 * (x.Length / Width));
                backend.LayerNorm(x, weight.Slice(0, Width), weight.Slice(0, Width), 1e-5f, Width, y, statistics);
                backend.Return(statistics);
            });
            Check(backend, "gradient of LayerNorm", (x, dy, dx) =>
            {
                DeviceBuffer statistics = backend.Rent(2 * (x.Length / Width));
                backend.Fill(statistics, 0.75f);
                backend.LayerNormBackward(x, default, statistics, dy, Width, new GradientTarget(dx, Accumulate: false), default, default);
                backend.Return(statistics);
            });
        }
    }

    /// <summary>Runs it on all rows and on groups of rows that are small.</summary>
    private static void Check(CpuBackend backend, string name, Action<DeviceBuffer, DeviceBuffer, DeviceBuffer> run)
    {
        DeviceBuffer first = Random(backend, 1), second = Random(backend, 2), whole = backend.Rent(first.Length), parts = backend.Rent(first.Length);
        run(first, second, whole);
        for (int row = 0; row < Rows; row += SmallRows)
        {
            int start = row * Width, length = SmallRows * Width;
            run(first.Slice(start, length), name == "LayerNorm" ? second : second.Slice(start, length), parts.Slice(start, length));
        }

        OpRunner.AssertSameBits(Values(backend, whole), Values(backend, parts), name);
        foreach (DeviceBuffer buffer in new[] { first, second, whole, parts }) backend.Return(buffer);
    }

    private static DeviceBuffer Random(CpuBackend backend, int seed)
    {
        Random random = new(seed);
        float[] values = new float[Rows * Width];
        foreach (ref float value in values.AsSpan()) value = (8f * random.NextSingle()) - 4f;
        DeviceBuffer buffer = backend.Rent(values.Length);
        backend.Upload(values, buffer);
        return buffer;
    }

    private static float[] Values(CpuBackend backend, DeviceBuffer buffer)
    {
        float[] values = new float[buffer.Length];
        backend.Download(buffer, values);
        return values;
    }
}
