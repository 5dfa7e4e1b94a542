using System.Runtime.CompilerServices;

namespace MiniVlp.KernelLadder.Cpu;

/// <summary>
/// C = A · B, step 2: the same additions in another order. The innermost loop runs along a row of B and a row of C, as they lie in memory, and a
/// block of B of 64 x 64 (16 KB) is used for all rows of A before the next one is touched, so it stays in the first-level cache.
/// <code>
///                B  ▯ 64 x 64           for each row of A:  c[i, block] += a[i, k] · b[k, block]
///                   ↓
///    A  ▯ all x 64  →  C  ▯ all x 64
/// </code>
/// <para>
/// What limits it: one multiply-add of one lane now takes two loads and a store. The additions of a row are independent of each other, so
/// nothing waits any more; what remains is a core that moves single floats.
/// </para>
/// </summary>
internal static unsafe class BlockedMatMul
{
    private const int Block = 64;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply(float* a, float* b, float* c, int size)
    {
        new Span<float>(c, size * size).Clear();
        for (int k0 = 0; k0 < size; k0 += Block)
        {
            for (int j0 = 0; j0 < size; j0 += Block)
            {
                for (int i = 0; i < size; i++)
                {
                    float* row = c + (i * size) + j0;
                    for (int k = k0; k < k0 + Block; k++)
                    {
                        float left = a[(i * size) + k];
                        float* right = b + (k * size) + j0;
                        for (int j = 0; j < Block; j++) row[j] += left * right[j];
                    }
                }
            }
        }
    }
}
