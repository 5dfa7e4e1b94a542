using System.Runtime.CompilerServices;

namespace MiniVlp.Kernels;

/// <summary>
/// Philox4x32-10, a counter-based random number generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): four
/// 32-bit numbers are a function of a 128-bit counter and a 64-bit key, so that any element can be drawn alone, on any thread and device.
/// </summary>
public static class Philox
{
    /// <summary>What the two halves of the key grow by from round to round: the golden ratio, and √3 - 1.</summary>
    internal const uint Weyl0 = 0x9E3779B9, Weyl1 = 0xBB67AE85;

    private const ulong Multiplier0 = 0xD2511F53;
    private const ulong Multiplier1 = 0xCD9E8D57;

    /// <summary>The four numbers of a counter (c0, c1, c2, c3) under a key (k0, k1).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static (uint R0, uint R1, uint R2, uint R3) Generate(uint c0, uint c1, uint c2, uint c3, uint k0, uint k1)
    {
        for (int round = 0; round < 10; round++)
        {
            ulong product0 = Multiplier0 * c0, product1 = Multiplier1 * c2;
            c0 = (uint)(product1 >> 32) ^ c1 ^ k0;
            c1 = (uint)product1;
            c2 = (uint)(product0 >> 32) ^ c3 ^ k1;
            c3 = (uint)product0;
            k0 = unchecked(k0 + Weyl0);
            k1 = unchecked(k1 + Weyl1);
        }

        return (c0, c1, c2, c3);
    }

    /// <summary>The four numbers at a position of the stream of a seed; <paramref name="attempt"/> draws again at the same position.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static (uint R0, uint R1, uint R2, uint R3) Generate(ulong seed, ulong position, uint attempt = 0)
        => Generate((uint)position, (uint)(position >> 32), attempt, 0, (uint)seed, (uint)(seed >> 32));

    /// <summary>Uniform in [0, 1), a multiple of 2⁻²⁴.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float ToUniform(uint random) => (random >> 8) * (1f / 16777216f);
}
