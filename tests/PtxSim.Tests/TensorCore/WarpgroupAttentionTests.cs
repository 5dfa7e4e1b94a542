using MiniVlp.Kernels;
using MiniVlp.PtxSim.Driver;
using Xunit;

namespace MiniVlp.PtxSim.Tests.TensorCore;

/// <summary>
/// Attention by wgmma and TMA, simulated, against sums in double precision: ragged lengths, so that tiles, warpgroups and rings of tiles end in all
/// places that they can end in.
/// </summary>
[Collection(nameof(StandInDriver))]
public sealed class WarpgroupAttentionTests
{
    private const double Tolerance = 5e-3, StatisticsTolerance = 2e-6;

    [Theory]
    [InlineData(64, 2, 2, 1, 197, 130, false, false)]
    [InlineData(64, 1, 1, 1, 16, 16, false, false)]
    [InlineData(64, 1, 1, 1, 128, 1100, false, false)]
    [InlineData(64, 1, 4, 2, 150, 150, true, false)]
    [InlineData(64, 1, 2, 2, 300, 67, true, false)]
    [InlineData(64, 1, 1, 1, 70, 500, true, false)]
    [InlineData(64, 2, 2, 2, 140, 199, false, true)]
    [InlineData(64, 2, 2, 1, 261, 261, true, true)]
    [InlineData(128, 2, 2, 1, 100, 129, false, false)]
    [InlineData(128, 1, 1, 1, 64, 640, false, false)]
    [InlineData(128, 1, 2, 1, 200, 200, true, false)]
    [InlineData(128, 1, 2, 2, 100, 400, true, false)]
    [InlineData(128, 1, 1, 1, 300, 40, true, false)]
    [InlineData(128, 2, 2, 1, 70, 300, false, true)]
    [InlineData(128, 2, 2, 2, 260, 257, true, true)]
    public void Output_and_gradients_equal_the_reference(
        int headSize, int batch, int heads, int keyValueHeads, int queries, int keys, bool isCausal, bool hasMask)
    {
        AttentionShape shape = new(batch, heads, keyValueHeads, queries, keys, headSize, headSize, 1f / MathF.Sqrt(headSize), isCausal, 0, 0);
        AttentionReference reference = new(shape, hasMask, hasBias: false);
        using GpuBackend backend = TensorCoreDevice.Create();
        DeviceBuffer query = TensorCoreDevice.Upload(backend, reference.Query), key = TensorCoreDevice.Upload(backend, reference.Key), value = TensorCoreDevice.Upload(backend, reference.Value);
        DeviceBuffer mask = TensorCoreDevice.Upload(backend, reference.KeyMask);
        DeviceBuffer output = backend.Rent(reference.Query.Length), statistics = backend.Rent(2 * batch * heads * queries);
        var launches = TensorCoreDevice.Launched(() => backend.Attention(shape, query, key, value, mask, default, output, statistics));
        TensorCoreDevice.AssertLaunched(launches, "WarpgroupAttentionKernel");
        Assert.All(launches, launch => Assert.Equal(0, launch.Statistics.BankConflicts));
        TensorCoreDevice.AssertNear(reference.Output, TensorCoreDevice.Download(backend, output), Tolerance, "output");
        reference.AssertStatistics(TensorCoreDevice.Download(backend, statistics), StatisticsTolerance);

        // The gradient of the value is added to what is there.
        DeviceBuffer outputGradient = TensorCoreDevice.Upload(backend, reference.OutputGradient);
        float[] before = TensorCoreDevice.Numbers(reference.Value.Length, 9);
        DeviceBuffer queryGradient = backend.Rent(reference.Query.Length), keyGradient = backend.Rent(reference.Key.Length), valueGradient = TensorCoreDevice.Upload(backend, before);
        AttentionGradients gradients = new(new(queryGradient, Accumulate: false), new(keyGradient, Accumulate: false), new(valueGradient, Accumulate: true), default);
        launches = TensorCoreDevice.Launched(
            () => backend.AttentionBackward(shape, query, key, value, mask, default, output, statistics, outputGradient, gradients));
        TensorCoreDevice.AssertLaunched(launches, "WarpgroupQueryGradientKernel");
        TensorCoreDevice.AssertLaunched(launches, "WarpgroupKeyGradientKernel");
        Assert.All(launches, launch => Assert.Equal(0, launch.Statistics.BankConflicts));
        TensorCoreDevice.AssertNear(reference.QueryGradient, TensorCoreDevice.Download(backend, queryGradient), Tolerance, "gradient of the query");
        TensorCoreDevice.AssertNear(reference.KeyGradient, TensorCoreDevice.Download(backend, keyGradient), Tolerance, "gradient of the key");
        TensorCoreDevice.AssertNear(
            reference.ValueGradient, [.. TensorCoreDevice.Download(backend, valueGradient).Zip(before, (sum, start) => sum - start)], Tolerance, "gradient of the value");
        foreach (DeviceBuffer buffer in new[] { query, key, value, mask, output, statistics, outputGradient, queryGradient, keyGradient, valueGradient })
            if (!buffer.IsNull) backend.Return(buffer);
        Assert.Equal(0, backend.RentedCount);
    }

