using MiniVlp.Kernels;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Gpu.Tests;

/// <summary>Contrastive losses over several panels: equal to the formula in double precision, the same bits again, in memory linear in the rows.</summary>
public sealed class GpuContrastiveTests
{
    private const int Width = 20;
    private const float Scale = 6f, LossGradient = 0.75f, Weight = 0.01f, LabelSmoothing = 0.1f, Alpha = 0.3f;

    [Theory]
    [MemberData(nameof(GpuDevices.All), MemberType = typeof(GpuDevices))]
    public void Softmax_with_ids_queue_and_teacher_equals_the_formula(string deviceName)
    {
        Device device = GpuDevices.Require(deviceName);
        bool isSlow = GpuDevices.IsSlow(deviceName);
        (int rows, int columns, int queue) = isSlow ? (5, 3, 4) : (1500, 700, 300);
        int different = isSlow ? 3 : 500, all = columns + queue;
        float[] rowFeatures = Values(rows * Width, 1), columnFeatures = Values(all * Width, 2), teacher = Values(rows * Width, 3);
        int[] rowIds = [.. Enumerable.Range(0, rows).Select(i => i % different)], columnIds = [.. Enumerable.Range(0, all).Select(j => j < columns ? j % different : j - (columns / 2))];
        int rented = device.Backend.RentedCount;

        Softmax first = RunSoftmax((GpuBackend)device.Backend, rows, columns, queue, rowFeatures, columnFeatures, teacher, rowIds, columnIds);
        Softmax again = RunSoftmax((GpuBackend)device.Backend, rows, columns, queue, rowFeatures, columnFeatures, teacher, rowIds, columnIds);
        Assert.Equal(rented, device.Backend.RentedCount);
        AssertSame(first, again);

        double[,] dots = Dots(rowFeatures, columnFeatures, rows, all), teacherDots = Dots(teacher, columnFeatures, rows, all);
        double[,] gradient = new double[rows, all];
        double[] rowLosses = new double[rows], columnLosses = new double[columns];
        for (int i = 0; i < rows; i++)
        {
            double[] p = Softmax1(Enumerable.Range(0, all).Select(j => Scale * dots[i, j])), t = Softmax1(Enumerable.Range(0, all).Select(j => Scale * teacherDots[i, j]));
            int positives = columnIds.Count(id => id == rowIds[i]);
            for (int j = 0; j < all; j++)
            {
                double hard = ((1.0 - LabelSmoothing) * (columnIds[j] == rowIds[i] ? 1.0 / positives : 0)) + ((double)LabelSmoothing / all);
                double y = ((1.0 - Alpha) * hard) + (Alpha * t[j]);
                rowLosses[i] -= y * Math.Log(p[j]);
                gradient[i, j] += p[j] - y;
            }
        }

        for (int j = 0; j < columns; j++)
        {
            double[] p = Softmax1(Enumerable.Range(0, rows).Select(i => Scale * dots[i, j]));
            int positives = rowIds.Count(id => id == columnIds[j]);
            for (int i = 0; i < rows; i++)
            {
                double y = ((1.0 - LabelSmoothing) * (columnIds[j] == rowIds[i] ? 1.0 / positives : 0)) + ((double)LabelSmoothing / rows);
                columnLosses[j] -= y * Math.Log(p[i]);
                gradient[i, j] += p[i] - y;
            }
        }

        AssertClose(rowLosses, first.RowLosses, "row losses");
        AssertClose(columnLosses, first.ColumnLosses, "column losses");
        AssertGradients(gradient, dots, rowFeatures, columnFeatures, (double)LossGradient * Weight, first.DRows, first.DColumns, first.DScale);
    }

    [Theory]
    [MemberData(nameof(GpuDevices.All), MemberType = typeof(GpuDevices))]
    public void Sigmoid_equals_the_formula(string deviceName)
    {
        const float Bias = -2f;
        Device device = GpuDevices.Require(deviceName);
        int rows = GpuDevices.IsSlow(deviceName) ? 5 : 700;
        float[] left = Values(rows * Width, 1), right = Values(rows * Width, 2);
        GpuBackend backend = (GpuBackend)device.Backend;
        Sigmoid first = RunSigmoid(backend, rows, left, right, Bias), again = RunSigmoid(backend, rows, left, right, Bias);
        Assert.Equal(first.Losses, again.Losses);
        Assert.Equal([.. first.DRows, .. first.DColumns, first.DScale, first.DBias], [.. again.DRows, .. again.DColumns, again.DScale, again.DBias]);

        double[,] dots = Dots(left, right, rows, rows), gradient = new double[rows, rows];
        double[] losses = new double[rows];
        for (int i = 0; i < rows; i++)
        {
            for (int j = 0; j < rows; j++)
            {
                double x = (Scale * dots[i, j]) + Bias;
                losses[i] += Math.Max(x, 0) + Math.Log(1 + Math.Exp(-Math.Abs(x))) - (i == j ? x : 0);
                gradient[i, j] = (1 / (1 + Math.Exp(-x))) - (i == j ? 1 : 0);
            }
        }

        AssertClose(losses, first.Losses, "losses");
        AssertGradients(gradient, dots, left, right, (double)LossGradient * Weight, first.DRows, first.DColumns, first.DScale);
        double dbias = 0;
        foreach (double g in gradient) dbias += g * LossGradient * Weight;
        Assert.Equal(dbias, first.DBias, 1e-5 * (1 + Math.Abs(dbias)));
    }

