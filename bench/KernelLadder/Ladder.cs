using System.Diagnostics;
using MiniVlp.Kernels;

namespace MiniVlp.KernelLadder;

/// <summary>Several ways to compute the same, from the plainest to the product's own.</summary>
internal abstract class Ladder(IBackend backend) : IDisposable
{
    private const int Batches = 5, MostRuns = 1000;
    private const double BatchMilliseconds = 50;

    private readonly List<DeviceBuffer> _rented = [];

    /// <summary>What is computed, with its sizes.</summary>
    public abstract string Name { get; }

    /// <summary>Operations of one run that the result needs, a multiplication and an addition counting as two.</summary>
    public abstract double Operations { get; }

    /// <summary>The ways, slowest first.</summary>
    public abstract IReadOnlyList<LadderStep> Steps { get; }

    /// <summary>Where every step puts its result.</summary>
    protected abstract DeviceBuffer Result { get; }

    /// <summary>Runs, checks and times every step.</summary>
    public IReadOnlyList<LadderRow> Measure()
    {
        List<LadderRow> rows = [];
        foreach (LadderStep step in Steps)
        {
            double error = Check(step), milliseconds = Time(step.Run);

            // Written so that NaN is wrong.
            rows.Add(new LadderRow(Name, step.Name, milliseconds, Operations / milliseconds / 1e6, 0, error, error <= step.Tolerance));
        }

        return [.. rows.Select(row => row with { ShareOfLast = row.GigaflopsPerSecond / rows[^1].GigaflopsPerSecond })];
    }

    /// <summary>Runs a step once over a result that holds NaN; the largest error of the elements that are looked at.</summary>
    public double Check(LadderStep step)
    {
        backend.Fill(Result, float.NaN);
        step.Run();
        float[] result = new float[Result.Length];
        backend.Download(Result, result);
        return ErrorOf(result);
    }

    /// <summary>Gives the memory back.</summary>
    public void Dispose()
    {
        foreach (DeviceBuffer buffer in _rented) backend.Return(buffer);
        (backend as GpuBackend)?.Trim();
    }

    /// <summary>The largest difference from double precision over the elements that are looked at, relative to the largest of them.</summary>
    protected abstract double ErrorOf(float[] result);

    /// <summary>Memory until the ladder is disposed.</summary>
    protected DeviceBuffer Rent(int length)
    {
        _rented.Add(backend.Rent(length));
        return _rented[^1];
    }

    /// <summary>Does something with products and attention in bfloat16, summed in float32; for steps of CUDA.</summary>
    protected void InBFloat16(Action run)
    {
        GpuBackend gpu = (GpuBackend)backend;
        gpu.Precision = MatMulPrecision.BFloat16;
        run();
        gpu.Precision = MatMulPrecision.Float32;
    }

    /// <summary>Whether the device has tensor cores.</summary>
    protected bool HasTensorCores => backend.Name.StartsWith("cuda", StringComparison.Ordinal);

    /// <summary>Values on the device until the ladder is disposed.</summary>
    protected DeviceBuffer Upload(float[] values)
    {
        DeviceBuffer buffer = Rent(values.Length);
        backend.Upload(values, buffer);
        return buffer;
    }

    /// <summary>Uniform in [-1, 1).</summary>
    protected static float[] Random(int length, int seed)
    {
        Random random = new(seed);
        float[] values = new float[length];
        foreach (ref float value in values.AsSpan()) value = (2f * random.NextSingle()) - 1f;
        return values;
    }

    /// <summary>Median over batches, each as many runs as take a while with one wait for the device at the end.</summary>
    private double Time(Action run)
    {
        // The check before was the warm-up.
        double once = Batch(run, 1);
        int runs = (int)Math.Clamp(BatchMilliseconds / once, 1, MostRuns);
        double[] times = [.. Enumerable.Range(0, Batches).Select(_ => Batch(run, runs))];
        Array.Sort(times);
        return times[Batches / 2];
    }

    private double Batch(Action run, int runs)
    {
        Synchronize();
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < runs; i++) run();
        Synchronize();
        return Stopwatch.GetElapsedTime(start).TotalMilliseconds / runs;
    }

    private void Synchronize() => (backend as GpuBackend)?.Synchronize();
}
