using System.Globalization;
using System.Runtime.InteropServices;

namespace MiniVlp.Bench.Workloads;

/// <summary>What the machine can do at most, measured now, so that a share of it means something on a busy machine too.</summary>
/// <param name="Vectors">Bits of the widest vectors that the runtime uses, those of the kernels: <c>DOTNET_EnableAVX512F=0</c> and the like narrow both.</param>
/// <param name="OneCore">One thread alone.</param>
/// <param name="AllCores">As many threads as asked for, at the same time.</param>
public sealed record MachinePeak(int Vectors, MachineRate OneCore, MachineRate AllCores)
{
    private const int Rounds = 12;
    private const int MultiplyAddRounds = 1_500_000;

    /// <summary>Elements of one array beyond the caches.</summary>
    private const int MemoryLength = 16 * 1024 * 1024;

    /// <summary>Elements of one array such that three of them leave the second-level caches and stay in the last level.</summary>
    private const int CacheLength = 1024 * 1024;

    /// <summary>Runs over the arrays in the cache, so that they take as long as one over the memory.</summary>
    private const int CacheRuns = 8;

    /// <summary>
    /// The best of a dozen repetitions of each loop, about three seconds in all: one thread and all threads take turns, so that a neighbour's
    /// burst of work hits both.
    /// </summary>
    /// <param name="threads">Of <see cref="AllCores"/>.</param>
    public static MachinePeak Measure(int threads)
    {
        using PeakArrays memory = new(MemoryLength), cache = new(CacheLength);
        MachineRate one = new(1, 0, 0, string.Empty, 0), all = new(threads, 0, 0, string.Empty, 0);
        for (int i = 0; i < Rounds; i++)
        {
            one = Faster(one, MeasureOnce(1, memory, cache));
            if (threads > 1) all = Faster(all, MeasureOnce(threads, memory, cache));
        }

        return new MachinePeak(PeakLoops.VectorBits, one, threads > 1 ? all : one);
    }

    /// <summary>The better of two measurements in everything.</summary>
    public MachinePeak Or(MachinePeak other) => new(Vectors, Faster(OneCore, other.OneCore), Faster(AllCores, other.AllCores));

    private static MachineRate MeasureOnce(int threads, PeakArrays memory, PeakArrays cache)
    {
        double arithmetic = Together.Run(threads, _ => PeakLoops.MultiplyAdd(MultiplyAddRounds));
        (double bytes, string by) = (0, string.Empty);
        foreach ((string name, PeakLoops.MemoryLoop loop, int arrays) in PeakLoops.Memory)
        {
            double rate = Together.Run(threads, index => memory.Run(loop, index, threads, 1) * arrays);
            if (rate > bytes) (bytes, by) = (rate, name);
        }

        double cached = PeakLoops.Memory.Max(loop => Together.Run(threads, index => cache.Run(loop.Run, index, threads, CacheRuns) * loop.Arrays));
        return new MachineRate(threads, arithmetic / 1e9, bytes / 1e9, by, cached / 1e9);
    }

    private static MachineRate Faster(MachineRate a, MachineRate b) => new(
        a.Threads,
        Math.Max(a.GigaflopsPerSecond, b.GigaflopsPerSecond),
        Math.Max(a.GigabytesPerSecond, b.GigabytesPerSecond),
        a.GigabytesPerSecond >= b.GigabytesPerSecond ? a.MemoryLoop : b.MemoryLoop,
        Math.Max(a.CacheGigabytesPerSecond, b.CacheGigabytesPerSecond));
}

