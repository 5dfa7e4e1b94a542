using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace MiniVlp.Kernels.Simd;

/// <summary>
/// <see cref="Philox"/> for many counters at once: eight (AVX-512) or four (AVX2) lie in the 64-bit lanes of a vector, whose upper halves hold
/// garbage in between, as a 32-bit multiplication reads only the lower ones.
/// </summary>
internal static unsafe class PhiloxVectors
{
    private const ulong Multiplier0 = 0xD2511F53;
    private const ulong Multiplier1 = 0xCD9E8D57;
    private const ulong LowHalf = 0xFFFFFFFF;

    /// <summary>Writes the numbers of <paramref name="counters"/> neighbouring counters, four for each, in the order of <see cref="Philox"/>.</summary>
    /// <typeparam name="V">Decides how wide the vectors may be.</typeparam>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Fill<V>(uint* words, ulong seed, ulong position, int counters)
        where V : unmanaged, ISimd<V>
    {
        int done = 0;
        if (V.Width >= 16 && Avx512F.IsSupported)
        {
            for (; done <= counters - 8; done += 8) Fill8(words + (4 * done), seed, position + (ulong)done);
        }
        else if (V.Width >= 8 && Avx2.IsSupported)
        {
            for (; done <= counters - 4; done += 4) Fill4(words + (4 * done), seed, position + (ulong)done);
        }

        for (; done < counters; done++)
        {
            uint* four = words + (4 * done);
            (four[0], four[1], four[2], four[3]) = Philox.Generate(seed, position + (ulong)done);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Fill8(uint* words, ulong seed, ulong position)
    {
        Vector512<ulong> counter = Vector512.Create(position) + Vector512.Create(0ul, 1, 2, 3, 4, 5, 6, 7);
        Vector512<ulong> c0 = counter, c1 = counter >>> 32, c2 = Vector512<ulong>.Zero, c3 = c2;
        Vector512<uint> multiplier0 = Vector512.Create(Multiplier0).AsUInt32(), multiplier1 = Vector512.Create(Multiplier1).AsUInt32();
        uint k0 = (uint)seed, k1 = (uint)(seed >> 32);
        for (int round = 0; round < 10; round++)
        {
            Vector512<ulong> product0 = Avx512F.Multiply(c0.AsUInt32(), multiplier0), product1 = Avx512F.Multiply(c2.AsUInt32(), multiplier1);
            c0 = (product1 >>> 32) ^ c1 ^ Vector512.Create((ulong)k0);
            c2 = (product0 >>> 32) ^ c3 ^ Vector512.Create((ulong)k1);
            c1 = product1;
            c3 = product0;
            k0 = unchecked(k0 + Philox.Weyl0);
            k1 = unchecked(k1 + Philox.Weyl1);
        }

        Vector512<ulong> low = Vector512.Create(LowHalf), first = (c0 & low) | (c1 << 32), second = (c2 & low) | (c3 << 32);
        Avx512F.PermuteVar8x64x2(first, Vector512.Create(0ul, 8, 1, 9, 2, 10, 3, 11), second).AsUInt32().Store(words);
        Avx512F.PermuteVar8x64x2(first, Vector512.Create(4ul, 12, 5, 13, 6, 14, 7, 15), second).AsUInt32().Store(words + 16);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Fill4(uint* words, ulong seed, ulong position)
    {
        Vector256<ulong> counter = Vector256.Create(position) + Vector256.Create(0ul, 1, 2, 3);
        Vector256<ulong> c0 = counter, c1 = counter >>> 32, c2 = Vector256<ulong>.Zero, c3 = c2;
        Vector256<uint> multiplier0 = Vector256.Create(Multiplier0).AsUInt32(), multiplier1 = Vector256.Create(Multiplier1).AsUInt32();
        uint k0 = (uint)seed, k1 = (uint)(seed >> 32);
        for (int round = 0; round < 10; round++)
        {
            Vector256<ulong> product0 = Avx2.Multiply(c0.AsUInt32(), multiplier0), product1 = Avx2.Multiply(c2.AsUInt32(), multiplier1);
            c0 = (product1 >>> 32) ^ c1 ^ Vector256.Create((ulong)k0);
            c2 = (product0 >>> 32) ^ c3 ^ Vector256.Create((ulong)k1);
            c1 = product1;
            c3 = product0;
            k0 = unchecked(k0 + Philox.Weyl0);
            k1 = unchecked(k1 + Philox.Weyl1);
        }

        Vector256<ulong> low = Vector256.Create(LowHalf), first = (c0 & low) | (c1 << 32), second = (c2 & low) | (c3 << 32);
        Vector256<ulong> even = Avx2.UnpackLow(first, second), odd = Avx2.UnpackHigh(first, second);
        Avx2.Permute2x128(even, odd, 0x20).AsUInt32().Store(words);
        Avx2.Permute2x128(even, odd, 0x31).AsUInt32().Store(words + 8);
    }
}
