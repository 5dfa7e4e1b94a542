using System.Runtime.CompilerServices;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

/// <summary>
/// The innermost loop of a matrix product: a tile of the result stays in registers while one column of a packed left panel and one row of
/// a packed right panel are multiplied per step. AVX-512 has 32 registers and holds 12 x 2 vectors, the tiers with 16 hold 6 x 2.
/// Accumulators are written out one by one because registers cannot be indexed, and added to in place rather than through a reference:
/// the compiler then keeps each in one register, without moves.
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

    /// <summary>Rows that <see cref="Tile{V, TElement}"/> computes for the first <paramref name="rows"/> of a tile.</summary>
    public static int RowsOf<V>(int rows)
        where V : unmanaged, ISimd<V>
        => V.Width >= 16 ? (rows > 8 ? 12 : rows > 4 ? 8 : 4) : rows > 2 ? 6 : 2;

    /// <summary>
    /// c[i, j] = (accumulate ? c[i, j] : 0) + Σₖ a[i · aRow + k · aStep] · b[k, j] for at least the first <paramref name="rows"/> rows of a
    /// tile; there is room for all of its rows, and all of them can be read. The left operand may lie in place (aStep is 1) or in a panel
    /// (aRow is 1, aStep the rows of a tile); the right one is a panel of two vectors a step, of whatever elements.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Tile<V, TElement>(int rows, int depth, float* a, nint aRow, nint aStep, byte* b, float* c, long stride, bool accumulate)
        where V : unmanaged, ISimd<V>
        where TElement : struct, IPanelElement
    {
        if (V.Width >= 16)
        {
            if (rows > 8) Tile12<V, TElement>(depth, a, aRow, aStep, b, c, stride, accumulate);
            else if (rows > 4) Tile8Of12<V, TElement>(depth, a, aRow, aStep, b, c, stride, accumulate);
            else Tile4Of12<V, TElement>(depth, a, aRow, aStep, b, c, stride, accumulate);
        }
        else
        {
            if (rows > 2) Tile6<V, TElement>(depth, a, aRow, aStep, b, c, stride, accumulate);
            else Tile2Of6<V, TElement>(depth, a, aRow, aStep, b, c, stride, accumulate);
        }
    }

    /// <summary>12 rows by two vectors: 24 accumulators. Every third row has a pointer; the two behind it are a step of the stride away.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile12<V, TElement>(int depth, float* a, nint aRow, nint aStep, byte* b, float* c, long stride, bool accumulate)
        where V : unmanaged, ISimd<V>
        where TElement : struct, IPanelElement
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
        float* a3 = a + (3 * aRow);
        float* a6 = a + (6 * aRow);
        float* a9 = a + (9 * aRow);
        nint row2 = 2 * aRow, step = aStep * sizeof(float);
        for (nint left = depth; left != 0; left--)
        {
            V b0 = TElement.Load<V>(b), b1 = TElement.Load<V>(b + (V.Width * TElement.Bytes)), x = V.Broadcast(a);
            c00.AddProduct(x, b0);
            c01.AddProduct(x, b1);
            x = V.Broadcast(a + aRow);
            c10.AddProduct(x, b0);
            c11.AddProduct(x, b1);
            x = V.Broadcast(a + row2);
            c20.AddProduct(x, b0);
            c21.AddProduct(x, b1);
            x = V.Broadcast(a3);
            c30.AddProduct(x, b0);
            c31.AddProduct(x, b1);
            x = V.Broadcast(a3 + aRow);
            c40.AddProduct(x, b0);
            c41.AddProduct(x, b1);
            x = V.Broadcast(a3 + row2);
            c50.AddProduct(x, b0);
            c51.AddProduct(x, b1);
            x = V.Broadcast(a6);
            c60.AddProduct(x, b0);
            c61.AddProduct(x, b1);
            x = V.Broadcast(a6 + aRow);
            c70.AddProduct(x, b0);
            c71.AddProduct(x, b1);
            x = V.Broadcast(a6 + row2);
            c80.AddProduct(x, b0);
            c81.AddProduct(x, b1);
            x = V.Broadcast(a9);
            c90.AddProduct(x, b0);
            c91.AddProduct(x, b1);
            x = V.Broadcast(a9 + aRow);
            c100.AddProduct(x, b0);
            c101.AddProduct(x, b1);
            x = V.Broadcast(a9 + row2);
            c110.AddProduct(x, b0);
            c111.AddProduct(x, b1);
            a = (float*)((byte*)a + step);
            a3 = (float*)((byte*)a3 + step);
            a6 = (float*)((byte*)a6 + step);
            a9 = (float*)((byte*)a9 + step);
            b += 2 * V.Width * TElement.Bytes;
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

    /// <summary>The first 8 rows of 12.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile8Of12<V, TElement>(int depth, float* a, nint aRow, nint aStep, byte* b, float* c, long stride, bool accumulate)
        where V : unmanaged, ISimd<V>
        where TElement : struct, IPanelElement
    {
        V c00 = V.Zero, c01 = V.Zero;
        V c10 = V.Zero, c11 = V.Zero;
        V c20 = V.Zero, c21 = V.Zero;
        V c30 = V.Zero, c31 = V.Zero;
        V c40 = V.Zero, c41 = V.Zero;
        V c50 = V.Zero, c51 = V.Zero;
        V c60 = V.Zero, c61 = V.Zero;
        V c70 = V.Zero, c71 = V.Zero;
        float* a3 = a + (3 * aRow);
        float* a6 = a + (6 * aRow);
        nint row2 = 2 * aRow, step = aStep * sizeof(float);
        for (nint left = depth; left != 0; left--)
        {
            V b0 = TElement.Load<V>(b), b1 = TElement.Load<V>(b + (V.Width * TElement.Bytes)), x = V.Broadcast(a);
            c00.AddProduct(x, b0);
            c01.AddProduct(x, b1);
            x = V.Broadcast(a + aRow);
            c10.AddProduct(x, b0);
            c11.AddProduct(x, b1);
            x = V.Broadcast(a + row2);
            c20.AddProduct(x, b0);
            c21.AddProduct(x, b1);
            x = V.Broadcast(a3);
            c30.AddProduct(x, b0);
            c31.AddProduct(x, b1);
            x = V.Broadcast(a3 + aRow);
            c40.AddProduct(x, b0);
            c41.AddProduct(x, b1);
            x = V.Broadcast(a3 + row2);
            c50.AddProduct(x, b0);
            c51.AddProduct(x, b1);
            x = V.Broadcast(a6);
            c60.AddProduct(x, b0);
            c61.AddProduct(x, b1);
            x = V.Broadcast(a6 + aRow);
            c70.AddProduct(x, b0);
            c71.AddProduct(x, b1);
            a = (float*)((byte*)a + step);
            a3 = (float*)((byte*)a3 + step);
            a6 = (float*)((byte*)a6 + step);
            b += 2 * V.Width * TElement.Bytes;
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

    /// <summary>The first 4 rows of 12.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile4Of12<V, TElement>(int depth, float* a, nint aRow, nint aStep, byte* b, float* c, long stride, bool accumulate)
        where V : unmanaged, ISimd<V>
        where TElement : struct, IPanelElement
    {
        V c00 = V.Zero, c01 = V.Zero;
        V c10 = V.Zero, c11 = V.Zero;
        V c20 = V.Zero, c21 = V.Zero;
        V c30 = V.Zero, c31 = V.Zero;
        float* a3 = a + (3 * aRow);
        nint row2 = 2 * aRow, step = aStep * sizeof(float);
        for (nint left = depth; left != 0; left--)
        {
            V b0 = TElement.Load<V>(b), b1 = TElement.Load<V>(b + (V.Width * TElement.Bytes)), x = V.Broadcast(a);
            c00.AddProduct(x, b0);
            c01.AddProduct(x, b1);
            x = V.Broadcast(a + aRow);
            c10.AddProduct(x, b0);
            c11.AddProduct(x, b1);
            x = V.Broadcast(a + row2);
            c20.AddProduct(x, b0);
            c21.AddProduct(x, b1);
            x = V.Broadcast(a3);
            c30.AddProduct(x, b0);
            c31.AddProduct(x, b1);
            a = (float*)((byte*)a + step);
            a3 = (float*)((byte*)a3 + step);
            b += 2 * V.Width * TElement.Bytes;
        }

        Put(c00, c01, c, accumulate);
        Put(c10, c11, c + stride, accumulate);
        Put(c20, c21, c + (2 * stride), accumulate);
        Put(c30, c31, c + (3 * stride), accumulate);
    }

    /// <summary>6 rows by two vectors: 12 accumulators.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile6<V, TElement>(int depth, float* a, nint aRow, nint aStep, byte* b, float* c, long stride, bool accumulate)
        where V : unmanaged, ISimd<V>
        where TElement : struct, IPanelElement
    {
        V c00 = V.Zero, c01 = V.Zero;
        V c10 = V.Zero, c11 = V.Zero;
        V c20 = V.Zero, c21 = V.Zero;
        V c30 = V.Zero, c31 = V.Zero;
        V c40 = V.Zero, c41 = V.Zero;
        V c50 = V.Zero, c51 = V.Zero;
        float* a3 = a + (3 * aRow);
        nint row2 = 2 * aRow, step = aStep * sizeof(float);
        for (nint left = depth; left != 0; left--)
        {
            V b0 = TElement.Load<V>(b), b1 = TElement.Load<V>(b + (V.Width * TElement.Bytes)), x = V.Broadcast(a);
            c00.AddProduct(x, b0);
            c01.AddProduct(x, b1);
            x = V.Broadcast(a + aRow);
            c10.AddProduct(x, b0);
            c11.AddProduct(x, b1);
            x = V.Broadcast(a + row2);
            c20.AddProduct(x, b0);
            c21.AddProduct(x, b1);
            x = V.Broadcast(a3);
            c30.AddProduct(x, b0);
            c31.AddProduct(x, b1);
            x = V.Broadcast(a3 + aRow);
            c40.AddProduct(x, b0);
            c41.AddProduct(x, b1);
            x = V.Broadcast(a3 + row2);
            c50.AddProduct(x, b0);
            c51.AddProduct(x, b1);
            a = (float*)((byte*)a + step);
            a3 = (float*)((byte*)a3 + step);
            b += 2 * V.Width * TElement.Bytes;
        }

        Put(c00, c01, c, accumulate);
        Put(c10, c11, c + stride, accumulate);
        Put(c20, c21, c + (2 * stride), accumulate);
        Put(c30, c31, c + (3 * stride), accumulate);
        Put(c40, c41, c + (4 * stride), accumulate);
        Put(c50, c51, c + (5 * stride), accumulate);
    }

    /// <summary>The first 2 rows of 6.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile2Of6<V, TElement>(int depth, float* a, nint aRow, nint aStep, byte* b, float* c, long stride, bool accumulate)
        where V : unmanaged, ISimd<V>
        where TElement : struct, IPanelElement
    {
        V c00 = V.Zero, c01 = V.Zero;
        V c10 = V.Zero, c11 = V.Zero;
        for (nint left = depth; left != 0; left--)
        {
            V b0 = TElement.Load<V>(b), b1 = TElement.Load<V>(b + (V.Width * TElement.Bytes)), x = V.Broadcast(a);
            c00.AddProduct(x, b0);
            c01.AddProduct(x, b1);
            x = V.Broadcast(a + aRow);
            c10.AddProduct(x, b0);
            c11.AddProduct(x, b1);
            a += aStep;
            b += 2 * V.Width * TElement.Bytes;
        }

        Put(c00, c01, c, accumulate);
        Put(c10, c11, c + stride, accumulate);
    }

    /// <summary>
    /// c[j] = (accumulate ? c[j] : 0) + Σₖ a[k] · b[k, j] for one row by four panels, <paramref name="panel"/> bytes apart: eight sums, so that
    /// none waits for its last addition.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Row<V, TElement>(int depth, float* a, byte* b, nint panel, float* c, bool accumulate)
        where V : unmanaged, ISimd<V>
        where TElement : struct, IPanelElement
    {
        V c00 = V.Zero, c01 = V.Zero, c10 = V.Zero, c11 = V.Zero, c20 = V.Zero, c21 = V.Zero, c30 = V.Zero, c31 = V.Zero;
        byte* b1 = b + panel, b2 = b1 + panel, b3 = b2 + panel;
        int vector = V.Width * TElement.Bytes;
        for (nint left = depth; left > 0; left--, a++)
        {
            V x = V.Broadcast(a);
            c00.AddProduct(x, TElement.Load<V>(b));
            c01.AddProduct(x, TElement.Load<V>(b + vector));
            c10.AddProduct(x, TElement.Load<V>(b1));
            c11.AddProduct(x, TElement.Load<V>(b1 + vector));
            c20.AddProduct(x, TElement.Load<V>(b2));
            c21.AddProduct(x, TElement.Load<V>(b2 + vector));
            c30.AddProduct(x, TElement.Load<V>(b3));
            c31.AddProduct(x, TElement.Load<V>(b3 + vector));
            b += 2 * vector;
            b1 += 2 * vector;
            b2 += 2 * vector;
            b3 += 2 * vector;
        }

        Put(c00, c01, c, accumulate);
        Put(c10, c11, c + (2 * V.Width), accumulate);
        Put(c20, c21, c + (4 * V.Width), accumulate);
        Put(c30, c31, c + (6 * V.Width), accumulate);
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