/// <summary>Peak rates of some threads together.</summary>
/// <param name="Threads">Threads that measured at the same time.</param>
/// <param name="GigaflopsPerSecond">Of independent fused multiply-adds in registers.</param>
/// <param name="GigabytesPerSecond">Beyond the caches, by the fastest loop; each array counts once, also where the machine reads a line before it writes it.</param>
/// <param name="MemoryLoop">Which loop that was: read, copy or triad, with plain or non-temporal stores.</param>
/// <param name="CacheGigabytesPerSecond">The same over 12 MB, which the last-level cache holds.</param>
public sealed record MachineRate(int Threads, double GigaflopsPerSecond, double GigabytesPerSecond, string MemoryLoop, double CacheGigabytesPerSecond)
{
    /// <summary>Operations for a byte up to which only the bytes count: the element-wise operations lie below, every product of matrices above.</summary>
    private const double LeastIntensity = 2;

    /// <summary>
    /// The least time that these rates allow a workload (the roofline: Williams, Waterman, Patterson, doi:10.1145/1498765.1498785), and what sets it.
    /// What fits half of the last-level cache stays there from run to run, and its bound is the cache's rate. For the operations that go once over
    /// their elements, the bytes count even where narrow vectors take longer for the arithmetic of an exp or an erf.
    /// </summary>
    public Bound BoundOf(Workload workload)
    {
        bool isCached = workload.Bytes <= LastLevelCache.Bytes / 2.0;
        double arithmetic = workload.Operations < LeastIntensity * workload.Bytes ? 0 : workload.Operations / GigaflopsPerSecond / 1e6;
        double traffic = workload.Bytes / (isCached ? CacheGigabytesPerSecond : GigabytesPerSecond) / 1e6;
        return arithmetic >= traffic ? new Bound("arithmetic", arithmetic) : new Bound(isCached ? "cache" : "memory", traffic);
    }

    /// <summary>For people.</summary>
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Threads} thread{(Threads == 1 ? string.Empty : "s")} {GigaflopsPerSecond:0.0} GFLOP/s, {GigabytesPerSecond:0.0} GB/s beyond the caches ({MemoryLoop}), {CacheGigabytesPerSecond:0.0} GB/s in the last-level cache");
}

/// <summary>The least time of one run.</summary>
/// <param name="By">arithmetic, memory or cache.</param>
/// <param name="Milliseconds">At the peak of that.</param>
public readonly record struct Bound(string By, double Milliseconds);

/// <summary>Size of the cache that the cores share.</summary>
internal static class LastLevelCache
{
    private const long Unknown = 16L << 20;

    /// <summary>As Linux tells; 16 MiB elsewhere.</summary>
    public static long Bytes { get; } = Read();

    private static long Read()
    {
        long largest = 0;
        for (int index = 0; index < 8; index++)
        {
            string path = $"/sys/devices/system/cpu/cpu0/cache/index{index}/size";
            if (File.Exists(path) && long.TryParse(File.ReadAllText(path).Trim().TrimEnd('K'), CultureInfo.InvariantCulture, out long kilobytes)) largest = Math.Max(largest, kilobytes << 10);
        }

        return largest > 0 ? largest : Unknown;
    }
}

/// <summary>Three arrays of floats for the loops, aligned to lines of the cache.</summary>
internal sealed unsafe class PeakArrays : IDisposable
{
    private readonly float* _memory;
    private readonly int _length;

    /// <param name="length">Elements of one array.</param>
    public PeakArrays(int length)
    {
        _length = length;
        _memory = (float*)NativeMemory.AlignedAlloc(3 * (nuint)length * sizeof(float), 64);
        for (int i = 0; i < 3; i++) new Span<float>(_memory + ((long)i * length), length).Fill(i + 1);
    }

    /// <summary>Runs a loop over one thread's part; the bytes of the part of one array, times the runs.</summary>
    public double Run(PeakLoops.MemoryLoop loop, int index, int threads, int runs)
    {
        const int Line = 16;
        int part = _length / threads / Line * Line;
        float* a = _memory + ((long)index * part);
        for (int i = 0; i < runs; i++) loop(a, a + _length, a + (2L * _length), part);
        return (double)runs * part * sizeof(float);
    }

    public void Dispose() => NativeMemory.AlignedFree(_memory);
}
