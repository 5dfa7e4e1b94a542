using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace MiniVlp.Kernels.Simd;

/// <summary>
/// Products of small tiles that stay in the first-level cache: the inner step of fused attention and of the contrastive losses, which
/// never hold their whole score matrix. The left operand is read in place, one element at a time, with any two strides (so it may be
/// transposed); the right one lies in rows padded with zeros to whole vectors.
/// </summary>
internal static unsafe class TileMatMul
{
    /// <summary>Rows of the register block: 6 rows of 2 vectors are 12 independent sums, enough to hide the latency of a multiply-add.</summary>
    public const int BlockRows = 6;

    /// <summary>Rows between the one that is copied and the one that is asked for: rows of one head lie apart by the width of all heads.</summary>
    public const int PrefetchDistance = 8;

    /// <summary>The smallest multiple of the vector width that is at least <paramref name="count"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Pad<V>(int count)
        where V : unmanaged, ISimd<V>
        => (count + V.Width - 1) / V.Width * V.Width;

    /// <summary>
    /// c[r, j] (+)= Σ_k a[r·aRow + k·aStep] · b[k·bRow + j] for r &lt; rows, j &lt; columns (a multiple of the vector width), k &lt; depth;
    /// every sum runs through k in ascending order.
    /// </summary>
    public static void Multiply<V>(
        int rows, int columns, int depth, float* a, nint aRow, nint aStep, float* b, nint bRow, float* c, nint cRow, bool accumulate)
        where V : unmanaged, ISimd<V>
    {
        // A panel of b stays in the first-level cache while all rows of a pass by.
        int j = 0;
        for (; j <= columns - (2 * V.Width); j += 2 * V.Width)
        {
            for (int r = 0; r < rows; r += BlockRows)
                Block2<V>(Math.Min(BlockRows, rows - r), depth, a + (r * aRow), aRow, aStep, b + j, bRow, c + (r * cRow) + j, cRow, accumulate);
        }

        if (j == columns) return;
        for (int r = 0; r < rows; r += BlockRows)
            Block1<V>(Math.Min(BlockRows, rows - r), depth, a + (r * aRow), aRow, aStep, b + j, bRow, c + (r * cRow) + j, cRow, accumulate);
    }

    /// <summary>destination[r, c] = scale · source[r·sourceRow + c], rows padded with zeros to <paramref name="destinationRow"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Pack<V>(float* source, nint sourceRow, int rows, int columns, float scale, float* destination, int destinationRow)
        where V : unmanaged, ISimd<V>
    {
        V factor = V.Create(scale);
        for (int r = 0; r < rows; r++, source += sourceRow, destination += destinationRow)
        {
            if (r + PrefetchDistance < rows) Prefetch.Row(source + (PrefetchDistance * sourceRow), columns);
            int c = 0;
            for (; c <= columns - V.Width; c += V.Width) V.Store(factor * V.Load(source + c), destination + c);
            for (; c < columns; c++) destination[c] = scale * source[c];
            for (; c < destinationRow; c++) destination[c] = 0f;
        }
    }

    /// <summary>destination[c, r] = scale · source[r·sourceRow + c]: columns become rows, padded with zeros to <paramref name="destinationRow"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void PackTransposed(float* source, nint sourceRow, int rows, int columns, float scale, float* destination, int destinationRow)
    {
        int r = 0;
        Vector128<float> factor = Vector128.Create(scale);
        for (; r <= rows - 4; r += 4)
        {
            float* s = source + (r * sourceRow), d = destination + r;
            for (int ahead = PrefetchDistance; ahead < PrefetchDistance + 4 && r + ahead < rows; ahead++) Prefetch.Row(s + (ahead * sourceRow), columns);
            int c = 0;
            for (; c <= columns - 4; c += 4, s += 4, d += 4 * destinationRow)
            {
                Transpose(
                    Vector128.Load(s) * factor, Vector128.Load(s + sourceRow) * factor, Vector128.Load(s + (2 * sourceRow)) * factor, Vector128.Load(s + (3 * sourceRow)) * factor,
                    out Vector128<float> c0, out Vector128<float> c1, out Vector128<float> c2, out Vector128<float> c3);
                c0.Store(d);
                c1.Store(d + destinationRow);
                c2.Store(d + (2 * destinationRow));
                c3.Store(d + (3 * destinationRow));
            }

            for (; c < columns; c++, s++, d += destinationRow)
                for (int i = 0; i < 4; i++) d[i] = scale * s[i * sourceRow];
        }

        for (; r < destinationRow; r++)
        {
            for (int c = 0; c < columns; c++) destination[((nint)c * destinationRow) + r] = r < rows ? scale * source[(r * sourceRow) + c] : 0f;
        }
    }

