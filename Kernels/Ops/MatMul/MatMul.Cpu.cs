using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

// Three ways to a product, chosen by the sizes alone:
//   few rows times a transposed right operand (a linear layer on few tokens): dot products, nothing is packed (MatMul.Dot.cs);
//   small products: each is packed and computed by one thread (SmallProductKernel);
//   large products: slabs that fit the last-level cache are packed by all threads, then computed by all threads, one block of C at a time.
public sealed unsafe partial class CpuBackend
{
    /// <summary>Steps of the sum in a packed panel: with 2 x 16 columns, a right panel takes 32 KiB and stays in the first-level cache.</summary>
    private const int DepthBlock = 256;

    /// <summary>Floats in a packed slab of either operand (16 MiB) and steps of the sum in it.</summary>
    private const int SlabLength = 4 * 1024 * 1024;
    private const int SlabDepth = 4096;

    /// <summary>A product is small when its packed operands fit the second-level cache and, unless there are many, it takes a few µs.</summary>
    private const int SmallOperands = 192 * 1024;
    private const int SmallProduct = 1024 * 1024;
    private const int ManyProducts = 8;

    /// <summary>Floats that one chunk packs.</summary>
    private const int PackGrain = 24 * 1024;

    /// <inheritdoc/>
    public void MatMul(in MatMulArgs args, DeviceBuffer a, DeviceBuffer b, DeviceBuffer c, DeviceBuffer bias = default, DeviceBuffer residual = default)
        => MatMul<NoActivation>(args, a, b, c, bias, residual, default);

    /// <inheritdoc/>
    public void MatMul<TActivation>(
        in MatMulArgs args, DeviceBuffer a, DeviceBuffer b, DeviceBuffer c, DeviceBuffer bias, DeviceBuffer residual, DeviceBuffer preActivation)
        where TActivation : struct, IUnaryOp
    {
        int products = args.OuterBatch * args.InnerBatch;
        if (products == 0 || args.Rows == 0 || args.Columns == 0) return;
        bool accumulate = args.Beta != 0f;
        if (accumulate && args.Beta != 1f)
            Run(new ScaleKernel(Floats(c), products * args.Rows * args.Columns, args.Beta), ChunkCount((long)products * args.Rows * args.Columns, ElementwiseGrain));

        Epilogue<TActivation> epilogue = new(Floats(c), Floats(bias), Floats(residual), Floats(preActivation));
        if (IsDotProduct(args))
        {
            Run(
                new DotKernel<TActivation>(args, Floats(a), Floats(b), epilogue, accumulate),
                products * ChunkCount(args.Columns, DotColumns));
        }
        else if ((long)(args.Rows + args.Columns + 48) * args.Depth <= SmallOperands
            && (products >= ManyProducts || (long)args.Rows * args.Columns * args.Depth <= SmallProduct))
        {
            Run(new SmallProductKernel<TActivation>(args, Floats(a), Floats(b), epilogue, accumulate), products);
        }
        else
        {
            for (int product = 0; product < products; product++)
            {
                (MatMulOperand left, MatMulOperand right) = Operands(args, Floats(a), Floats(b), product);
                MultiplySlabs(args, left, right, (long)product * args.Rows * args.Columns, accumulate, epilogue);
            }
        }
    }

    private static (MatMulOperand Left, MatMulOperand Right) Operands(in MatMulArgs args, float* a, float* b, int product)
    {
        (int outer, int inner) = Math.DivRem(product, args.InnerBatch);
        a += ((long)outer * args.OuterStrideA) + ((long)inner * args.InnerStrideA);
        b += ((long)outer * args.OuterStrideB) + ((long)inner * args.InnerStrideB);
        return (new(a, args.TransposeA ? args.Rows : args.Depth, !args.TransposeA), new(b, args.TransposeB ? args.Depth : args.Columns, args.TransposeB));
    }

