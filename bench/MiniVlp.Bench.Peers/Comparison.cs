using System.Diagnostics;
using System.Runtime.InteropServices;
using MiniVlp.Bench.Workloads;
using MiniVlp.Tensors;

namespace MiniVlp.Bench.Peers;

/// <summary>
/// Times the libraries in alternation inside one process: what else happens on the machine then hits all of them alike. Their threads wait
/// for more work by spinning, for up to a fifth of a second, and the runtime compiles in the background: both take processors from whoever
/// comes next, so each turn begins with a pause that ends when no other thread of the process computes, and each round begins with another
/// library. After a pause a processor computes at two thirds of its rate for some milliseconds, and sleeping threads are woken; the peak is
/// measured without either, and so are runs: short ones are repeated untimed for ten milliseconds, then timed for ten.
/// </summary>
internal sealed class Comparison(Device device, Options options)
{
    private const int FewestRounds = 3, GoodRounds = 7, MostRounds = 2000;
    private const double PauseMilliseconds = 20, LongestPauseMilliseconds = 1000, QuietMilliseconds = 5, QuietShare = 0.05;
    private const double LeadInMilliseconds = 10, LeastMilliseconds = 10, LongMilliseconds = 100, WarmUpMilliseconds = 300;

    /// <summary>How much longer than asked for a workload may take to come to <see cref="GoodRounds"/>.</summary>
    private const double Patience = 3;

    public ComparisonRow Measure(Workload workload)
    {
        using PreparedWorkload ours = workload.Prepare(device);
        using PeerWorkload? torch = options.OursOnly ? null : Torch.Prepare(workload.Name), onnx = options.OursOnly ? null : Onnx.Prepare(workload.Name, options.Threads);
        List<double> oursTimes = [], torchTimes = [], onnxTimes = [];
        List<(Action Run, List<double> Times)> turns = [(ours.Run, oursTimes)];
        if (torch is not null) turns.Add((torch.Run, torchTimes));
        if (onnx is not null) turns.Add((onnx.Run, onnxTimes));
        foreach ((Action run, _) in turns) Repeat(run, WarmUpMilliseconds);
        Stopwatch total = Stopwatch.StartNew();
        for (int round = 0; round < MostRounds; round++)
        {
            double elapsed = total.Elapsed.TotalSeconds;
            bool isEnough = round >= GoodRounds ? elapsed >= options.Seconds : round >= FewestRounds && elapsed >= Patience * options.Seconds;
            if (isEnough) break;
            for (int i = 0; i < turns.Count; i++)
            {
                (Action run, List<double> times) = turns[(round + i) % turns.Count];
                times.Add(Turn(run));
            }
        }

        return new ComparisonRow(
            workload.Name, workload.Operations, workload.Bytes, oursTimes.Count, Timing.Of(oursTimes), torch is null ? null : Timing.Of(torchTimes), onnx is null ? null : Timing.Of(onnxTimes));
    }

    private double Turn(Action run)
    {
        if (options.Threads > 1) Pause();

        // A run of a tenth of a second and more hardly notices its cold start: it is not done twice.
        double once = Repeat(run, LeadInMilliseconds);
        if (once >= LongMilliseconds) return once;
        int repetitions = Math.Max(1, (int)Math.Ceiling(LeastMilliseconds / once));
        double start = Now();
        for (int i = 0; i < repetitions; i++) run();
        return (Now() - start) / repetitions;
    }

    /// <summary>Waits, not asleep (the scheduler likes to put threads that a thread just out of sleep wakes on its own processor), until the others do.</summary>
    private static void Pause()
    {
        Spin(PauseMilliseconds);
        if (!OperatingSystem.IsLinux()) return;
        double work, waited = PauseMilliseconds;
        do
        {
            double before = ProcessorClock.OtherThreadsMilliseconds;
            Spin(QuietMilliseconds);
            work = ProcessorClock.OtherThreadsMilliseconds - before;
            waited += QuietMilliseconds;
        }
        while (work > QuietShare * QuietMilliseconds && waited < LongestPauseMilliseconds);
    }

    private static void Spin(double milliseconds)
    {
        long start = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(start).TotalMilliseconds < milliseconds) Thread.SpinWait(100);
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

/// <summary>Processor time; System.Diagnostics.Process counts it in ticks of ten milliseconds only.</summary>
internal static partial class ProcessorClock
{
    private const int ProcessClock = 2, ThreadClock = 3;

    /// <summary>Of this process.</summary>
    /// <exception cref="PlatformNotSupportedException">Not Linux.</exception>
    public static double Milliseconds => Read(ProcessClock);

    /// <summary>Of this process without the thread that asks.</summary>
    /// <exception cref="PlatformNotSupportedException">Not Linux.</exception>
    public static double OtherThreadsMilliseconds
    {
        get
        {
            double own = Read(ThreadClock);
            return Read(ProcessClock) - own;
        }
    }

    private static double Read(int clock)
    {
        if (!OperatingSystem.IsLinux()) throw new PlatformNotSupportedException("Clocks of processor time need Linux.");
        return clock_gettime(clock, out TimeSpec time) == 0 ? (time.Seconds * 1e3) + (time.Nanoseconds / 1e6) : throw new InvalidOperationException("clock_gettime failed.");
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