    /// <summary>Scratch for two panels (scores and the teacher's) whatever the number of columns, where whole matrices would take many times as much.</summary>
    [Theory]
    [MemberData(nameof(GpuDevices.All), MemberType = typeof(GpuDevices))]
    public void Memory_is_linear_in_the_rows(string deviceName)
    {
        Device device = GpuDevices.RequireFast(deviceName);
        Assert.SkipWhen(GpuDevices.IsSlow(deviceName), "too slow for sizes at which this says anything");
        foreach ((int rows, int columns, int queue) in new[] { (300, 300, 9000), (1500, 700, 300), (1500, 1500, 2000) })
        {
            GpuBackend backend = (GpuBackend)device.Backend;
            int all = columns + queue;
            Softmax result = RunSoftmax(
                backend, rows, columns, queue, Values(rows * Width, 1), Values(all * Width, 2), Values(rows * Width, 3), new int[rows], new int[all]);
            long panels = 2L * rows * 256 * sizeof(float), matrices = 2L * rows * all * sizeof(float);
            long limit = (panels * 9 / 8) + (1 << 20);
            Assert.True(result.Scratch <= limit, $"{rows} x {all}: {result.Scratch} bytes of scratch memory, {limit} are allowed; the matrices have {matrices}");
            if (rows == 300 || queue == 2000) Assert.True(limit < matrices / 2, "the case says nothing");
        }
    }

    private static Softmax RunSoftmax(
        GpuBackend backend, int rows, int columns, int queue, float[] rowFeatures, float[] columnFeatures, float[] teacher, int[] rowIds, int[] columnIds)
    {
        int all = columns + queue;
        DeviceBuffer r = Upload(backend, rowFeatures), t = Upload(backend, teacher), c = Upload(backend, columnFeatures[..(columns * Width)]), q = Upload(backend, columnFeatures[(columns * Width)..]);
        DeviceBuffer rid = Upload(backend, rowIds), cid = Upload(backend, columnIds[..columns]), qid = Upload(backend, columnIds[columns..]);
        DeviceBuffer scale = Upload(backend, [Scale]), dloss = Upload(backend, [LossGradient]);
        DeviceBuffer rowSums = backend.Rent(8 * rows), columnSums = backend.Rent(8 * columns), rowLosses = backend.Rent(rows), columnLosses = backend.Rent(columns);
        DeviceBuffer rowStatistics = backend.Rent(3 * rows), columnStatistics = backend.Rent(3 * columns);
        DeviceBuffer drows = backend.Rent(rows * Width), dcolumns = backend.Rent(columns * Width), dscale = backend.Rent(1);
        backend.Trim();
        long before = backend.RentedBytes;

        ContrastiveBlock block = new(rows, columns, Width, IsBatch: true, OnlyOwn: false), queueBlock = block with { Columns = queue, IsBatch = false };
        ContrastiveOperands operands = new(r, c, t, rid, cid, scale), queueOperands = operands with { Columns = q, ColumnIds = qid };
        backend.ContrastiveScores(block, operands, rowSums, continuesRows: false, columnSums);
        backend.ContrastiveScores(queueBlock, queueOperands, rowSums, continuesRows: true, default);
        ContrastiveTargets targets = new(LabelSmoothing, Alpha, all, rows);
        backend.ContrastiveLosses(targets, scale, rowSums, rowLosses, rowStatistics);
        backend.ContrastiveLosses(new ContrastiveTargets(LabelSmoothing, 0f, rows, all), scale, columnSums, columnLosses, columnStatistics);
        ContrastiveLossWeights rowWeights = new(rowStatistics, default, Weight), bothWeights = rowWeights with { ColumnStatistics = columnStatistics };
        backend.ContrastiveScoresBackward(block, operands, targets, bothWeights, dloss, new(drows, false), new(dcolumns, false), new(dscale, false));
        backend.ContrastiveScoresBackward(queueBlock, queueOperands, targets, rowWeights, dloss, new(drows, true), default, new(dscale, true));

        long scratch = backend.RentedBytes + backend.CachedBytes - before;
        Softmax result = new(
            Download(backend, rowLosses), Download(backend, columnLosses), Download(backend, drows), Download(backend, dcolumns), Download(backend, dscale)[0], scratch);
        foreach (DeviceBuffer buffer in new[] { r, t, c, q, rid, cid, qid, scale, dloss, rowSums, columnSums, rowLosses, columnLosses, rowStatistics, columnStatistics, drows, dcolumns, dscale })
            backend.Return(buffer);
        return result;
    }

