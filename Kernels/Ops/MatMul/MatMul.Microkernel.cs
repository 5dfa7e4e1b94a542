using System.Runtime.CompilerServices;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

/// <summary>
/// The innermost loop of a matrix product: a tile of the result stays in registers while one column of a packed left panel and one row of
/// a packed right panel are multiplied per step. AVX-512 has 32 registers and holds 12 x 2 vectors, the tiers with 16 hold 6 x 2.
/// Accumulators are written out one by one because registers cannot be indexed.
/// </summary>
internal static unsafe class MatMulMicrokernel
{
    /// <summary>Rows of a tile: the height of a packed left panel.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Rows<V>()
        where V : unmanaged, ISimd<V>
        => V.Width >= 16 ? 12 : 6;

    /// <summary>Columns of a tile: the width of a packed right panel.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Columns<V>()
        where V : unmanaged, ISimd<V>
        => 2 * V.Width;

    /// <summary>
    /// c[i, j] = (accumulate ? c[i, j] : 0) + Σₖ a[k, i] · b[k, j] for at least the first <paramref name="rows"/> rows of a tile; there is
    /// room for all of its rows.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Tile<V>(int rows, int depth, float* a, float* b, float* c, long stride, bool accumulate)
        where V : unmanaged, ISimd<V>
    {
        if (V.Width >= 16)
        {
            if (rows > 8) Tile12<V>(depth, a, b, c, stride, accumulate);
            else if (rows > 4) Tile8Of12<V>(depth, a, b, c, stride, accumulate);
            else Tile4Of12<V>(depth, a, b, c, stride, accumulate);
        }
        else
        {
            if (rows > 2) Tile6<V>(depth, a, b, c, stride, accumulate);
            else Tile2Of6<V>(depth, a, b, c, stride, accumulate);
        }
    }

    /// <summary>12 rows by two vectors: 24 accumulators.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile12<V>(int depth, float* a, float* b, float* c, long stride, bool accumulate)
        where V : unmanaged, ISimd<V>
    {
        V c00 = V.Zero, c01 = V.Zero;
        V c10 = V.Zero, c11 = V.Zero;
        V c20 = V.Zero, c21 = V.Zero;
        V c30 = V.Zero, c31 = V.Zero;
        V c40 = V.Zero, c41 = V.Zero;
        V c50 = V.Zero, c51 = V.Zero;
        V c60 = V.Zero, c61 = V.Zero;
        V c70 = V.Zero, c71 = V.Zero;
        V c80 = V.Zero, c81 = V.Zero;
        V c90 = V.Zero, c91 = V.Zero;
        V c100 = V.Zero, c101 = V.Zero;
        V c110 = V.Zero, c111 = V.Zero;
        for (int k = 0; k < depth; k++)
        {
            V b0 = V.Load(b), b1 = V.Load(b + V.Width);
            Step(a[0], b0, b1, ref c00, ref c01);
            Step(a[1], b0, b1, ref c10, ref c11);
            Step(a[2], b0, b1, ref c20, ref c21);
            Step(a[3], b0, b1, ref c30, ref c31);
            Step(a[4], b0, b1, ref c40, ref c41);
            Step(a[5], b0, b1, ref c50, ref c51);
            Step(a[6], b0, b1, ref c60, ref c61);
            Step(a[7], b0, b1, ref c70, ref c71);
            Step(a[8], b0, b1, ref c80, ref c81);
            Step(a[9], b0, b1, ref c90, ref c91);
            Step(a[10], b0, b1, ref c100, ref c101);
            Step(a[11], b0, b1, ref c110, ref c111);
            a += 12;
            b += 2 * V.Width;
        }

        Put(c00, c01, c, accumulate);
        Put(c10, c11, c + stride, accumulate);
        Put(c20, c21, c + (2 * stride), accumulate);
        Put(c30, c31, c + (3 * stride), accumulate);
        Put(c40, c41, c + (4 * stride), accumulate);
        Put(c50, c51, c + (5 * stride), accumulate);
        Put(c60, c61, c + (6 * stride), accumulate);
        Put(c70, c71, c + (7 * stride), accumulate);
        Put(c80, c81, c + (8 * stride), accumulate);
        Put(c90, c91, c + (9 * stride), accumulate);
        Put(c100, c101, c + (10 * stride), accumulate);
        Put(c110, c111, c + (11 * stride), accumulate);
    }

