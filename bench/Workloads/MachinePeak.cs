using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace MiniVlp.Bench.Workloads;

/// <summary>What the machine can do at most, measured now, so that a share of it means something on a busy machine too.</summary>
/// <param name="Threads">Threads that measured at the same time.</param>
/// <param name="GigaflopsPerSecond">Of a loop of independent fused multiply-adds in registers, the widest vectors this machine has.</param>
/// <param name="GigabytesPerSecond">Of the triad a[i] = b[i] + s · c[i] over arrays beyond the caches, counting three arrays.</param>
public sealed record MachinePeak(int Threads, double GigaflopsPerSecond, double GigabytesPerSecond)
{
    private const int TriadLength = 16 * 1024 * 1024;
    private const int Repetitions = 5;

    /// <summary>Takes the best of a few repetitions, well under a second each.</summary>
    public static MachinePeak Measure(int threads)
    {
        double arithmetic = 0, memory = 0;
        for (int i = 0; i < Repetitions; i++)
        {
            arithmetic = Math.Max(arithmetic, OnThreads(threads, _ => MultiplyAdd(4_000_000)));
            memory = Math.Max(memory, Triad(threads));
        }

        return new MachinePeak(threads, arithmetic / 1e9, memory / 1e9);
    }

    /// <summary>Work per second when every thread does its part at the same time.</summary>
    private static double OnThreads(int threads, Func<int, double> work)
    {
        using Barrier barrier = new(threads);
        double[] done = new double[threads];
        long[] starts = new long[threads], ends = new long[threads];
        Thread[] others = new Thread[threads];
        for (int t = 0; t < threads; t++)
        {
            int index = t;
            others[t] = new Thread(() =>
            {
                barrier.SignalAndWait();
                starts[index] = Stopwatch.GetTimestamp();
                done[index] = work(index);
                ends[index] = Stopwatch.GetTimestamp();
            });
            others[t].Start();
        }

        foreach (Thread thread in others) thread.Join();
        return done.Sum() / Stopwatch.GetElapsedTime(starts.Min(), ends.Max()).TotalSeconds;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static double MultiplyAdd(int rounds)
        => Vector512.IsHardwareAccelerated ? MultiplyAdd512(rounds) : Vector256.IsHardwareAccelerated ? MultiplyAdd256(rounds) : MultiplyAdd128(rounds);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static double MultiplyAdd512(int rounds)
    {
        Vector512<float> a = Vector512.Create(0.999999f), b = Vector512.Create(1e-7f);
        Vector512<float> x0 = a, x1 = a, x2 = a, x3 = a, x4 = a, x5 = a, x6 = a, x7 = a, x8 = a, x9 = a;
        for (int i = 0; i < rounds; i++)
        {
            x0 = Vector512.FusedMultiplyAdd(x0, a, b);
            x1 = Vector512.FusedMultiplyAdd(x1, a, b);
            x2 = Vector512.FusedMultiplyAdd(x2, a, b);
            x3 = Vector512.FusedMultiplyAdd(x3, a, b);
            x4 = Vector512.FusedMultiplyAdd(x4, a, b);
            x5 = Vector512.FusedMultiplyAdd(x5, a, b);
            x6 = Vector512.FusedMultiplyAdd(x6, a, b);
            x7 = Vector512.FusedMultiplyAdd(x7, a, b);
            x8 = Vector512.FusedMultiplyAdd(x8, a, b);
            x9 = Vector512.FusedMultiplyAdd(x9, a, b);
        }

        return Used(Vector512.Sum(x0 + x1 + x2 + x3 + x4 + x5 + x6 + x7 + x8 + x9)) * 10.0 * 32 * rounds;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static double MultiplyAdd256(int rounds)
    {
        Vector256<float> a = Vector256.Create(0.999999f), b = Vector256.Create(1e-7f);
        Vector256<float> x0 = a, x1 = a, x2 = a, x3 = a, x4 = a, x5 = a, x6 = a, x7 = a, x8 = a, x9 = a;
        for (int i = 0; i < rounds; i++)
        {
            x0 = Vector256.FusedMultiplyAdd(x0, a, b);
            x1 = Vector256.FusedMultiplyAdd(x1, a, b);
            x2 = Vector256.FusedMultiplyAdd(x2, a, b);
            x3 = Vector256.FusedMultiplyAdd(x3, a, b);
            x4 = Vector256.FusedMultiplyAdd(x4, a, b);
            x5 = Vector256.FusedMultiplyAdd(x5, a, b);
            x6 = Vector256.FusedMultiplyAdd(x6, a, b);
            x7 = Vector256.FusedMultiplyAdd(x7, a, b);
            x8 = Vector256.FusedMultiplyAdd(x8, a, b);
            x9 = Vector256.FusedMultiplyAdd(x9, a, b);
        }

        return Used(Vector256.Sum(x0 + x1 + x2 + x3 + x4 + x5 + x6 + x7 + x8 + x9)) * 10.0 * 16 * rounds;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static double MultiplyAdd128(int rounds)
    {
        Vector128<float> a = Vector128.Create(0.999999f), b = Vector128.Create(1e-7f);
        Vector128<float> x0 = a, x1 = a, x2 = a, x3 = a, x4 = a, x5 = a, x6 = a, x7 = a, x8 = a, x9 = a;
        for (int i = 0; i < rounds; i++)
        {
            x0 = Vector128.FusedMultiplyAdd(x0, a, b);
            x1 = Vector128.FusedMultiplyAdd(x1, a, b);
            x2 = Vector128.FusedMultiplyAdd(x2, a, b);
            x3 = Vector128.FusedMultiplyAdd(x3, a, b);
            x4 = Vector128.FusedMultiplyAdd(x4, a, b);
            x5 = Vector128.FusedMultiplyAdd(x5, a, b);
            x6 = Vector128.FusedMultiplyAdd(x6, a, b);
            x7 = Vector128.FusedMultiplyAdd(x7, a, b);
            x8 = Vector128.FusedMultiplyAdd(x8, a, b);
            x9 = Vector128.FusedMultiplyAdd(x9, a, b);
        }

        return Used(Vector128.Sum(x0 + x1 + x2 + x3 + x4 + x5 + x6 + x7 + x8 + x9)) * 10.0 * 8 * rounds;
    }

    /// <summary>1, by a way the compiler cannot see through, so that the loop is not dropped.</summary>
    private static double Used(float value) => float.IsNaN(value) ? 0 : 1;

    private static unsafe double Triad(int threads)
    {
        int part = TriadLength / threads;
        float* memory = (float*)NativeMemory.AlignedAlloc(3 * (nuint)TriadLength * sizeof(float), 64);
        new Span<float>(memory, TriadLength).Fill(1f);
        new Span<float>(memory + TriadLength, TriadLength).Fill(2f);
        new Span<float>(memory + (2 * TriadLength), TriadLength).Fill(3f);
        double bytesPerSecond = OnThreads(threads, index =>
        {
            TriadPart(memory + (index * part), memory + TriadLength + (index * part), memory + (2 * TriadLength) + (index * part), part);
            return 3.0 * part * sizeof(float);
        });
        NativeMemory.AlignedFree(memory);
        return bytesPerSecond;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe void TriadPart(float* a, float* b, float* c, int count)
    {
        Vector256<float> scale = Vector256.Create(3f);
        for (int i = 0; i <= count - 8; i += 8) Vector256.FusedMultiplyAdd(scale, Vector256.Load(c + i), Vector256.Load(b + i)).Store(a + i);
    }
}
