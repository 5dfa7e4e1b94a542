using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace MiniVlp.Kernels.Simd;

/// <summary>
/// Asks for memory before it is needed. The hardware follows neighbouring lines while a loop reads them; it does not see the next row coming
/// while a loop computes on this one, nor rows that lie far apart. An address outside of an array does no harm.
/// </summary>
internal static unsafe class Prefetch
{
    /// <summary>The cache line at an address, into the first-level cache.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Near(float* address)
    {
        if (Sse.IsSupported) Sse.Prefetch0(address);
    }

    /// <summary>The cache line at an address, into the second-level cache.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Far(float* address)
    {
        if (Sse.IsSupported) Sse.Prefetch1(address);
    }

    /// <summary>A row of so many floats, into the first-level cache.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Row(float* row, int columns)
    {
        const int CacheLine = 16;
        for (int c = 0; c < columns; c += CacheLine) Near(row + c);
    }
}
