using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

public sealed unsafe partial class CpuBackend
{
    /// <summary>Up to so many rows, reading the right operand where it lies beats packing it; fewer when it fits the second-level cache.</summary>
    private const int DotRows = 64, DotRowsOfSmall = 32, SmallRight = 256 * 1024;

    /// <summary>Columns of C that one chunk computes, at most.</summary>
    private const int DotColumns = 64;
    private const int DotTileColumns = 8;

    /// <summary>The same where there are few: a small output still is work for several threads.</summary>
    private const int FewDotColumns = 16, DotChunksForAll = 8;

    /// <summary>With fewer rows the processor's own prefetching has the memory busy already, and asking for more slows it down.</summary>
    private const int PrefetchRows = 16;

    /// <summary>Steps of the sum between two visits of C: three rows and eight columns then fit the first-level cache.</summary>
    private const int DotDepth = 1024;

    /// <summary>Both operands are contiguous along the sum, and there are too few rows to pay for packing.</summary>
    private static bool IsDotProduct(in MatMulArgs args)
        => args.TransposeB && (!args.TransposeA || args.Rows == 1)
        && (args.Rows <= 4
            || (args.Depth >= 128 && args.Rows <= ((long)args.Columns * args.Depth >= SmallRight ? DotRows : DotRowsOfSmall)));

    private static int DotColumnsOfChunk(int columns) => columns >= DotChunksForAll * DotColumns ? DotColumns : FewDotColumns;

    /// <summary>C[i, j] = A[i, :] · B[j, :] without packing: the weight of a linear layer is read once, at the speed of memory.</summary>
    private readonly record struct DotKernel<TActivation>(
        MatMulArgs Args, Pointer A, Pointer B, Epilogue<TActivation> Epilogue, bool Accumulate) : ICpuKernel
        where TActivation : struct, IUnaryOp
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int most = DotColumnsOfChunk(Args.Columns);
            (int product, int block) = Math.DivRem(chunk, ChunkCount(Args.Columns, most));
            (MatMulOperand left, MatMulOperand right) = Operands(Args, A, B, product);
            int column = block * most, columns = Math.Min(most, Args.Columns - column), stride = Args.Columns, k = 0;
            float* b = (float*)right.Source + ((long)column * Args.Depth);
            long offset = ((long)product * Args.Rows * stride) + column;

            // Rows of C are often a multiple of 4 KiB apart and would push each other out of the cache, so the sums are collected here first.
            float* sums = ThreadScratch.Get(Args.Rows * DotColumns);
            do
            {
                int depth = Math.Min(DotDepth, Args.Depth - k);
                for (int j = 0; j < columns; j += DotTileColumns)
                {
                    float* a = (float*)left.Source + k;
                    for (int i = 0; i < Args.Rows;)
                    {
                        int rows = Math.Min(3, Args.Rows - i);
                        if (Args.Rows >= PrefetchRows && j + (2 * DotTileColumns) <= columns)
                            Prefetch(b + ((long)(j + DotTileColumns) * Args.Depth) + k, depth, i, rows);
                        Tile<V>(rows, a, b + ((long)j * Args.Depth) + k, columns - j, depth, sums + (i * DotColumns) + j, isFirst: k == 0);
                        i += rows;
                        a += (long)rows * Args.Depth;
                    }
                }

                k += depth;
            }
            while (k < Args.Depth);

            if (Args.Alpha != 1f)
            {
                foreach (ref float sum in new Span<float>(sums, Args.Rows * DotColumns)) sum *= Args.Alpha;
            }

