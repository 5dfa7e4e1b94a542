using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using MiniVlp.Kernels;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.KernelLadder.Cpu;

/// <summary>
/// C = A · B, step 4: a tile of C of 6 rows by 2 vectors stays in 12 registers while the sum runs through a depth of 256. One step of it loads
/// 2 vectors of B and 6 elements of A and does 12 multiply-adds with them: loads no longer count.
/// <code>
///              B  ▯ 256 x 2 vectors, packed: one behind the other
///                 ↓
///    A  ▯ 6 x 256  →  C  ▯ 6 x 2 vectors, in registers
/// </code>
/// <para>
/// B is copied once into panels of 2 vectors by 256 (16 KB with 8 floats a vector, so half of the first-level cache), in which the loop
/// reads without a jump, whatever the size of the matrices: rows of a power of two apart would all want the same few lines of the cache. 12
/// independent sums also hide the 4 cycles of a multiply-add, of which two start each cycle: 8 would do.
/// </para>
/// <para>
/// What limits it: the multiply-adds themselves, but for the ends: 64 = 10 · 6 + 4 rows. The product's own kernel chooses the tile by the shape,
/// packs A too, and divides the work among threads.
/// </para>
/// </summary>
internal static unsafe class PackedMatMul
{
    private const int Rows = 6, Depth = 256;

    public static void Multiply(SimdTier tier, float* a, float* b, float* c, int size)
    {
        switch (tier)
        {
            case SimdTier.Vector512: Multiply<Simd512>(a, b, c, size); break;
            case SimdTier.Vector256: Multiply<Simd256>(a, b, c, size); break;
            default: Multiply<Simd128>(a, b, c, size); break;
        }
    }

    private static void Multiply<V>(float* a, float* b, float* c, int size)
        where V : unmanaged, ISimd<V>
    {
        new Span<float>(c, size * size).Clear();
        float* panel = (float*)NativeMemory.AlignedAlloc((nuint)(Depth * 2 * V.Width * sizeof(float)), 64);
        for (int k = 0; k < size; k += Depth)
        {
            int depth = Math.Min(Depth, size - k);
            for (int j = 0; j < size; j += 2 * V.Width)
            {
                for (int step = 0; step < depth; step++)
                    new Span<float>(b + ((k + step) * size) + j, 2 * V.Width).CopyTo(new Span<float>(panel + (step * 2 * V.Width), 2 * V.Width));
                int i = 0;
                for (; i <= size - Rows; i += Rows) Tile6<V>(a + (i * size) + k, panel, c + (i * size) + j, size, depth);
                for (; i < size; i++) Tile1<V>(a + (i * size) + k, panel, c + (i * size) + j, depth);
            }
        }

        NativeMemory.AlignedFree(panel);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile6<V>(float* a, float* panel, float* c, int size, int depth)
        where V : unmanaged, ISimd<V>
    {
        V c00 = V.Zero, c01 = V.Zero, c10 = V.Zero, c11 = V.Zero, c20 = V.Zero, c21 = V.Zero;
        V c30 = V.Zero, c31 = V.Zero, c40 = V.Zero, c41 = V.Zero, c50 = V.Zero, c51 = V.Zero;
        float* a3 = a + (3 * size);
        for (int k = 0; k < depth; k++, a++, a3++, panel += 2 * V.Width)
        {
            V b0 = V.Load(panel), b1 = V.Load(panel + V.Width), left = V.Create(a[0]);
            c00.AddProduct(left, b0);
            c01.AddProduct(left, b1);
            left = V.Create(a[size]);
            c10.AddProduct(left, b0);
            c11.AddProduct(left, b1);
            left = V.Create(a[2 * size]);
            c20.AddProduct(left, b0);
            c21.AddProduct(left, b1);
            left = V.Create(a3[0]);
            c30.AddProduct(left, b0);
            c31.AddProduct(left, b1);
            left = V.Create(a3[size]);
            c40.AddProduct(left, b0);
            c41.AddProduct(left, b1);
            left = V.Create(a3[2 * size]);
            c50.AddProduct(left, b0);
            c51.AddProduct(left, b1);
        }

        Add(c, c00, c01);
        Add(c + size, c10, c11);
        Add(c + (2 * size), c20, c21);
        Add(c + (3 * size), c30, c31);
        Add(c + (4 * size), c40, c41);
        Add(c + (5 * size), c50, c51);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile1<V>(float* a, float* panel, float* c, int depth)
        where V : unmanaged, ISimd<V>
    {
        V c0 = V.Zero, c1 = V.Zero;
        for (int k = 0; k < depth; k++, panel += 2 * V.Width)
        {
            V left = V.Create(a[k]);
            c0.AddProduct(left, V.Load(panel));
            c1.AddProduct(left, V.Load(panel + V.Width));
        }

        Add(c, c0, c1);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add<V>(float* c, V first, V second)
        where V : unmanaged, ISimd<V>
    {
        V.Store(V.Load(c) + first, c);
        V.Store(V.Load(c + V.Width) + second, c + V.Width);
    }
}
