using System.Runtime.Intrinsics.X86;

namespace MiniVlp.Kernels.Simd;

/// <summary>
/// Stores that go past the caches. An ordinary store reads the line that it is about to overwrite and later writes it back; a kernel that is
/// bound by memory moves a third less without the read. What is written so is in no cache for the next kernel.
/// </summary>
internal static unsafe class NonTemporal
{
    /// <summary>A result of at least 8 MiB, with an operand of the same size, fills what one program can count on of a last-level cache.</summary>
    private const long LeastBytes = 8 << 20;

    private const int CacheLine = 64;

    /// <summary>Whether a result made of rows of <paramref name="width"/> floats is large enough, and all its rows begin at a cache line.</summary>
    public static bool Pays(float* result, long length, int width)
        => length * sizeof(float) >= LeastBytes && (nuint)result % CacheLine == 0 && width * (long)sizeof(float) % CacheLine == 0;

    /// <summary>Whether a result without rows is large enough and begins at a cache line.</summary>
    public static bool Pays(float* result, long length) => Pays(result, length, CacheLine);

    /// <summary>At the end of a chunk: everything it stored is seen by whoever learns that the chunk is done.</summary>
    public static void Fence()
    {
        if (Sse.IsSupported) Sse.StoreFence();
        else Interlocked.MemoryBarrier();
    }
}