    /// <summary>destination[c·destinationRow + r] += source[r·sourceRow + c].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void AddTransposed(float* source, nint sourceRow, int rows, int columns, float* destination, nint destinationRow)
    {
        int r = 0;
        for (; r <= rows - 4; r += 4)
        {
            float* s = source + (r * sourceRow), d = destination + r;
            int c = 0;
            for (; c <= columns - 4; c += 4, s += 4, d += 4 * destinationRow)
            {
                Transpose(
                    Vector128.Load(s), Vector128.Load(s + sourceRow), Vector128.Load(s + (2 * sourceRow)), Vector128.Load(s + (3 * sourceRow)),
                    out Vector128<float> c0, out Vector128<float> c1, out Vector128<float> c2, out Vector128<float> c3);
                (Vector128.Load(d) + c0).Store(d);
                (Vector128.Load(d + destinationRow) + c1).Store(d + destinationRow);
                (Vector128.Load(d + (2 * destinationRow)) + c2).Store(d + (2 * destinationRow));
                (Vector128.Load(d + (3 * destinationRow)) + c3).Store(d + (3 * destinationRow));
            }

            for (; c < columns; c++, s++, d += destinationRow)
                for (int i = 0; i < 4; i++) d[i] += s[i * sourceRow];
        }

        for (; r < rows; r++)
            for (int c = 0; c < columns; c++) destination[(c * destinationRow) + r] += source[(r * sourceRow) + c];
    }