            Epilogue.Finish<V>(sums, DotColumns, Accumulate, offset, stride, column, Args.Rows, columns);
        }

        /// <summary>Asks for the next columns, as much of them as this group of rows has a share in all rows, while this group is computed.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void Prefetch(float* b, int depth, int row, int rows)
        {
            if (!Sse.IsSupported) return;
            int start = (int)((long)depth * row / Args.Rows), end = (int)((long)depth * (row + rows) / Args.Rows);
            for (int column = 0; column < DotTileColumns; column++, b += Args.Depth)
                for (int k = start; k < end; k += 16) Sse.Prefetch0(b + k);
        }

        /// <summary>One to three rows by eight columns; behind the last row or column, that one is computed again and dropped.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void Tile<V>(int rows, float* a, float* b, int columns, int depth, float* sums, bool isFirst)
            where V : unmanaged, ISimd<V>
        {
            float* tile = stackalloc float[3 * DotTileColumns];
            int stride = Args.Depth;
            float* a1 = rows > 1 ? a + stride : a, a2 = rows > 2 ? a1 + stride : a1;
            if (rows > 1 && columns >= DotTileColumns && V.Width >= 16)
            {
                ThreeByEight<V>(depth, a, a1, a2, b, stride, tile);
            }
            else
            {
                for (int j = 0; j < DotTileColumns && j < columns; j += 4)
                {
                    int last = columns - 1;
                    float* b0 = b + ((long)j * stride), b1 = b + ((long)Math.Min(j + 1, last) * stride);
                    float* b2 = b + ((long)Math.Min(j + 2, last) * stride), b3 = b + ((long)Math.Min(j + 3, last) * stride);
                    if (rows > 1) ThreeByFour<V>(depth, a, a1, a2, b0, b1, b2, b3, tile + j);
                    else OneByFour<V>(depth, a, b0, b1, b2, b3, tile + j);
                }
            }

            for (int r = 0; r < rows; r++)
            {
                for (int j = 0; j < DotTileColumns && j < columns; j += 4)
                {
                    Vector128<float> fresh = Vector128.Load(tile + (DotTileColumns * r) + j);
                    float* place = sums + (r * DotColumns) + j;
                    (isFirst ? fresh : Vector128.Load(place) + fresh).Store(place);
                }
            }
        }
    }

    /// <summary>24 accumulators: the rows come from the second-level cache, so each is used for as many columns as the registers hold.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ThreeByEight<V>(int depth, float* a, float* a1, float* a2, float* b, int stride, float* sums)
        where V : unmanaged, ISimd<V>
    {
        V c00 = V.Zero, c10 = V.Zero, c20 = V.Zero;
        V c01 = V.Zero, c11 = V.Zero, c21 = V.Zero;
        V c02 = V.Zero, c12 = V.Zero, c22 = V.Zero;
        V c03 = V.Zero, c13 = V.Zero, c23 = V.Zero;
        V c04 = V.Zero, c14 = V.Zero, c24 = V.Zero;
        V c05 = V.Zero, c15 = V.Zero, c25 = V.Zero;
        V c06 = V.Zero, c16 = V.Zero, c26 = V.Zero;
        V c07 = V.Zero, c17 = V.Zero, c27 = V.Zero;
        float* b4 = b + (4L * stride);
        int k = 0;
        for (; k <= depth - V.Width; k += V.Width)
        {
            V v0 = V.Load(a + k), v1 = V.Load(a1 + k), v2 = V.Load(a2 + k), right = V.Load(b + k);
            c00.AddProduct(v0, right);
            c10.AddProduct(v1, right);
            c20.AddProduct(v2, right);
            right = V.Load(b + stride + k);
            c01.AddProduct(v0, right);
            c11.AddProduct(v1, right);
            c21.AddProduct(v2, right);
            right = V.Load(b + (2L * stride) + k);
            c02.AddProduct(v0, right);
            c12.AddProduct(v1, right);
            c22.AddProduct(v2, right);
            right = V.Load(b + (3L * stride) + k);
            c03.AddProduct(v0, right);
            c13.AddProduct(v1, right);
            c23.AddProduct(v2, right);
            right = V.Load(b4 + k);
            c04.AddProduct(v0, right);
            c14.AddProduct(v1, right);
            c24.AddProduct(v2, right);
            right = V.Load(b4 + stride + k);
            c05.AddProduct(v0, right);
            c15.AddProduct(v1, right);
            c25.AddProduct(v2, right);
            right = V.Load(b4 + (2L * stride) + k);
            c06.AddProduct(v0, right);
            c16.AddProduct(v1, right);
            c26.AddProduct(v2, right);
            right = V.Load(b4 + (3L * stride) + k);
            c07.AddProduct(v0, right);
            c17.AddProduct(v1, right);
            c27.AddProduct(v2, right);
        }

        int left = depth - k;
        if (left > 0)
        {
            V v0 = V.LoadPartial(a + k, left), v1 = V.LoadPartial(a1 + k, left), v2 = V.LoadPartial(a2 + k, left), right = V.LoadPartial(b + k, left);
            c00.AddProduct(v0, right);
            c10.AddProduct(v1, right);
            c20.AddProduct(v2, right);
            right = V.LoadPartial(b + stride + k, left);
            c01.AddProduct(v0, right);
            c11.AddProduct(v1, right);
            c21.AddProduct(v2, right);
            right = V.LoadPartial(b + (2L * stride) + k, left);
            c02.AddProduct(v0, right);
            c12.AddProduct(v1, right);
            c22.AddProduct(v2, right);
            right = V.LoadPartial(b + (3L * stride) + k, left);
            c03.AddProduct(v0, right);
            c13.AddProduct(v1, right);
            c23.AddProduct(v2, right);
            right = V.LoadPartial(b4 + k, left);
            c04.AddProduct(v0, right);
            c14.AddProduct(v1, right);
            c24.AddProduct(v2, right);
            right = V.LoadPartial(b4 + stride + k, left);
            c05.AddProduct(v0, right);
            c15.AddProduct(v1, right);
            c25.AddProduct(v2, right);
            right = V.LoadPartial(b4 + (2L * stride) + k, left);
            c06.AddProduct(v0, right);
            c16.AddProduct(v1, right);
            c26.AddProduct(v2, right);
            right = V.LoadPartial(b4 + (3L * stride) + k, left);
            c07.AddProduct(v0, right);
            c17.AddProduct(v1, right);
            c27.AddProduct(v2, right);
        }

        V.StoreSums(c00, c01, c02, c03, sums);
        V.StoreSums(c04, c05, c06, c07, sums + 4);
        V.StoreSums(c10, c11, c12, c13, sums + 8);
        V.StoreSums(c14, c15, c16, c17, sums + 12);
        V.StoreSums(c20, c21, c22, c23, sums + 16);
        V.StoreSums(c24, c25, c26, c27, sums + 20);
    }

    /// <summary>12 accumulators, for tiers with 16 registers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ThreeByFour<V>(int depth, float* a, float* a1, float* a2, float* b0, float* b1, float* b2, float* b3, float* sums)
        where V : unmanaged, ISimd<V>
    {
        V c00 = V.Zero, c10 = V.Zero, c20 = V.Zero;
        V c01 = V.Zero, c11 = V.Zero, c21 = V.Zero;
        V c02 = V.Zero, c12 = V.Zero, c22 = V.Zero;
        V c03 = V.Zero, c13 = V.Zero, c23 = V.Zero;
        int k = 0;
        for (; k <= depth - V.Width; k += V.Width)
        {
            V v0 = V.Load(a + k), v1 = V.Load(a1 + k), v2 = V.Load(a2 + k), right = V.Load(b0 + k);
            c00.AddProduct(v0, right);
            c10.AddProduct(v1, right);
            c20.AddProduct(v2, right);
            right = V.Load(b1 + k);
            c01.AddProduct(v0, right);
            c11.AddProduct(v1, right);
            c21.AddProduct(v2, right);
            right = V.Load(b2 + k);
            c02.AddProduct(v0, right);
            c12.AddProduct(v1, right);
            c22.AddProduct(v2, right);
            right = V.Load(b3 + k);
            c03.AddProduct(v0, right);
            c13.AddProduct(v1, right);
            c23.AddProduct(v2, right);
        }

        int left = depth - k;
        if (left > 0)
        {
            V v0 = V.LoadPartial(a + k, left), v1 = V.LoadPartial(a1 + k, left), v2 = V.LoadPartial(a2 + k, left), right = V.LoadPartial(b0 + k, left);
            c00.AddProduct(v0, right);
            c10.AddProduct(v1, right);
            c20.AddProduct(v2, right);
            right = V.LoadPartial(b1 + k, left);
            c01.AddProduct(v0, right);
            c11.AddProduct(v1, right);
            c21.AddProduct(v2, right);
            right = V.LoadPartial(b2 + k, left);
            c02.AddProduct(v0, right);
            c12.AddProduct(v1, right);
            c22.AddProduct(v2, right);
            right = V.LoadPartial(b3 + k, left);
            c03.AddProduct(v0, right);
            c13.AddProduct(v1, right);
            c23.AddProduct(v2, right);
        }

        V.StoreSums(c00, c01, c02, c03, sums);
        V.StoreSums(c10, c11, c12, c13, sums + DotTileColumns);
        V.StoreSums(c20, c21, c22, c23, sums + (2 * DotTileColumns));
    }

    /// <summary>One row by four columns: at the speed of memory.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void OneByFour<V>(int depth, float* a, float* b0, float* b1, float* b2, float* b3, float* sums)
        where V : unmanaged, ISimd<V>
    {
        V c0 = V.Zero, c1 = V.Zero, c2 = V.Zero, c3 = V.Zero;
        int k = 0;
        for (; k <= depth - V.Width; k += V.Width)
        {
            V v = V.Load(a + k);
            c0.AddProduct(v, V.Load(b0 + k));
            c1.AddProduct(v, V.Load(b1 + k));
            c2.AddProduct(v, V.Load(b2 + k));
            c3.AddProduct(v, V.Load(b3 + k));
        }

        int left = depth - k;
        if (left > 0)
        {
            V v = V.LoadPartial(a + k, left);
            c0.AddProduct(v, V.LoadPartial(b0 + k, left));
            c1.AddProduct(v, V.LoadPartial(b1 + k, left));
            c2.AddProduct(v, V.LoadPartial(b2 + k, left));
            c3.AddProduct(v, V.LoadPartial(b3 + k, left));
        }

        V.StoreSums(c0, c1, c2, c3, sums);
    }
}