    /// <summary>The first 8 rows of a panel of 12.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile8Of12<V>(int depth, float* a, float* b, float* c, long stride, bool accumulate)
        where V : unmanaged, ISimd<V>
    {
        V c00 = V.Zero, c01 = V.Zero;
        V c10 = V.Zero, c11 = V.Zero;
        V c20 = V.Zero, c21 = V.Zero;
        V c30 = V.Zero, c31 = V.Zero;
        V c40 = V.Zero, c41 = V.Zero;
        V c50 = V.Zero, c51 = V.Zero;
        V c60 = V.Zero, c61 = V.Zero;
        V c70 = V.Zero, c71 = V.Zero;
        for (int k = 0; k < depth; k++)
        {
            V b0 = V.Load(b), b1 = V.Load(b + V.Width);
            Step(a[0], b0, b1, ref c00, ref c01);
            Step(a[1], b0, b1, ref c10, ref c11);
            Step(a[2], b0, b1, ref c20, ref c21);
            Step(a[3], b0, b1, ref c30, ref c31);
            Step(a[4], b0, b1, ref c40, ref c41);
            Step(a[5], b0, b1, ref c50, ref c51);
            Step(a[6], b0, b1, ref c60, ref c61);
            Step(a[7], b0, b1, ref c70, ref c71);
            a += 12;
            b += 2 * V.Width;
        }

        Put(c00, c01, c, accumulate);
        Put(c10, c11, c + stride, accumulate);
        Put(c20, c21, c + (2 * stride), accumulate);
        Put(c30, c31, c + (3 * stride), accumulate);
        Put(c40, c41, c + (4 * stride), accumulate);
        Put(c50, c51, c + (5 * stride), accumulate);
        Put(c60, c61, c + (6 * stride), accumulate);
        Put(c70, c71, c + (7 * stride), accumulate);
    }

    /// <summary>The first 4 rows of a panel of 12.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile4Of12<V>(int depth, float* a, float* b, float* c, long stride, bool accumulate)
        where V : unmanaged, ISimd<V>
    {
        V c00 = V.Zero, c01 = V.Zero;
        V c10 = V.Zero, c11 = V.Zero;
        V c20 = V.Zero, c21 = V.Zero;
        V c30 = V.Zero, c31 = V.Zero;
        for (int k = 0; k < depth; k++)
        {
            V b0 = V.Load(b), b1 = V.Load(b + V.Width);
            Step(a[0], b0, b1, ref c00, ref c01);
            Step(a[1], b0, b1, ref c10, ref c11);
            Step(a[2], b0, b1, ref c20, ref c21);
            Step(a[3], b0, b1, ref c30, ref c31);
            a += 12;
            b += 2 * V.Width;
        }

        Put(c00, c01, c, accumulate);
        Put(c10, c11, c + stride, accumulate);
        Put(c20, c21, c + (2 * stride), accumulate);
        Put(c30, c31, c + (3 * stride), accumulate);
    }

    /// <summary>6 rows by two vectors: 12 accumulators.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile6<V>(int depth, float* a, float* b, float* c, long stride, bool accumulate)
        where V : unmanaged, ISimd<V>
    {
        V c00 = V.Zero, c01 = V.Zero;
        V c10 = V.Zero, c11 = V.Zero;
        V c20 = V.Zero, c21 = V.Zero;
        V c30 = V.Zero, c31 = V.Zero;
        V c40 = V.Zero, c41 = V.Zero;
        V c50 = V.Zero, c51 = V.Zero;
        for (int k = 0; k < depth; k++)
        {
            V b0 = V.Load(b), b1 = V.Load(b + V.Width);
            Step(a[0], b0, b1, ref c00, ref c01);
            Step(a[1], b0, b1, ref c10, ref c11);
            Step(a[2], b0, b1, ref c20, ref c21);
            Step(a[3], b0, b1, ref c30, ref c31);
            Step(a[4], b0, b1, ref c40, ref c41);
            Step(a[5], b0, b1, ref c50, ref c51);
            a += 6;
            b += 2 * V.Width;
        }

        Put(c00, c01, c, accumulate);
        Put(c10, c11, c + stride, accumulate);
        Put(c20, c21, c + (2 * stride), accumulate);
        Put(c30, c31, c + (3 * stride), accumulate);
        Put(c40, c41, c + (4 * stride), accumulate);
        Put(c50, c51, c + (5 * stride), accumulate);
    }

    /// <summary>The first 2 rows of a panel of 6.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile2Of6<V>(int depth, float* a, float* b, float* c, long stride, bool accumulate)
        where V : unmanaged, ISimd<V>
    {
        V c00 = V.Zero, c01 = V.Zero;
        V c10 = V.Zero, c11 = V.Zero;
        for (int k = 0; k < depth; k++)
        {
            V b0 = V.Load(b), b1 = V.Load(b + V.Width);
            Step(a[0], b0, b1, ref c00, ref c01);
            Step(a[1], b0, b1, ref c10, ref c11);
            a += 6;
            b += 2 * V.Width;
        }

        Put(c00, c01, c, accumulate);
        Put(c10, c11, c + stride, accumulate);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Step<V>(float left, V b0, V b1, ref V c0, ref V c1)
        where V : unmanaged, ISimd<V>
    {
        V a = V.Create(left);
        c0 = V.FusedMultiplyAdd(a, b0, c0);
        c1 = V.FusedMultiplyAdd(a, b1, c1);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Put<V>(V c0, V c1, float* c, bool accumulate)
        where V : unmanaged, ISimd<V>
    {
        if (accumulate)
        {
            c0 += V.Load(c);
            c1 += V.Load(c + V.Width);
        }

        V.Store(c0, c);
        V.Store(c1, c + V.Width);
    }
}
