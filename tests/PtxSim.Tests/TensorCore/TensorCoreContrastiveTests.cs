using MiniVlp.Kernels;
using MiniVlp.PtxSim.Driver;
using Xunit;

namespace MiniVlp.PtxSim.Tests.TensorCore;

/// <summary>
/// The softmax-contrastive loss on simulated tensor cores against the CPU, which the table of operations holds to double precision, over features
/// that bfloat16 can hold: sums differ by the rounding of float32, gradients by that of G to bfloat16.
/// </summary>
[Collection(nameof(StandInDriver))]
public sealed class TensorCoreContrastiveTests
{
    private const double SumTolerance = 2e-5, GradientTolerance = 5e-3;

    [Theory]
    [InlineData(130, 130, 72, true, false, false, false, 1.3f)]
    [InlineData(150, 300, 40, false, true, true, false, 1.3f)]
    [InlineData(64, 64, 64, true, false, false, true, 1.3f)]
    [InlineData(140, 140, 100, true, false, true, false, 1.3f)]
    [InlineData(70, 270, 33, false, false, false, false, 1.3f)]
    [InlineData(130, 130, 48, true, true, false, false, 1.3f)]
    [InlineData(64, 64, 64, true, false, false, true, -1.3f)]
    [InlineData(64, 64, 64, true, false, false, true, 0f)]
    [InlineData(70, 70, 40, true, false, true, false, -1.3f)]
    [InlineData(70, 70, 40, true, false, true, false, 0f)]
    public void Sums_and_gradients_equal_those_of_the_CPU(int rows, int columns, int width, bool isBatch, bool hasIds, bool hasTeacher, bool onlyOwn, float scale)
    {
        ContrastiveBlock block = new(rows, columns, width, isBatch, onlyOwn);
        using GpuBackend backend = TensorCoreDevice.Create();
        float[][] actual = [];
        var launches = TensorCoreDevice.Launched(() => actual = Run(backend, block, hasIds, hasTeacher, scale));
        Assert.Equal(0, backend.RentedCount);
        TensorCoreDevice.AssertLaunched(launches, "TensorCoreContrastiveKernel");
        TensorCoreDevice.AssertLaunched(launches, "TensorCoreContrastiveGradientKernel");
        Assert.All(launches, launch => Assert.Equal(0, launch.Statistics.BankConflicts));
        float[][] expected = Run(new CpuBackend(), block, hasIds, hasTeacher, scale);
        string[] names = ["sums of the rows", "sums of the columns", "losses", "gradient of the rows", "gradient of the columns", "gradient of the scale"];
        for (int i = 0; i < names.Length; i++)
        {
            // What nobody has found yet is -∞ on both sides.
            double[] reference = [.. expected[i].Select((x, at) => float.IsInfinity(x) && x == actual[i][at] ? 0.0 : x)];
            float[] values = [.. actual[i].Select((x, at) => float.IsInfinity(x) && x == expected[i][at] ? 0f : x)];
            TensorCoreDevice.AssertNear(reference, values, i < 3 ? SumTolerance : GradientTolerance, names[i]);
        }
    }

    /// <summary>Two blocks for the rows (the batch and a queue), statistics of both sides, and gradients that are added to what is there.</summary>
    private static float[][] Run(IBackend backend, in ContrastiveBlock block, bool hasIds, bool hasTeacher, float factor)
    {
        int rows = block.Rows, columns = block.Columns, width = block.Width, queue = 40;
        Random random = new(7);
        int[]? rowIds = hasIds ? [.. Enumerable.Range(0, rows).Select(_ => random.Next(rows / 2))] : null;
        int[]? columnIds = !hasIds ? null : block.IsBatch ? rowIds : [.. Enumerable.Range(0, columns).Select(i => i < rows ? rowIds![i] : random.Next(rows / 2))];
        DeviceBuffer scale = TensorCoreDevice.Upload(backend, new[] { factor }), dloss = TensorCoreDevice.Upload(backend, new[] { 1.5f });
        ContrastiveOperands operands = new(
            TensorCoreDevice.Upload(backend, TensorCoreDevice.Numbers(rows * width, 1)), TensorCoreDevice.Upload(backend, TensorCoreDevice.Numbers(columns * width, 2)),
            hasTeacher ? TensorCoreDevice.Upload(backend, TensorCoreDevice.Numbers(rows * width, 3)) : default,
            TensorCoreDevice.Upload(backend, rowIds), TensorCoreDevice.Upload(backend, columnIds), scale);
        ContrastiveOperands queued = operands with { Columns = TensorCoreDevice.Upload(backend, TensorCoreDevice.Numbers(queue * width, 4)), ColumnIds = default };
        DeviceBuffer rowSums = backend.Rent(8 * rows), columnSums = backend.Rent(8 * columns), losses = backend.Rent(rows), columnLosses = backend.Rent(columns);
        DeviceBuffer rowStatistics = backend.Rent(3 * rows), columnStatistics = backend.Rent(3 * columns);
        ContrastiveTargets targets = new(block.OnlyOwn ? 0f : 0.1f, hasTeacher ? 0.4f : 0f, columns + queue, rows);
        backend.ContrastiveScores(block, operands, rowSums, continuesRows: false, columnSums);
        backend.ContrastiveScores(new ContrastiveBlock(rows, queue, width, IsBatch: false, OnlyOwn: false), queued, rowSums, continuesRows: true, default);
        backend.ContrastiveLosses(targets, scale, rowSums, losses, rowStatistics);
        backend.ContrastiveLosses(targets with { Alpha = 0f, RowCandidates = rows }, scale, columnSums, columnLosses, columnStatistics);

        // Where no column belongs to a row, its loss is not a number; then only the columns' side, which has the same, is left out of the gradient.
        bool hasPositives = block.IsBatch || hasIds;
        float[] ones = [.. Enumerable.Repeat(1f / 3, rows)];
        if (!hasPositives) backend.Upload(ones, rowStatistics.Slice(rows, rows));
        bool hasColumns = block.IsBatch;
        DeviceBuffer drows = TensorCoreDevice.Upload(backend, new float[rows * width]), dcolumns = backend.Rent(columns * width), dscale = TensorCoreDevice.Upload(backend, new float[1]);
        backend.ContrastiveScoresBackward(
            block, operands, targets, new ContrastiveLossWeights(rowStatistics, hasColumns ? columnStatistics : default, 0.7f), dloss,
            new(drows, Accumulate: true), new(dcolumns, Accumulate: false), new(dscale, Accumulate: true));
        float[][] results =
        [
            TensorCoreDevice.Download(backend, rowSums), TensorCoreDevice.Download(backend, columnSums), hasPositives ? TensorCoreDevice.Download(backend, losses) : [],
            TensorCoreDevice.Download(backend, drows), TensorCoreDevice.Download(backend, dcolumns), TensorCoreDevice.Download(backend, dscale),
        ];
        DeviceBuffer[] all =
        [
            scale, dloss, operands.Rows, operands.Columns, operands.Teacher, operands.RowIds, operands.ColumnIds, queued.Columns, rowSums, columnSums, losses, columnLosses,
            rowStatistics, columnStatistics, drows, dcolumns, dscale,
        ];
        foreach (DeviceBuffer buffer in all) if (!buffer.IsNull) backend.Return(buffer);
        return results;
    }
}
