using MiniVlp.Kernels;
using MiniVlp.PtxSim.Driver;
using Xunit;

namespace MiniVlp.PtxSim.Tests.TensorCore;

/// <summary>
/// Attention on simulated tensor cores against sums in double precision over operands that bfloat16 can hold: what is left is the rounding of the
/// weights to bfloat16. Lengths are ragged, gradients are added to what is there.
/// </summary>
[Collection(nameof(StandInDriver))]
public sealed class TensorCoreAttentionTests
{
    private const double Tolerance = 5e-3, StatisticsTolerance = 2e-6;

    /// <summary>What sequences and heads share a bias.</summary>
    public enum BiasKind
    {
        /// <summary>No bias.</summary>
        None,

        /// <summary>One for each head of each sequence.</summary>
        Own,

        /// <summary>One for each head.</summary>
        PerHead,

        /// <summary>One for each sequence.</summary>
        PerSequence,
    }

    [Theory]
    [InlineData(32, 1, 4, 2, 150, 150, true, false, BiasKind.None)]
    [InlineData(32, 2, 2, 1, 77, 77, true, true, BiasKind.None)]
    [InlineData(32, 2, 2, 1, 77, 85, true, true, BiasKind.PerHead)]
    [InlineData(64, 2, 2, 1, 197, 130, false, false, BiasKind.None)]
    [InlineData(64, 1, 2, 2, 130, 67, true, false, BiasKind.None)]
    [InlineData(64, 1, 1, 1, 70, 200, true, false, BiasKind.None)]
    [InlineData(64, 2, 2, 2, 140, 99, false, true, BiasKind.None)]
    [InlineData(64, 2, 2, 2, 71, 73, false, false, BiasKind.Own)]
    [InlineData(80, 1, 2, 2, 100, 130, false, false, BiasKind.None)]
    [InlineData(80, 2, 1, 1, 65, 70, false, true, BiasKind.None)]
    [InlineData(80, 2, 2, 1, 65, 70, false, true, BiasKind.PerSequence)]
    [InlineData(128, 1, 2, 1, 100, 129, true, false, BiasKind.None)]
    [InlineData(128, 2, 2, 1, 70, 64, true, true, BiasKind.None)]
    [InlineData(128, 1, 2, 1, 70, 64, true, false, BiasKind.Own)]
    public void Output_and_gradients_equal_the_reference(
        int headSize, int batch, int heads, int keyValueHeads, int queries, int keys, bool isCausal, bool hasMask, BiasKind biasKind)
    {
        bool hasBias = biasKind != BiasKind.None;
        int headStride = biasKind == BiasKind.PerSequence ? 0 : queries * keys;
        int batchStride = biasKind is BiasKind.PerHead or BiasKind.None ? 0 : biasKind == BiasKind.Own ? heads * queries * keys : queries * keys;
        AttentionShape shape = new(
            batch, heads, keyValueHeads, queries, keys, headSize, headSize, 1f / MathF.Sqrt(headSize), isCausal, hasBias ? batchStride : 0, hasBias ? headStride : 0);
        AttentionReference reference = new(shape, hasMask, hasBias);
        using GpuBackend backend = TensorCoreDevice.Create();
        backend.UsesWarpgroupAttention = false;
        DeviceBuffer query = TensorCoreDevice.Upload(backend, reference.Query), key = TensorCoreDevice.Upload(backend, reference.Key), value = TensorCoreDevice.Upload(backend, reference.Value);
        DeviceBuffer mask = TensorCoreDevice.Upload(backend, reference.KeyMask), bias = TensorCoreDevice.Upload(backend, reference.Bias);
        DeviceBuffer outputGradient = TensorCoreDevice.Upload(backend, reference.OutputGradient);
        DeviceBuffer output = backend.Rent(reference.Query.Length), statistics = backend.Rent(2 * batch * heads * queries);

        var launches = TensorCoreDevice.Launched(() => backend.Attention(shape, query, key, value, mask, bias, output, statistics));
        TensorCoreDevice.AssertLaunched(launches, "TensorCoreAttentionKernel");
        Assert.All(launches, launch => Assert.Equal(0, launch.Statistics.BankConflicts));
        TensorCoreDevice.AssertNear(reference.Output, TensorCoreDevice.Download(backend, output), Tolerance, "output");
        reference.AssertStatistics(TensorCoreDevice.Download(backend, statistics), StatisticsTolerance);

        float[] before = TensorCoreDevice.Numbers(reference.Query.Length, 9);
        DeviceBuffer queryGradient = TensorCoreDevice.Upload(backend, before), keyGradient = backend.Rent(reference.Key.Length), valueGradient = backend.Rent(reference.Value.Length);
        AttentionGradients gradients = new(new(queryGradient, Accumulate: true), new(keyGradient, Accumulate: false), new(valueGradient, Accumulate: false), default);
        launches = TensorCoreDevice.Launched(
            () => backend.AttentionBackward(shape, query, key, value, mask, bias, output, statistics, outputGradient, gradients));
        TensorCoreDevice.AssertLaunched(launches, "TensorCoreKeyGradientKernel");
        Assert.All(launches, launch => Assert.Equal(0, launch.Statistics.BankConflicts));
        TensorCoreDevice.AssertNear(
            reference.QueryGradient, [.. TensorCoreDevice.Download(backend, queryGradient).Zip(before, (sum, start) => sum - start)], Tolerance, "gradient of the query");
        TensorCoreDevice.AssertNear(reference.KeyGradient, TensorCoreDevice.Download(backend, keyGradient), Tolerance, "gradient of the key");
        TensorCoreDevice.AssertNear(reference.ValueGradient, TensorCoreDevice.Download(backend, valueGradient), Tolerance, "gradient of the value");
        foreach (DeviceBuffer buffer in new[] { query, key, value, mask, bias, outputGradient, output, statistics, queryGradient, keyGradient, valueGradient })
            if (!buffer.IsNull) backend.Return(buffer);
        Assert.Equal(0, backend.RentedCount);
    }

