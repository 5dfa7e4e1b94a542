using System.Diagnostics;

namespace MiniVlp.Bench.Workloads;

/// <summary>Work on several threads at the same time.</summary>
internal static class Together
{
    /// <summary>Amount of work per second, from the start of the first thread to the end of the last.</summary>
    /// <param name="threads">Number of threads.</param>
    /// <param name="work">Does the part of one thread and says how much that was.</param>
    public static double Run(int threads, Func<int, double> work)
    {
        using Barrier barrier = new(threads);
        double[] done = new double[threads];
        long[] starts = new long[threads], ends = new long[threads];
        Thread[] all = new Thread[threads];
        for (int t = 0; t < threads; t++)
        {
            int index = t;
            all[t] = new Thread(() =>
            {
                barrier.SignalAndWait();
                starts[index] = Stopwatch.GetTimestamp();
                done[index] = work(index);
                ends[index] = Stopwatch.GetTimestamp();
            });
            all[t].Start();
        }

        foreach (Thread thread in all) thread.Join();
        return done.Sum() / Stopwatch.GetElapsedTime(starts.Min(), ends.Max()).TotalSeconds;
    }
}