    /// <summary>One large product: C starts at element <paramref name="offset"/>.</summary>
    private void MultiplySlabs<TActivation>(
        in MatMulArgs args, MatMulOperand left, MatMulOperand right, long offset, bool accumulate, Epilogue<TActivation> epilogue)
        where TActivation : struct, IUnaryOp
    {
        int tileRows = Tier == SimdTier.Vector512 ? MatMulMicrokernel.Rows<Simd512>() : MatMulMicrokernel.Rows<Simd256>();
        int tileColumns = Tier switch { SimdTier.Vector512 => 32, SimdTier.Vector256 => 16, SimdTier.Vector128 => 8, _ => 2 };
        int slabDepth = Math.Min(args.Depth, SlabDepth), most = SlabLength / Math.Max(slabDepth, 1) / 96 * 96;
        int slabRows = Math.Min(args.Rows, most), slabColumns = Math.Min(args.Columns, most);
        DeviceBuffer packedLeft = Rent(RoundUp(slabRows, tileRows) * slabDepth), packedRight = Rent(RoundUp(slabColumns, tileColumns) * slabDepth);
        for (int column = 0; column < args.Columns; column += slabColumns)
        {
            int columns = Math.Min(slabColumns, args.Columns - column), k = 0;
            do
            {
                int depth = Math.Min(slabDepth, args.Depth - k);
                for (int row = 0; row < args.Rows; row += slabRows)
                {
                    int rows = Math.Min(slabRows, args.Rows - row);
                    PanelProduct panels = new(
                        rows, columns, depth, Floats(packedLeft), Floats(packedRight), (float*)epilogue.C + offset + ((long)row * args.Columns) + column, args.Columns);
                    PackKernel pack = new(left.From(row, k), right.From(column, k), panels, tileRows, tileColumns, args.Alpha, PackRight: row == 0);
                    Run(pack, pack.Chunks);
                    BlockKernel<TActivation> multiply = new(
                        panels, tileRows, tileColumns, offset + ((long)row * args.Columns) + column, column, accumulate || k > 0, k + depth == args.Depth, ThreadCount, epilogue);
                    Run(multiply, multiply.Chunks);
                }

                k += depth;
            }
            while (k < args.Depth);
        }

        Return(packedLeft);
        Return(packedRight);
    }

    private static int RoundUp(int count, int step) => (count + step - 1) / step * step;

