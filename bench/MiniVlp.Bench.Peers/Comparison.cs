using System.Diagnostics;
using System.Runtime.InteropServices;
using MiniVlp.Bench.Workloads;
using MiniVlp.Tensors;

namespace MiniVlp.Bench.Peers;

/// <summary>
/// Times the libraries in alternation inside one process: what else happens on the machine then hits all of them alike. Short runs are
/// repeated until a measurement takes about two milliseconds. The threads of the others wait for more work by spinning, which would take
/// processors from whoever comes next: so each turn begins with a pause and, where runs are short, an untimed run that wakes its own threads.
/// </summary>
internal sealed class Comparison(Device device, Options options)
{
    private const int FewestRounds = 3, GoodRounds = 7, MostRounds = 2000, WarmUpRounds = 3;
    private const int PauseMilliseconds = 20;
    private const double LeastMilliseconds = 2, ShortMilliseconds = 100;

    /// <summary>How much longer than asked for a workload may take to come to <see cref="GoodRounds"/>.</summary>
    private const double Patience = 3;

    public ComparisonRow Measure(Workload workload)
    {
        using PreparedWorkload ours = workload.Prepare(device);
        using PeerWorkload? torch = options.OursOnly ? null : Torch.Prepare(workload.Name), onnx = options.OursOnly ? null : Onnx.Prepare(workload.Name, options.Threads);
        List<double> oursTimes = [], torchTimes = [], onnxTimes = [];
        int repetitions = 1;
        bool isShort = false;
        Stopwatch total = Stopwatch.StartNew();
        for (int i = 0; i < WarmUpRounds && (i == 0 || total.Elapsed.TotalSeconds < options.Seconds); i++)
        {
            double once = Time(ours.Run, 1);
            repetitions = Math.Max(1, (int)(LeastMilliseconds / once));
            isShort = once < ShortMilliseconds;
            torch?.Run();
            onnx?.Run();
        }

        total.Restart();
        while (oursTimes.Count < MostRounds)
        {
            double elapsed = total.Elapsed.TotalSeconds;
            bool isEnough = oursTimes.Count >= GoodRounds ? elapsed >= options.Seconds : oursTimes.Count >= FewestRounds && elapsed >= Patience * options.Seconds;
            if (isEnough) break;
            if (torch is not null) torchTimes.Add(Turn(torch.Run, repetitions, isShort));
            oursTimes.Add(Turn(ours.Run, repetitions, isShort));
            if (onnx is not null) onnxTimes.Add(Turn(onnx.Run, repetitions, isShort));
        }

        return new ComparisonRow(
            workload.Name, workload.Operations, workload.Bytes, oursTimes.Count, Timing.Of(oursTimes), torch is null ? null : Timing.Of(torchTimes), onnx is null ? null : Timing.Of(onnxTimes));
    }

    private double Turn(Action run, int repetitions, bool isShort)
    {
        if (options.Threads > 1)
        {
            // Not asleep: the scheduler likes to put threads that a thread just out of sleep wakes on its own processor.
            long pause = Stopwatch.GetTimestamp();
            while (Stopwatch.GetElapsedTime(pause).TotalMilliseconds < PauseMilliseconds) Thread.SpinWait(100);
            if (isShort) run();
        }

        return Time(run, repetitions);
    }

    private double Time(Action run, int repetitions)
    {
        double start = Now();
        for (int i = 0; i < repetitions; i++) run();
        return (Now() - start) / repetitions;
    }

    private double Now() => options.Clock is "cpu" ? ProcessorClock.Milliseconds : Stopwatch.GetTimestamp() * 1000.0 / Stopwatch.Frequency;
}

/// <summary>Processor time of this process; System.Diagnostics.Process counts it in ticks of ten milliseconds only.</summary>
internal static partial class ProcessorClock
{
    private const int ProcessClock = 2;

    /// <exception cref="PlatformNotSupportedException">Not Linux.</exception>
    public static double Milliseconds
    {
        get
        {
            if (!OperatingSystem.IsLinux()) throw new PlatformNotSupportedException("--clock cpu needs Linux.");
            return clock_gettime(ProcessClock, out TimeSpec time) == 0 ? (time.Seconds * 1e3) + (time.Nanoseconds / 1e6) : throw new InvalidOperationException("clock_gettime failed.");
        }
    }

    [LibraryImport("libc")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int clock_gettime(int clock, out TimeSpec time);

    private struct TimeSpec
    {
        public long Seconds;
        public long Nanoseconds;
    }
}
