using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

public sealed unsafe partial class CpuBackend
{
    /// <summary>Up to so many rows, reading the right operand where it lies beats packing it.</summary>
    private const int DotRows = 48;

    /// <summary>Columns of C that one chunk computes.</summary>
    private const int DotColumns = 64;

    /// <summary>Steps of the sum between two visits of C: four rows of either operand then fit the first-level cache.</summary>
    private const int DotDepth = 1024;

    /// <summary>Both operands are contiguous along the sum, and there are too few rows to pay for packing.</summary>
    private static bool IsDotProduct(in MatMulArgs args)
        => args.TransposeB && (!args.TransposeA || args.Rows == 1) && args.Rows <= DotRows && (args.Depth >= 128 || args.Rows <= 4);

    /// <summary>C[i, j] = A[i, :] · B[j, :] without packing: the weight of a linear layer is read once, at the speed of memory.</summary>
    private readonly record struct DotKernel<TActivation>(
        MatMulArgs Args, Pointer A, Pointer B, Epilogue<TActivation> Epilogue, bool Accumulate) : ICpuKernel
        where TActivation : struct, IUnaryOp
    {
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            (int product, int block) = Math.DivRem(chunk, ChunkCount(Args.Columns, DotColumns));
            (MatMulOperand left, MatMulOperand right) = Operands(Args, A, B, product);
            int column = block * DotColumns, columns = Math.Min(DotColumns, Args.Columns - column), stride = Args.Columns, k = 0;
            float* b = (float*)right.Source + ((long)column * Args.Depth);
            long offset = ((long)product * Args.Rows * stride) + column;

            // Rows of C are often a multiple of 4 KiB apart and would push each other out of the cache, so the sums are collected here first.
            float* sums = ThreadScratch.Get((Args.Rows * DotColumns) + 16), tile = sums + (Args.Rows * DotColumns);
            do
            {
                int depth = Math.Min(DotDepth, Args.Depth - k);
                for (int j = 0; j < columns; j += 4)
                {
                    // Behind the last column, that column is computed again and dropped.
                    int present = Math.Min(4, columns - j);
                    float* b0 = b + ((long)j * Args.Depth) + k;
                    float* b1 = present > 1 ? b0 + Args.Depth : b0, b2 = present > 2 ? b1 + Args.Depth : b1, b3 = present > 3 ? b2 + Args.Depth : b2;
                    float* a = (float*)left.Source + k;
                    for (int i = 0; i < Args.Rows;)
                    {
                        int rows = Args.Rows - i >= 4 ? 4 : Args.Rows - i >= 2 ? 2 : 1;
                        if (rows == 4) FourRows<V>(depth, a, Args.Depth, b0, b1, b2, b3, tile);
                        else if (rows == 2) TwoRows<V>(depth, a, Args.Depth, b0, b1, b2, b3, tile);
                        else OneRow<V>(depth, a, b0, b1, b2, b3, tile);
                        for (int r = 0; r < rows; r++)
                        {
                            Vector128<float> fresh = Vector128.Load(tile + (4 * r));
                            float* place = sums + ((i + r) * DotColumns) + j;
                            (k == 0 ? fresh : Vector128.Load(place) + fresh).Store(place);
                        }

                        i += rows;
                        a += (long)rows * Args.Depth;
                    }
                }

                k += depth;
            }
            while (k < Args.Depth);

            V alpha = V.Create(Args.Alpha);
            for (int i = 0; i < Args.Rows; i++, sums += DotColumns)
            {
                float* c = (float*)Epilogue.C + offset + ((long)i * stride);
                for (int j = 0; j < columns; j += V.Width)
                {
                    int present = columns - j;
                    V value = V.Load(sums + j) * alpha;
                    if (Accumulate) value += present >= V.Width ? V.Load(c + j) : V.LoadPartial(c + j, present);
                    if (present >= V.Width) V.Store(value, c + j);
                    else V.StorePartial(value, c + j, present);
                }
            }

            Epilogue.Apply<V>(offset, stride, column, Args.Rows, columns);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FourRows<V>(int depth, float* a, int stride, float* b0, float* b1, float* b2, float* b3, float* sums)
        where V : unmanaged, ISimd<V>
    {
        V c00 = V.Zero, c01 = V.Zero, c02 = V.Zero, c03 = V.Zero, c10 = V.Zero, c11 = V.Zero, c12 = V.Zero, c13 = V.Zero;
        V c20 = V.Zero, c21 = V.Zero, c22 = V.Zero, c23 = V.Zero, c30 = V.Zero, c31 = V.Zero, c32 = V.Zero, c33 = V.Zero;
        float* a1 = a + stride, a2 = a1 + stride, a3 = a2 + stride;
        int k = 0;
        for (; k <= depth - V.Width; k += V.Width)
        {
            V v0 = V.Load(b0 + k), v1 = V.Load(b1 + k), v2 = V.Load(b2 + k), v3 = V.Load(b3 + k);
            Accumulate(V.Load(a + k), v0, v1, v2, v3, ref c00, ref c01, ref c02, ref c03);
            Accumulate(V.Load(a1 + k), v0, v1, v2, v3, ref c10, ref c11, ref c12, ref c13);
            Accumulate(V.Load(a2 + k), v0, v1, v2, v3, ref c20, ref c21, ref c22, ref c23);
            Accumulate(V.Load(a3 + k), v0, v1, v2, v3, ref c30, ref c31, ref c32, ref c33);
        }

        int left = depth - k;
        if (left > 0)
        {
            V v0 = V.LoadPartial(b0 + k, left), v1 = V.LoadPartial(b1 + k, left), v2 = V.LoadPartial(b2 + k, left), v3 = V.LoadPartial(b3 + k, left);
            Accumulate(V.LoadPartial(a + k, left), v0, v1, v2, v3, ref c00, ref c01, ref c02, ref c03);
            Accumulate(V.LoadPartial(a1 + k, left), v0, v1, v2, v3, ref c10, ref c11, ref c12, ref c13);
            Accumulate(V.LoadPartial(a2 + k, left), v0, v1, v2, v3, ref c20, ref c21, ref c22, ref c23);
            Accumulate(V.LoadPartial(a3 + k, left), v0, v1, v2, v3, ref c30, ref c31, ref c32, ref c33);
        }

        V.StoreSums(c00, c01, c02, c03, sums);
        V.StoreSums(c10, c11, c12, c13, sums + 4);
        V.StoreSums(c20, c21, c22, c23, sums + 8);
        V.StoreSums(c30, c31, c32, c33, sums + 12);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void TwoRows<V>(int depth, float* a, int stride, float* b0, float* b1, float* b2, float* b3, float* sums)
        where V : unmanaged, ISimd<V>
    {
        V c00 = V.Zero, c01 = V.Zero, c02 = V.Zero, c03 = V.Zero, c10 = V.Zero, c11 = V.Zero, c12 = V.Zero, c13 = V.Zero;
        float* a1 = a + stride;
        int k = 0;
        for (; k <= depth - V.Width; k += V.Width)
        {
            V v0 = V.Load(b0 + k), v1 = V.Load(b1 + k), v2 = V.Load(b2 + k), v3 = V.Load(b3 + k);
            Accumulate(V.Load(a + k), v0, v1, v2, v3, ref c00, ref c01, ref c02, ref c03);
            Accumulate(V.Load(a1 + k), v0, v1, v2, v3, ref c10, ref c11, ref c12, ref c13);
        }

        int left = depth - k;
        if (left > 0)
        {
            V v0 = V.LoadPartial(b0 + k, left), v1 = V.LoadPartial(b1 + k, left), v2 = V.LoadPartial(b2 + k, left), v3 = V.LoadPartial(b3 + k, left);
            Accumulate(V.LoadPartial(a + k, left), v0, v1, v2, v3, ref c00, ref c01, ref c02, ref c03);
            Accumulate(V.LoadPartial(a1 + k, left), v0, v1, v2, v3, ref c10, ref c11, ref c12, ref c13);
        }

        V.StoreSums(c00, c01, c02, c03, sums);
        V.StoreSums(c10, c11, c12, c13, sums + 4);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void OneRow<V>(int depth, float* a, float* b0, float* b1, float* b2, float* b3, float* sums)
        where V : unmanaged, ISimd<V>
    {
        V c0 = V.Zero, c1 = V.Zero, c2 = V.Zero, c3 = V.Zero;
        int k = 0;
        for (; k <= depth - V.Width; k += V.Width)
            Accumulate(V.Load(a + k), V.Load(b0 + k), V.Load(b1 + k), V.Load(b2 + k), V.Load(b3 + k), ref c0, ref c1, ref c2, ref c3);
        int left = depth - k;
        if (left > 0)
        {
            Accumulate(
                V.LoadPartial(a + k, left),
                V.LoadPartial(b0 + k, left),
                V.LoadPartial(b1 + k, left),
                V.LoadPartial(b2 + k, left),
                V.LoadPartial(b3 + k, left),
                ref c0,
                ref c1,
                ref c2,
                ref c3);
        }

        V.StoreSums(c0, c1, c2, c3, sums);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Accumulate<V>(V a, V b0, V b1, V b2, V b3, ref V c0, ref V c1, ref V c2, ref V c3)
        where V : unmanaged, ISimd<V>
    {
        c0 = V.FusedMultiplyAdd(a, b0, c0);
        c1 = V.FusedMultiplyAdd(a, b1, c1);
        c2 = V.FusedMultiplyAdd(a, b2, c2);
        c3 = V.FusedMultiplyAdd(a, b3, c3);
    }
}
