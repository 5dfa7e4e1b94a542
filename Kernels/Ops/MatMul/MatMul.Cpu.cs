using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

public sealed unsafe partial class CpuBackend
{
    /// <summary>Depth of a packed panel: a right panel of 2 x 16 columns then takes 32 KiB.</summary>
    private const int DepthBlock = 256;

    /// <summary>Rows and columns of C that one chunk computes, multiples of all tile sizes.</summary>
    private const int RowBlock = 192;
    private const int ColumnBlock = 256;

    /// <inheritdoc/>
    public void MatMul(in MatMulArgs args, DeviceBuffer a, DeviceBuffer b, DeviceBuffer c, DeviceBuffer bias = default, DeviceBuffer residual = default)
        => MatMul<NoActivation>(args, a, b, c, bias, residual, default);

    /// <inheritdoc/>
    public void MatMul<TActivation>(
        in MatMulArgs args, DeviceBuffer a, DeviceBuffer b, DeviceBuffer c, DeviceBuffer bias, DeviceBuffer residual, DeviceBuffer preActivation)
        where TActivation : struct, IUnaryOp
    {
        Epilogue<TActivation> epilogue = new(Floats(bias), Floats(residual), Floats(preActivation));
        int chunks = args.OuterBatch * args.InnerBatch * ChunkCount(args.Rows, RowBlock) * ChunkCount(args.Columns, ColumnBlock);
        Run(new PackedMatMulKernel<TActivation>(args, Floats(a), Floats(b), Floats(c), epilogue), chunks);
    }

    /// <summary>f(z) = z: the product without an activation.</summary>
    private readonly struct NoActivation : IUnaryOp
    {
        public static bool IsVectorized => true;

        public static float Forward(float x) => x;

        public static float Derivative(float x, float y) => 1f;

        public static V Forward<V>(V x)
            where V : unmanaged, ISimd<V>
            => x;

        public static V Derivative<V>(V x, V y)
            where V : unmanaged, ISimd<V>
            => V.Create(1f);
    }

    /// <summary>What happens to a tile of C after its last product, while it is still in the first-level cache.</summary>
    private readonly record struct Epilogue<TActivation>(Pointer Bias, Pointer Residual, Pointer PreActivation)
        where TActivation : struct, IUnaryOp
    {
        /// <summary>c = f(c + bias) + residual for a tile at <paramref name="row"/> and <paramref name="column"/> of the matrix that starts at offset.</summary>
        public void Apply<V>(float* c, long offset, int stride, int row, int column, int rows, int columns)
            where V : unmanaged, ISimd<V>
        {
            float* bias = Bias, residual = Residual, pre = PreActivation;
            if (typeof(TActivation) == typeof(NoActivation) && bias == null && residual == null && pre == null) return;
            for (int i = row; i < row + rows; i++)
            {
                long at = offset + ((long)i * stride);
                int j = column;
                if (TActivation.IsVectorized && V.Width > 1)
                {
                    for (; j <= column + columns - V.Width; j += V.Width)
                    {
                        V z = V.Load(c + at + j);
                        if (bias != null) z += V.Load(bias + j);
                        if (pre != null) V.Store(z, pre + at + j);
                        z = TActivation.Forward(z);
                        if (residual != null) z += V.Load(residual + at + j);
                        V.Store(z, c + at + j);
                    }
                }

                for (; j < column + columns; j++)
                {
                    float z = c[at + j];
                    if (bias != null) z += bias[j];
                    if (pre != null) pre[at + j] = z;
                    z = TActivation.Forward(z);
                    if (residual != null) z += residual[at + j];
                    c[at + j] = z;
                }
            }
        }
    }