    /// <summary>Operands that are one memory, and a gradient of the bias, which the portable kernels compute from the same statistics.</summary>
    [Fact]
    public void One_memory_for_all_operands_and_a_bias_gradient_are_served()
    {
        AttentionShape shape = new(1, 2, 2, 40, 40, 32, 32, 0.2f, Causal: false, 0, 0);
        using GpuBackend backend = TensorCoreDevice.Create();
        backend.UsesWarpgroupAttention = false;
        float[] values = TensorCoreDevice.Numbers(3 * 40 * 64, 1), bias = TensorCoreDevice.Numbers(40 * 40, 2);
        (float[] Output, float[] Gradient, float[] Bias) actual = Run(backend), expected = Run(new CpuBackend());
        TensorCoreDevice.AssertNear([.. expected.Output.Select(x => (double)x)], actual.Output, Tolerance, "output");
        TensorCoreDevice.AssertNear([.. expected.Gradient.Select(x => (double)x)], actual.Gradient, Tolerance, "gradients");
        TensorCoreDevice.AssertNear([.. expected.Bias.Select(x => (double)x)], actual.Bias, Tolerance, "gradient of the bias");
        Assert.Equal(0, backend.RentedCount);

        (float[], float[], float[]) Run(IBackend device)
        {
            const int Length = 40 * 64;
            DeviceBuffer all = TensorCoreDevice.Upload(device, values), biasBuffer = TensorCoreDevice.Upload(device, bias), output = device.Rent(Length), statistics = device.Rent(2 * 80);
            DeviceBuffer gradient = device.Rent(3 * Length), biasGradient = device.Rent(40 * 40);
            DeviceBuffer query = all.Slice(0, Length), key = all.Slice(Length, Length), value = all.Slice(2 * Length, Length);
            device.Attention(shape, query, key, value, default, biasBuffer, output, statistics);
            AttentionGradients gradients = new(
                new(gradient.Slice(0, Length), Accumulate: false), new(gradient.Slice(Length, Length), Accumulate: false), new(gradient.Slice(2 * Length, Length), Accumulate: false),
                new(biasGradient, Accumulate: false));
            device.AttentionBackward(shape, query, key, value, default, biasBuffer, output, statistics, query, gradients);
            (float[], float[], float[]) result = (TensorCoreDevice.Download(device, output), TensorCoreDevice.Download(device, gradient), TensorCoreDevice.Download(device, biasGradient));
            foreach (DeviceBuffer buffer in new[] { all, biasBuffer, output, statistics, gradient, biasGradient }) device.Return(buffer);
            return result;
        }
    }
}
