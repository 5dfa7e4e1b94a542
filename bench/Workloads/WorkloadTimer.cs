using System.Diagnostics;
using MiniVlp.Tensors;

namespace MiniVlp.Bench.Workloads;

/// <summary>How fast a workload ran.</summary>
/// <param name="Name">Of the workload.</param>
/// <param name="MedianMilliseconds">Of one run.</param>
/// <param name="BestMilliseconds">Of one run.</param>
/// <param name="Runs">Number of runs timed.</param>
/// <param name="GigaflopsPerSecond">At the median; null when memory is what counts.</param>
/// <param name="GigabytesPerSecond">At the median; null when arithmetic is what counts.</param>
public sealed record Timing(string Name, double MedianMilliseconds, double BestMilliseconds, int Runs, double? GigaflopsPerSecond, double? GigabytesPerSecond)
{
    /// <summary>The rates of a workload whose runs took these times, sorted here.</summary>
    public static Timing Of(Workload workload, List<double> milliseconds)
    {
        milliseconds.Sort();
        double median = (milliseconds[(milliseconds.Count - 1) / 2] + milliseconds[milliseconds.Count / 2]) / 2;
        return new Timing(
            workload.Name,
            median,
            milliseconds[0],
            milliseconds.Count,
            workload.Operations > 0 ? workload.Operations / median / 1e6 : null,
            workload.Bytes > 0 ? workload.Bytes / median / 1e6 : null);
    }

    /// <summary>Median rate over the peak of what limits it: arithmetic, or memory for a workload that counts bytes.</summary>
    public double ShareOf(MachinePeak peak)
        => GigaflopsPerSecond is { } gigaflops ? gigaflops / peak.GigaflopsPerSecond : GigabytesPerSecond.GetValueOrDefault() / peak.GigabytesPerSecond;
}

/// <summary>Times workloads: warm-up, then single runs until the time is used up, and their median.</summary>
public static class WorkloadTimer
{
    private const int WarmUpRuns = 3, LeastRuns = 5, MostRuns = 2000;

    /// <summary>Times one workload.</summary>
    /// <param name="workload">What to time.</param>
    /// <param name="device">Where.</param>
    /// <param name="time">How long to repeat it.</param>
    /// <param name="cancellation">Checked between runs.</param>
    public static Timing Measure(Workload workload, Device device, TimeSpan time, CancellationToken cancellation)
    {
        using PreparedWorkload prepared = workload.Prepare(device);
        for (int i = 0; i < WarmUpRuns; i++) prepared.Run();
        List<double> milliseconds = [];
        Stopwatch total = Stopwatch.StartNew();
        while (milliseconds.Count < LeastRuns || (total.Elapsed < time && milliseconds.Count < MostRuns))
        {
            cancellation.ThrowIfCancellationRequested();
            long start = Stopwatch.GetTimestamp();
            prepared.Run();
            milliseconds.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
        }

        return Timing.Of(workload, milliseconds);
    }
}