    /// <summary>Groups that stay: rings and rooms go around, items without a visible key lie between, and the last round is not full.</summary>
    [Theory]
    [InlineData(64, 2, 3, 1, 197, 197, false, false, 2)]
    [InlineData(64, 1, 5, 5, 20, 600, false, false, 1)]
    [InlineData(64, 2, 2, 2, 300, 40, true, false, 3)]
    [InlineData(64, 3, 2, 1, 261, 261, true, true, 5)]
    [InlineData(128, 2, 3, 3, 130, 300, false, false, 4)]
    [InlineData(128, 1, 4, 2, 300, 40, true, true, 1)]
    public void Groups_that_stay_compute_the_same_bits(
        int headSize, int batch, int heads, int keyValueHeads, int queries, int keys, bool isCausal, bool hasMask, int groups)
    {
        AttentionShape shape = new(batch, heads, keyValueHeads, queries, keys, headSize, headSize, 1f / MathF.Sqrt(headSize), isCausal, 0, 0);
        AttentionReference reference = new(shape, hasMask, hasBias: false);
        using GpuBackend backend = TensorCoreDevice.Create();
        DeviceBuffer query = TensorCoreDevice.Upload(backend, reference.Query), key = TensorCoreDevice.Upload(backend, reference.Key), value = TensorCoreDevice.Upload(backend, reference.Value);
        DeviceBuffer mask = TensorCoreDevice.Upload(backend, reference.KeyMask);
        (float[] output, float[] statistics) expected = Run(), actual;
        backend.MostAttentionGroups = groups;
        actual = Run();
        TensorCoreDevice.AssertNear(reference.Output, actual.output, Tolerance, "output");
        Assert.Equal(expected.output, actual.output);
        Assert.Equal(expected.statistics, actual.statistics);
        foreach (DeviceBuffer buffer in new[] { query, key, value, mask })
            if (!buffer.IsNull) backend.Return(buffer);
        Assert.Equal(0, backend.RentedCount);

        (float[] Output, float[] Statistics) Run()
        {
            DeviceBuffer output = backend.Rent(reference.Query.Length), statistics = backend.Rent(2 * batch * heads * queries);
            var launches = TensorCoreDevice.Launched(() => backend.Attention(shape, query, key, value, mask, default, output, statistics));
            TensorCoreDevice.AssertLaunched(launches, "WarpgroupAttentionKernel");
            Assert.All(launches, launch => Assert.Equal(0, launch.Statistics.BankConflicts));
            (float[], float[]) result = (TensorCoreDevice.Download(backend, output), TensorCoreDevice.Download(backend, statistics));
            backend.Return(output);
            backend.Return(statistics);
            return result;
        }
    }
}