    /// <summary>One block of C per chunk: its panels of A and B are packed into scratch memory, a depth block at a time.</summary>
    private readonly record struct PackedMatMulKernel<TActivation>(
        MatMulArgs Args, Pointer A, Pointer B, Pointer C, Epilogue<TActivation> Epilogue) : ICpuKernel
        where TActivation : struct, IUnaryOp
    {
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            (int batch, int block) = Math.DivRem(chunk, ChunkCount(Args.Rows, RowBlock) * ChunkCount(Args.Columns, ColumnBlock));
            (int rowBlock, int columnBlock) = Math.DivRem(block, ChunkCount(Args.Columns, ColumnBlock));
            (int outer, int inner) = Math.DivRem(batch, Args.InnerBatch);
            float* a = (float*)A + ((long)outer * Args.OuterStrideA) + ((long)inner * Args.InnerStrideA);
            float* b = (float*)B + ((long)outer * Args.OuterStrideB) + ((long)inner * Args.InnerStrideB);
            long offset = (long)batch * Args.Rows * Args.Columns;
            int row = rowBlock * RowBlock, rows = Math.Min(RowBlock, Args.Rows - row);
            int column = columnBlock * ColumnBlock, columns = Math.Min(ColumnBlock, Args.Columns - column);
            int stride = Args.Columns, tileRows = MatMulMicrokernel.Rows<V>(), tileColumns = MatMulMicrokernel.Columns<V>();
            float* scratch = ThreadScratch.Get(((RowBlock + ColumnBlock) * DepthBlock) + (tileRows * tileColumns));
            float* packedA = scratch, packedB = packedA + (RowBlock * DepthBlock), tile = packedB + (ColumnBlock * DepthBlock);

            bool accumulate = Prepare((float*)C + offset + ((long)row * stride) + column, stride, rows, columns, Args.Depth == 0, Args.Beta);
            for (int k = 0; k < Args.Depth; k += DepthBlock)
            {
                int depth = Math.Min(DepthBlock, Args.Depth - k);
                MatMulPacking.Pack<V>(a, Args.TransposeA ? Args.Rows : Args.Depth, !Args.TransposeA, row, rows, k, depth, tileRows, Args.Alpha, packedA);
                MatMulPacking.Pack<V>(b, Args.TransposeB ? Args.Depth : Args.Columns, Args.TransposeB, column, columns, k, depth, tileColumns, 1f, packedB);
                for (int j = 0; j < columns; j += tileColumns)
                {
                    for (int i = 0; i < rows; i += tileRows)
                    {
                        float* c = (float*)C + offset + ((long)(row + i) * stride) + column + j;
                        float* left = packedA + ((long)i * depth), right = packedB + ((long)j * depth);
                        int tall = Math.Min(tileRows, rows - i), wide = Math.Min(tileColumns, columns - j);
                        if (tall == tileRows && wide == tileColumns)
                        {
                            MatMulMicrokernel.Tile<V>(depth, left, right, c, stride, accumulate);
                        }
                        else
                        {
                            MatMulMicrokernel.Tile<V>(depth, left, right, tile, tileColumns, accumulate: false);
                            PutPartial(tile, tileColumns, c, stride, tall, wide, accumulate);
                        }
                    }
                }

                accumulate = true;
            }

            Epilogue.Apply<V>(C, offset, stride, row, column, rows, columns);
        }

        /// <summary>Multiplies C by β; true when the products are to be added to what it then holds.</summary>
        private static bool Prepare(float* c, int stride, int rows, int columns, bool isEmpty, float beta)
        {
            if (beta == 1f || (beta == 0f && !isEmpty)) return beta == 1f;
            for (int i = 0; i < rows; i++)
            {
                Span<float> line = new(c + ((long)i * stride), columns);
                if (beta == 0f) line.Clear();
                else foreach (ref float value in line) value *= beta;
            }

            return true;
        }

        private static void PutPartial(float* tile, int tileStride, float* c, int stride, int rows, int columns, bool accumulate)
        {
            for (int i = 0; i < rows; i++)
            {
                for (int j = 0; j < columns; j++)
                {
                    float value = tile[(i * tileStride) + j];
                    float* place = c + ((long)i * stride) + j;
                    *place = accumulate ? *place + value : value;
                }
            }
        }
    }
}