    /// <summary>Four rows of four become four columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Transpose(
        Vector128<float> r0, Vector128<float> r1, Vector128<float> r2, Vector128<float> r3,
        out Vector128<float> c0, out Vector128<float> c1, out Vector128<float> c2, out Vector128<float> c3)
    {
        Vector128<float> low02 = ZipLow(r0, r2), high02 = ZipHigh(r0, r2), low13 = ZipLow(r1, r3), high13 = ZipHigh(r1, r3);
        c0 = ZipLow(low02, low13);
        c1 = ZipHigh(low02, low13);
        c2 = ZipLow(high02, high13);
        c3 = ZipHigh(high02, high13);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> ZipLow(Vector128<float> left, Vector128<float> right)
        => Sse.IsSupported ? Sse.UnpackLow(left, right)
        : AdvSimd.Arm64.IsSupported ? AdvSimd.Arm64.ZipLow(left, right)
        : Vector128.Create(left[0], right[0], left[1], right[1]);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> ZipHigh(Vector128<float> left, Vector128<float> right)
        => Sse.IsSupported ? Sse.UnpackHigh(left, right)
        : AdvSimd.Arm64.IsSupported ? AdvSimd.Arm64.ZipHigh(left, right)
        : Vector128.Create(left[2], right[2], left[3], right[3]);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Block2<V>(int rows, int depth, float* a, nint aRow, nint aStep, float* b, nint bRow, float* c, nint cRow, bool accumulate)
        where V : unmanaged, ISimd<V>
    {
        // Rows that are not there read the last one that is; their sums are not stored.
        float* a1 = rows > 1 ? a + aRow : a, a2 = rows > 2 ? a1 + aRow : a1, a3 = rows > 3 ? a2 + aRow : a2;
        float* a4 = rows > 4 ? a3 + aRow : a3, a5 = rows > 5 ? a4 + aRow : a4;
        V c00 = V.Zero, c01 = V.Zero, c10 = V.Zero, c11 = V.Zero, c20 = V.Zero, c21 = V.Zero;
        V c30 = V.Zero, c31 = V.Zero, c40 = V.Zero, c41 = V.Zero, c50 = V.Zero, c51 = V.Zero;
        nint k = 0;
        for (nint left = depth; left != 0; left--)
        {
            V b0 = V.Load(b), b1 = V.Load(b + V.Width);
            V x = V.Broadcast(a + k);
            c00.AddProduct(x, b0);
            c01.AddProduct(x, b1);
            x = V.Broadcast(a1 + k);
            c10.AddProduct(x, b0);
            c11.AddProduct(x, b1);
            x = V.Broadcast(a2 + k);
            c20.AddProduct(x, b0);
            c21.AddProduct(x, b1);
            x = V.Broadcast(a3 + k);
            c30.AddProduct(x, b0);
            c31.AddProduct(x, b1);
            x = V.Broadcast(a4 + k);
            c40.AddProduct(x, b0);
            c41.AddProduct(x, b1);
            x = V.Broadcast(a5 + k);
            c50.AddProduct(x, b0);
            c51.AddProduct(x, b1);
            k += aStep;
            b += bRow;
        }

        Put(c00, c01, c, accumulate);
        if (rows > 1) Put(c10, c11, c + cRow, accumulate);
        if (rows > 2) Put(c20, c21, c + (2 * cRow), accumulate);
        if (rows > 3) Put(c30, c31, c + (3 * cRow), accumulate);
        if (rows > 4) Put(c40, c41, c + (4 * cRow), accumulate);
        if (rows > 5) Put(c50, c51, c + (5 * cRow), accumulate);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Block1<V>(int rows, int depth, float* a, nint aRow, nint aStep, float* b, nint bRow, float* c, nint cRow, bool accumulate)
        where V : unmanaged, ISimd<V>
    {
        float* a1 = rows > 1 ? a + aRow : a, a2 = rows > 2 ? a1 + aRow : a1, a3 = rows > 3 ? a2 + aRow : a2;
        float* a4 = rows > 4 ? a3 + aRow : a3, a5 = rows > 5 ? a4 + aRow : a4;
        V c0 = V.Zero, c1 = V.Zero, c2 = V.Zero, c3 = V.Zero, c4 = V.Zero, c5 = V.Zero;
        nint k = 0;
        for (nint left = depth; left != 0; left--)
        {
            V b0 = V.Load(b);
            c0.AddProduct(V.Broadcast(a + k), b0);
            c1.AddProduct(V.Broadcast(a1 + k), b0);
            c2.AddProduct(V.Broadcast(a2 + k), b0);
            c3.AddProduct(V.Broadcast(a3 + k), b0);
            c4.AddProduct(V.Broadcast(a4 + k), b0);
            c5.AddProduct(V.Broadcast(a5 + k), b0);
            k += aStep;
            b += bRow;
        }

        Put(c0, c, accumulate);
        if (rows > 1) Put(c1, c + cRow, accumulate);
        if (rows > 2) Put(c2, c + (2 * cRow), accumulate);
        if (rows > 3) Put(c3, c + (3 * cRow), accumulate);
        if (rows > 4) Put(c4, c + (4 * cRow), accumulate);
        if (rows > 5) Put(c5, c + (5 * cRow), accumulate);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Put<V>(V left, V right, float* c, bool accumulate)
        where V : unmanaged, ISimd<V>
    {
        Put(left, c, accumulate);
        Put(right, c + V.Width, accumulate);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Put<V>(V value, float* c, bool accumulate)
        where V : unmanaged, ISimd<V>
        => V.Store(accumulate ? V.Load(c) + value : value, c);
}
