using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace MiniVlp.Bench.Workloads;

/// <summary>The loops that find out what the machine can do.</summary>
internal static unsafe class PeakLoops
{
    /// <summary>Does something with three arrays of <paramref name="count"/> elements, a multiple of 16.</summary>
    public delegate void MemoryLoop(float* a, float* b, float* c, int count);

    /// <summary>Bits of the vectors that the runtime uses.</summary>
    public static int VectorBits => Vector512.IsHardwareAccelerated ? 512 : Vector256.IsHardwareAccelerated ? 256 : 128;

    /// <summary>Loops over memory, and how many of the arrays each one reads or writes.</summary>
    public static IReadOnlyList<(string Name, MemoryLoop Run, int Arrays)> Memory { get; } =
    [
        ("read", Read, 1), ("copy", Copy, 2), ("copy, non-temporal", CopyNonTemporal, 2), ("triad", Triad, 3), ("triad, non-temporal", TriadNonTemporal, 3),
    ];

    /// <summary>Runs chains of fused multiply-adds that do not wait for each other, as many as hide the latency of an addition; the operations done.</summary>
    public static double MultiplyAdd(int rounds)
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

    /// <summary>
    /// Where there are no fused multiply-adds (AVX2 off, which takes them along), what the kernels do instead: a multiplication and an addition, whose
    /// latencies add up. 14 chains and two operands fill the 16 registers.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static double MultiplyAdd128(int rounds)
    {
        Vector128<float> a = Vector128.Create(0.999999f), b = Vector128.Create(1e-7f);
        Vector128<float> x0 = a, x1 = a, x2 = a, x3 = a, x4 = a, x5 = a, x6 = a;
        Vector128<float> x7 = a, x8 = a, x9 = a, x10 = a, x11 = a, x12 = a, x13 = a;
        for (int i = 0; i < rounds; i++)
        {
            x0 = Vector128.MultiplyAddEstimate(x0, a, b);
            x1 = Vector128.MultiplyAddEstimate(x1, a, b);
            x2 = Vector128.MultiplyAddEstimate(x2, a, b);
            x3 = Vector128.MultiplyAddEstimate(x3, a, b);
            x4 = Vector128.MultiplyAddEstimate(x4, a, b);
            x5 = Vector128.MultiplyAddEstimate(x5, a, b);
            x6 = Vector128.MultiplyAddEstimate(x6, a, b);
            x7 = Vector128.MultiplyAddEstimate(x7, a, b);
            x8 = Vector128.MultiplyAddEstimate(x8, a, b);
            x9 = Vector128.MultiplyAddEstimate(x9, a, b);
            x10 = Vector128.MultiplyAddEstimate(x10, a, b);
            x11 = Vector128.MultiplyAddEstimate(x11, a, b);
            x12 = Vector128.MultiplyAddEstimate(x12, a, b);
            x13 = Vector128.MultiplyAddEstimate(x13, a, b);
        }

        return Used(Vector128.Sum(x0 + x1 + x2 + x3 + x4 + x5 + x6 + x7 + x8 + x9 + x10 + x11 + x12 + x13)) * 14.0 * 8 * rounds;
    }

    /// <summary>1, by a way the compiler cannot see through, so that the loop is not dropped.</summary>
    private static double Used(float value) => float.IsNaN(value) ? 0 : 1;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Read(float* a, float* b, float* c, int count)
    {
        Vector256<float> s0 = default, s1 = default, s2 = default, s3 = default;
        for (int i = 0; i <= count - 32; i += 32)
        {
            s0 += Vector256.Load(b + i);
            s1 += Vector256.Load(b + i + 8);
            s2 += Vector256.Load(b + i + 16);
            s3 += Vector256.Load(b + i + 24);
        }

        a[0] = Vector256.Sum(s0 + s1 + s2 + s3);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Copy(float* a, float* b, float* c, int count)
    {
        for (int i = 0; i <= count - 16; i += 16)
        {
            Vector256.Load(b + i).Store(a + i);
            Vector256.Load(b + i + 8).Store(a + i + 8);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void CopyNonTemporal(float* a, float* b, float* c, int count)
    {
        for (int i = 0; i <= count - 16; i += 16)
        {
            Vector256.Load(b + i).StoreAlignedNonTemporal(a + i);
            Vector256.Load(b + i + 8).StoreAlignedNonTemporal(a + i + 8);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Triad(float* a, float* b, float* c, int count)
    {
        Vector256<float> scale = Vector256.Create(3f);
        for (int i = 0; i <= count - 16; i += 16)
        {
            Vector256.MultiplyAddEstimate(scale, Vector256.Load(c + i), Vector256.Load(b + i)).Store(a + i);
            Vector256.MultiplyAddEstimate(scale, Vector256.Load(c + i + 8), Vector256.Load(b + i + 8)).Store(a + i + 8);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void TriadNonTemporal(float* a, float* b, float* c, int count)
    {
        Vector256<float> scale = Vector256.Create(3f);
        for (int i = 0; i <= count - 16; i += 16)
        {
            Vector256.MultiplyAddEstimate(scale, Vector256.Load(c + i), Vector256.Load(b + i)).StoreAlignedNonTemporal(a + i);
            Vector256.MultiplyAddEstimate(scale, Vector256.Load(c + i + 8), Vector256.Load(b + i + 8)).StoreAlignedNonTemporal(a + i + 8);
        }
    }
}
