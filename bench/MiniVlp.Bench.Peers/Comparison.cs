using System.Diagnostics;
using System.Runtime.InteropServices;
using MiniVlp.Bench.Workloads;
using MiniVlp.Tensors;

namespace MiniVlp.Bench.Peers;

/// <summary>
/// Times the libraries in alternation inside one process: what else happens on the machine then hits all of them alike. Their threads wait
/// for more work by spinning, for up to a fifth of a second, and the runtime compiles in the background: both take processors from whoever
/// comes next, so on several threads each turn begins with a pause until no other thread of the process computes. Each round begins with another
/// library, and their order is turned around after as many rounds as there are libraries. After a pause a processor computes at two thirds of its
/// rate for some milliseconds, and sleeping threads are woken; the peak is measured without either, and so are runs: where one of them takes less
/// than a tenth of a second, all are repeated untimed for ten milliseconds, then timed for ten.
/// </summary>
internal sealed class Comparison(Device device, Options options)
{
    private const int FewestRounds = 3, GoodRounds = 7, MostRounds = 2000;
    private const double PauseMilliseconds = 20, LongestPauseMilliseconds = 1000, QuietShare = 0.05;
    private const double LeadInMilliseconds = 10, LeastMilliseconds = 10, LongMilliseconds = 100, WarmUpMilliseconds = 300;

    /// <summary>How much longer than asked for a workload may take to come to <see cref="GoodRounds"/>.</summary>
    private const double Patience = 3;

    private double _paused;

    public ComparisonRow Measure(Workload workload)
    {
        using PreparedWorkload ours = workload.Prepare(device);
        using PeerWorkload? torch = options.OursOnly ? null : Torch.Prepare(workload.Name), onnx = options.OursOnly ? null : Onnx.Prepare(workload.Name, options.Threads);
        List<double> oursTimes = [], torchTimes = [], onnxTimes = [];
        List<(Action Run, List<double> Times)> turns = [(ours.Run, oursTimes)];
        if (torch is not null) turns.Add((torch.Run, torchTimes));
        if (onnx is not null) turns.Add((onnx.Run, onnxTimes));

        // A run of a tenth of a second and more hardly notices its cold start: none is then done twice.
        bool hasLeadIn = turns.Min(turn => Repeat(turn.Run, WarmUpMilliseconds)) < LongMilliseconds;
        _paused = 0;
        int disturbed = 0;
        Stopwatch total = Stopwatch.StartNew();
        for (int round = 0; round < MostRounds; round++)
        {
            double elapsed = total.Elapsed.TotalSeconds - (_paused / 1000);
            bool isEnough = round >= GoodRounds ? elapsed >= options.Seconds : round >= FewestRounds && elapsed >= Patience * options.Seconds;
            if (isEnough && round % turns.Count == 0) break;
            for (int i = 0; i < turns.Count; i++)
            {
                int first = round % turns.Count, step = round / turns.Count % 2 == 0 ? i : turns.Count - i;
                (Action run, List<double> times) = turns[(first + step) % turns.Count];
                if (options.Threads > 1 && !Pause()) disturbed++;
                times.Add(Turn(run, hasLeadIn));
            }
        }

        if (disturbed > 0) Console.Error.WriteLine($"{workload.Name}: before {disturbed} turns another thread computed for more than {LongestPauseMilliseconds} ms; they were measured all the same.");

        return new ComparisonRow(
            workload.Name, workload.Operations, workload.Bytes, oursTimes.Count, Timing.Of(oursTimes), torch is null ? null : Timing.Of(torchTimes), onnx is null ? null : Timing.Of(onnxTimes));
    }

    private double Turn(Action run, bool hasLeadIn)
    {
        int repetitions = hasLeadIn ? Math.Max(1, (int)Math.Ceiling(LeastMilliseconds / Repeat(run, LeadInMilliseconds))) : 1;
        double start = Now();
        for (int i = 0; i < repetitions; i++) run();
        return (Now() - start) / repetitions;
    }

    /// <summary>
    /// Waits until the other threads sleep, not asleep itself: the scheduler likes to put threads that a thread just out of sleep wakes on its own
    /// processor. False when some still computed after the longest wait. Where there is no clock of their time it waits a fixed time.
    /// </summary>
    private bool Pause()
    {
        double work, waited = 0;
        do
        {
            double before = OperatingSystem.IsLinux() ? ProcessorClock.OtherThreadsMilliseconds : 0;
            Spin(PauseMilliseconds);
            work = OperatingSystem.IsLinux() ? ProcessorClock.OtherThreadsMilliseconds - before : 0;
            waited += PauseMilliseconds;
        }
        while (work > QuietShare * PauseMilliseconds && waited < LongestPauseMilliseconds);
        _paused += waited;
        return work <= QuietShare * PauseMilliseconds;
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
