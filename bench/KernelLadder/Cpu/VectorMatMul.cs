using System.Runtime.CompilerServices;
using MiniVlp.Kernels;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.KernelLadder.Cpu;

/// <summary>
/// C = A · B, step 3: step 2 with vectors: one instruction multiplies and adds as many neighbouring elements of a row as a register holds. The
/// body is written once over <see cref="ISimd{V}"/>, and the JIT compiles it for 16, 8 or 4 floats, as all kernels of the product are.
/// <para>
/// What limits it: for each multiply-add, a vector of B is loaded and a vector of C loaded and stored. A core can start two multiply-adds a
/// cycle, but has two or three ports for loads and one or two for stores: the arithmetic waits for the first-level cache.
/// </para>
/// </summary>
internal static unsafe class VectorMatMul
{
    private const int Block = 64;

    public static void Multiply(SimdTier tier, float* a, float* b, float* c, int size)
    {
        switch (tier)
        {
            case SimdTier.Vector512: Multiply<Simd512>(a, b, c, size); break;
            case SimdTier.Vector256: Multiply<Simd256>(a, b, c, size); break;
            default: Multiply<Simd128>(a, b, c, size); break;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Multiply<V>(float* a, float* b, float* c, int size)
        where V : unmanaged, ISimd<V>
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
                        V left = V.Create(a[(i * size) + k]);
                        float* right = b + (k * size) + j0;
                        for (int j = 0; j < Block; j += V.Width) V.Store(V.FusedMultiplyAdd(left, V.Load(right + j), V.Load(row + j)), row + j);
                    }
                }
            }
        }
    }
}