    private static Sigmoid RunSigmoid(GpuBackend backend, int rows, float[] left, float[] right, float bias)
    {
        DeviceBuffer l = Upload(backend, left), r = Upload(backend, right), scale = Upload(backend, [Scale]), b = Upload(backend, [bias]), dloss = Upload(backend, [LossGradient]);
        DeviceBuffer losses = backend.Rent(rows), drows = backend.Rent(rows * Width), dcolumns = backend.Rent(rows * Width), dscale = backend.Rent(1), dbias = backend.Rent(1);
        SigmoidContrastiveOperands operands = new(l, r, scale, b);
        backend.SigmoidContrastive(rows, Width, operands, losses);
        backend.SigmoidContrastiveBackward(rows, Width, operands, Weight, dloss, new(drows, false), new(dcolumns, false), new(dscale, false), new(dbias, false));
        Sigmoid result = new(Download(backend, losses), Download(backend, drows), Download(backend, dcolumns), Download(backend, dscale)[0], Download(backend, dbias)[0]);
        foreach (DeviceBuffer buffer in new[] { l, r, scale, b, dloss, losses, drows, dcolumns, dscale, dbias }) backend.Return(buffer);
        return result;
    }

    private static void AssertSame(Softmax first, Softmax again)
    {
        Assert.Equal(first.RowLosses, again.RowLosses);
        Assert.Equal(first.ColumnLosses, again.ColumnLosses);
        Assert.Equal(first.DRows, again.DRows);
        Assert.Equal(first.DColumns, again.DColumns);
        Assert.Equal(first.DScale, again.DScale);
    }

    /// <summary>Compares with the gradients that follow from G.</summary>
    private static void AssertGradients(double[,] g, double[,] dots, float[] rowFeatures, float[] columnFeatures, double factor, float[] drows, float[] dcolumns, float dscale)
    {
        double[] rows = new double[drows.Length], columns = new double[dcolumns.Length];
        double scale = 0;
        for (int i = 0; i < g.GetLength(0); i++)
        {
            for (int j = 0; j < g.GetLength(1); j++)
            {
                scale += factor * g[i, j] * dots[i, j];
                for (int k = 0; k < Width; k++)
                {
                    rows[(i * Width) + k] += Scale * factor * g[i, j] * columnFeatures[(j * Width) + k];
                    if (j * Width < columns.Length) columns[(j * Width) + k] += Scale * factor * g[i, j] * rowFeatures[(i * Width) + k];
                }
            }
        }

        AssertClose(rows, drows, "gradient of the rows");
        AssertClose(columns, dcolumns, "gradient of the columns");
        AssertClose([scale], [dscale], "gradient of the scale");
    }

    private static void AssertClose(double[] expected, float[] actual, string what)
    {
        double limit = 1e-5 * (1e-2 + expected.Max(Math.Abs));
        for (int i = 0; i < expected.Length; i++) Assert.True(Math.Abs(expected[i] - actual[i]) <= limit, $"{what}, element {i}: expected {expected[i]}, actual {actual[i]}");
    }

    private static double[,] Dots(float[] rows, float[] columns, int rowCount, int columnCount)
    {
        double[,] dots = new double[rowCount, columnCount];
        for (int i = 0; i < rowCount; i++)
            for (int j = 0; j < columnCount; j++)
                for (int k = 0; k < Width; k++) dots[i, j] += (double)rows[(i * Width) + k] * columns[(j * Width) + k];
        return dots;
    }

    private static double[] Softmax1(IEnumerable<double> scores)
    {
        double[] values = [.. scores];
        double largest = values.Max(), sum = values.Sum(v => Math.Exp(v - largest));
        return [.. values.Select(v => Math.Exp(v - largest) / sum)];
    }

    private static float[] Values(int count, int seed)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (random.NextSingle() * 2f) - 1f)];
    }

    private static DeviceBuffer Upload(GpuBackend backend, float[] values)
    {
        DeviceBuffer buffer = backend.Rent(values.Length);
        backend.Upload(values, buffer);
        return buffer;
    }

    private static DeviceBuffer Upload(GpuBackend backend, int[] values)
    {
        DeviceBuffer buffer = backend.Rent(values.Length, ElementType.Int32);
        backend.Upload(values, buffer);
        return buffer;
    }

    private static float[] Download(GpuBackend backend, DeviceBuffer buffer)
    {
        float[] values = new float[buffer.Length];
        backend.Download(buffer, values);
        return values;
    }

    private sealed record Softmax(float[] RowLosses, float[] ColumnLosses, float[] DRows, float[] DColumns, float DScale, long Scratch);

    private sealed record Sigmoid(float[] Losses, float[] DRows, float[] DColumns, float DScale, float DBias);
}