    private readonly record struct ScaleKernel(Pointer X, int Length, float Factor) : ICpuKernel
    {
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int start = chunk * ElementwiseGrain;
            foreach (ref float value in new Span<float>((float*)X + start, Math.Min(ElementwiseGrain, Length - start))) value *= Factor;
        }
    }

    /// <summary>
    /// Packed operands and where their product goes. Packed memory holds one depth block behind the other, each as all of its panels.
    /// </summary>
    private readonly record struct PanelProduct(int Rows, int Columns, int Depth, Pointer Left, Pointer Right, Pointer C, int Stride)
    {
        /// <summary>Where the panels of the depth block that starts at <paramref name="k"/> begin, from row <paramref name="row"/> on.</summary>
        public float* LeftPanels(int k, int row, int tileRows)
            => (float*)Left + ((long)k * RoundUp(Rows, tileRows)) + ((long)row * Math.Min(DepthBlock, Depth - k));

        /// <summary>The same for the right operand, from column <paramref name="column"/> on.</summary>
        public float* RightPanels(int k, int column, int tileColumns)
            => (float*)Right + ((long)k * RoundUp(Columns, tileColumns)) + ((long)column * Math.Min(DepthBlock, Depth - k));

        /// <summary>Computes rows x columns of C that start at a tile boundary, and the epilogue of each tile when <paramref name="isLast"/>.</summary>
        public void Multiply<V, TActivation>(
            int row, int rows, int column, int columns, bool accumulate, bool isLast, long offset, int firstColumn, in Epilogue<TActivation> epilogue)
            where V : unmanaged, ISimd<V>
            where TActivation : struct, IUnaryOp
        {
            int tileRows = MatMulMicrokernel.Rows<V>(), tileColumns = MatMulMicrokernel.Columns<V>(), k = 0;
            float* tile = stackalloc float[tileRows * tileColumns];
            do
            {
                int depth = Math.Min(DepthBlock, Depth - k);
                float* left = LeftPanels(k, row, tileRows), right = RightPanels(k, column, tileColumns);
                bool isDone = isLast && k + depth == Depth;
                for (int j = 0; j < columns; j += tileColumns)
                {
                    for (int i = 0; i < rows; i += tileRows)
                    {
                        float* c = (float*)C + ((long)(row + i) * Stride) + column + j;
                        int tall = Math.Min(tileRows, rows - i), wide = Math.Min(tileColumns, columns - j);
                        if (tall == tileRows && wide == tileColumns)
                        {
                            MatMulMicrokernel.Tile<V>(tall, depth, left + ((long)i * depth), right + ((long)j * depth), c, Stride, accumulate);
                        }
                        else
                        {
                            MatMulMicrokernel.Tile<V>(tall, depth, left + ((long)i * depth), right + ((long)j * depth), tile, tileColumns, accumulate: false);
                            PutPartial<V>(tile, tileColumns, c, Stride, tall, wide, accumulate);
                        }

                        if (isDone) epilogue.Apply<V>(offset + ((long)(row + i) * Stride) + column + j, Stride, firstColumn + column + j, tall, wide);
                    }
                }

                accumulate = true;
                k += depth;
            }
            while (k < Depth);
        }

        private static void PutPartial<V>(float* tile, int tileStride, float* c, int stride, int rows, int columns, bool accumulate)
            where V : unmanaged, ISimd<V>
        {
            for (int i = 0; i < rows; i++, c += stride, tile += tileStride)
            {
                for (int j = 0; j < columns; j += V.Width)
                {
                    int left = columns - j;
                    V value = V.Load(tile + j);
                    if (accumulate) value += left >= V.Width ? V.Load(c + j) : V.LoadPartial(c + j, left);
                    if (left >= V.Width) V.Store(value, c + j);
                    else V.StorePartial(value, c + j, left);
                }
            }
        }
    }

    /// <summary>Packs a slab of both operands: first the chunks of the left one, then those of the right one.</summary>
    private readonly record struct PackKernel(
        MatMulOperand Left, MatMulOperand Right, PanelProduct Panels, int TileRows, int TileColumns, float Scale, bool PackRight) : ICpuKernel
    {
        public int Chunks => DepthBlocks * (LeftGroups + (PackRight ? RightGroups : 0));

        private int DepthBlocks => ChunkCount(Panels.Depth, DepthBlock);

        private int LeftCount => RoundUp(PackGrain / DepthBlock, TileRows);

        private int RightCount => RoundUp(PackGrain / DepthBlock, TileColumns);

        private int LeftGroups => ChunkCount(Panels.Rows, LeftCount);

        private int RightGroups => ChunkCount(Panels.Columns, RightCount);

        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int leftChunks = DepthBlocks * LeftGroups;
            if (chunk < leftChunks)
            {
                (int block, int group) = Math.DivRem(chunk, LeftGroups);
                int k = block * DepthBlock, row = group * LeftCount;
                Left.From(row, k).Pack<V>(
                    Math.Min(LeftCount, Panels.Rows - row), Math.Min(DepthBlock, Panels.Depth - k), TileRows, Scale, Panels.LeftPanels(k, row, TileRows));
            }
            else
            {
                (int block, int group) = Math.DivRem(chunk - leftChunks, RightGroups);
                int k = block * DepthBlock, column = group * RightCount;
                Right.From(column, k).Pack<V>(
                    Math.Min(RightCount, Panels.Columns - column), Math.Min(DepthBlock, Panels.Depth - k), TileColumns, 1f, Panels.RightPanels(k, column, TileColumns));
            }
        }
    }

    /// <summary>Multiplies a packed slab, one block of tiles per chunk.</summary>
    private readonly record struct BlockKernel<TActivation>(
        PanelProduct Panels, int TileRows, int TileColumns, long Offset, int FirstColumn, bool Accumulate, bool IsLast, int Threads,
        Epilogue<TActivation> Epilogue) : ICpuKernel
        where TActivation : struct, IUnaryOp
    {
        public int Chunks => RowBlocks * ColumnBlocks;

        private int RowTiles => ChunkCount(Panels.Rows, TileRows);

        private int ColumnTiles => ChunkCount(Panels.Columns, TileColumns);

        /// <summary>
        /// Large blocks use what they load more often; several for each thread keep all of them busy. Where the bounds of a block lie
        /// changes no result: every element of C is summed in the same order.
        /// </summary>
        private int BlockTiles => Math.Clamp((int)((long)RowTiles * ColumnTiles / (8 * Threads)), 16, 512);

        private int BlockColumnTiles => Math.Min(ColumnTiles, BlockTiles >= 256 ? 16 : BlockTiles >= 64 ? 8 : 4);

        private int ColumnBlocks => ChunkCount(ColumnTiles, BlockColumnTiles);

        private int RowBlocks => ChunkCount(RowTiles, Math.Max(1, BlockTiles / BlockColumnTiles));

        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            // Neighbouring chunks share columns: a right panel is loaded into the cache once.
            (int columnBlock, int rowBlock) = Math.DivRem(chunk, RowBlocks);
            int row = Part(rowBlock, RowTiles, RowBlocks) * TileRows, rowEnd = Math.Min(Panels.Rows, Part(rowBlock + 1, RowTiles, RowBlocks) * TileRows);
            int column = Part(columnBlock, ColumnTiles, ColumnBlocks) * TileColumns;
            int columnEnd = Math.Min(Panels.Columns, Part(columnBlock + 1, ColumnTiles, ColumnBlocks) * TileColumns);
            Panels.Multiply<V, TActivation>(row, rowEnd - row, column, columnEnd - column, Accumulate, IsLast, Offset, FirstColumn, Epilogue);
        }

        /// <summary>Start of part <paramref name="index"/> when <paramref name="count"/> tiles are divided as evenly as they go.</summary>
        private static int Part(int index, int count, int parts) => (int)((long)index * count / parts);
    }

    /// <summary>One whole product per chunk, packed into scratch memory.</summary>
    private readonly record struct SmallProductKernel<TActivation>(
        MatMulArgs Args, Pointer A, Pointer B, Epilogue<TActivation> Epilogue, bool Accumulate) : ICpuKernel
        where TActivation : struct, IUnaryOp
    {
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int tileRows = MatMulMicrokernel.Rows<V>(), tileColumns = MatMulMicrokernel.Columns<V>(), depth = Args.Depth;
            int leftLength = RoundUp(Args.Rows, tileRows) * depth, rightLength = RoundUp(Args.Columns, tileColumns) * depth;
            float* packed = ThreadScratch.Get(leftLength + rightLength + 16);
            float* packedRight = packed + RoundUp(leftLength, 16);
            long offset = (long)chunk * Args.Rows * Args.Columns;
            (MatMulOperand left, MatMulOperand right) = Operands(Args, A, B, chunk);
            PanelProduct panels = new(Args.Rows, Args.Columns, depth, packed, packedRight, (float*)Epilogue.C + offset, Args.Columns);
            for (int k = 0; k < depth; k += DepthBlock)
            {
                int steps = Math.Min(DepthBlock, depth - k);
                left.From(0, k).Pack<V>(Args.Rows, steps, tileRows, Args.Alpha, panels.LeftPanels(k, 0, tileRows));
                right.From(0, k).Pack<V>(Args.Columns, steps, tileColumns, 1f, panels.RightPanels(k, 0, tileColumns));
            }

            panels.Multiply<V, TActivation>(0, Args.Rows, 0, Args.Columns, Accumulate, isLast: true, offset, 0, Epilogue);
        }
    }
}
