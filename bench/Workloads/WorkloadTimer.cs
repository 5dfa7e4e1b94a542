using System.Diagnostics;
using MiniVlp.Tensors;

namespace MiniVlp.Bench.Workloads;

/// <summary>How fast a workload ran.</summary>
/// <param name="MedianMilliseconds">Of one run.</param>
/// <param name="BestMilliseconds">Of one run.</param>
/// <param name="Runs">Number of runs timed.</param>
public sealed record Timing(double MedianMilliseconds, double BestMilliseconds, int Runs)
{
    /// <summary>Median and best of these times, sorted here.</summary>
    public static Timing Of(List<double> milliseconds)
    {
        milliseconds.Sort();
        return new Timing((milliseconds[(milliseconds.Count - 1) / 2] + milliseconds[milliseconds.Count / 2]) / 2, milliseconds[0], milliseconds.Count);
    }
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
        for (int i = 0; i < WarmUpRuns; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            prepared.Run();
        }

        List<double> milliseconds = [];
        Stopwatch total = Stopwatch.StartNew();
        while (milliseconds.Count < LeastRuns || (total.Elapsed < time && milliseconds.Count < MostRuns))
        {
            cancellation.ThrowIfCancellationRequested();
            long start = Stopwatch.GetTimestamp();
            prepared.Run();
            milliseconds.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
        }

        return Timing.Of(milliseconds);
    }
}
