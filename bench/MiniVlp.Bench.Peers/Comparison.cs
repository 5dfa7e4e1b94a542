using System.Diagnostics;
using System.Runtime.InteropServices;
using MiniVlp.Bench.Workloads;
using MiniVlp.Tensors;

namespace MiniVlp.Bench.Peers;

/// <summary>
/// Times the libraries in alternation inside one process: what else happens on the machine then hits all of them alike. The threads of the
/// others wait for more work by spinning, which would take processors from whoever comes next: so each turn begins with a pause. After one a
/// processor computes at two thirds of its rate for some milliseconds, and sleeping threads are woken; the peak is measured without either,
/// and so are runs: short ones are repeated untimed for ten milliseconds, then timed for ten.
/// </summary>
internal sealed class Comparison(Device device, Options options)
{
    private const int FewestRounds = 3, GoodRounds = 7, MostRounds = 2000;
    private const int PauseMilliseconds = 20;
    private const double LeadInMilliseconds = 10, LeastMilliseconds = 10, LongMilliseconds = 100, WarmUpMilliseconds = 300;

    /// <summary>How much longer than asked for a workload may take to come to <see cref="GoodRounds"/>.</summary>
    private const double Patience = 3;

    public ComparisonRow Measure(Workload workload)
    {
        using PreparedWorkload ours = workload.Prepare(device);
        using PeerWorkload? torch = options.OursOnly ? null : Torch.Prepare(workload.Name), onnx = options.OursOnly ? null : Onnx.Prepare(workload.Name, options.Threads);
        List<double> oursTimes = [], torchTimes = [], onnxTimes = [];
        foreach (Action run in new[] { ours.Run, torch is null ? null : torch.Run, onnx is null ? null : (Action)onnx.Run }.OfType<Action>()) Repeat(run, WarmUpMilliseconds);
        Stopwatch total = Stopwatch.StartNew();
        while (oursTimes.Count < MostRounds)
        {
            double elapsed = total.Elapsed.TotalSeconds;
            bool isEnough = oursTimes.Count >= GoodRounds ? elapsed >= options.Seconds : oursTimes.Count >= FewestRounds && elapsed >= Patience * options.Seconds;
            if (isEnough) break;
            if (torch is not null) torchTimes.Add(Turn(torch.Run));
            oursTimes.Add(Turn(ours.Run));
            if (onnx is not null) onnxTimes.Add(Turn(onnx.Run));
        }

        return new ComparisonRow(
            workload.Name, workload.Operations, workload.Bytes, oursTimes.Count, Timing.Of(oursTimes), torch is null ? null : Timing.Of(torchTimes), onnx is null ? null : Timing.Of(onnxTimes));
    }

    private double Turn(Action run)
    {
        if (options.Threads > 1)
        {
            // Not asleep: the scheduler likes to put threads that a thread just out of sleep wakes on its own processor.
            long pause = Stopwatch.GetTimestamp();
            while (Stopwatch.GetElapsedTime(pause).TotalMilliseconds < PauseMilliseconds) Thread.SpinWait(100);
        }

        // A run of a tenth of a second and more hardly notices its cold start: it is not done twice.
        double once = Repeat(run, LeadInMilliseconds);
        if (once >= LongMilliseconds) return once;
        int repetitions = Math.Max(1, (int)Math.Ceiling(LeastMilliseconds / once));
        double start = Now();
        for (int i = 0; i < repetitions; i++) run();
        return (Now() - start) / repetitions;
    }

    /// <summary>Runs for about so many milliseconds, at least once, and returns the mean time of a run.</summary>
    private double Repeat(Action run, double milliseconds)
    {
        double start = Now(), elapsed = 0;
        int runs = 0;
        for (; runs == 0 || elapsed < milliseconds; runs++)
        {
            run();
            elapsed = Now() - start;
        }

        return elapsed / runs;
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
