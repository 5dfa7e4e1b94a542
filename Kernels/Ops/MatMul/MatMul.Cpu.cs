using System.Runtime.CompilerServices;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

// Three ways to a product, chosen by the sizes alone:
//   few rows times a transposed right operand (a linear layer on few tokens): dot products, nothing is packed (MatMul.Dot.cs);
//   small products: each is packed and computed by one thread (SmallProductKernel);
//   large products: slabs that fit the last-level cache are packed by all threads, then computed by all threads, one block of C at a time.
//   An operand that only a few blocks share is not worth the way through memory: each block packs its part into scratch memory.
// A left operand whose rows are contiguous along the sum is read in place, six or twelve rows side by side, where it is small or C is narrow.
// A weight that was packed before (PackedWeight.Cpu.cs) is the right operand of a large product, or of one tile of rows.
public sealed unsafe partial class CpuBackend
{
    /// <summary>
    /// Steps of the sum in a packed panel, at most. Long panels visit C rarely: that is worth more than a right panel in the first-level
    /// cache, since the second level feeds the microkernel's two vectors a step in time.
    /// </summary>
    private const int DepthBlock = 768;

    /// <summary>
    /// With at most so many tiles across C, or so many floats in the left operand, its rows are read in place; with more, every block of
    /// columns would fetch rows that lie far apart from the last-level cache, and panels, which lie in one piece, are faster.
    /// </summary>
    private const int FewColumnTilesInPlace = 64, FewElementsInPlace = 128 * 1024;

    /// <summary>Floats in a packed slab of either operand (16 MiB) and steps of the sum in it.</summary>
    private const int SlabLength = 4 * 1024 * 1024;
    private const int SlabDepth = 8192;

    /// <summary>With at most so many tiles across C, blocks pack the left operand for themselves; with at most so many down C, the right one.</summary>
    private const int FewColumnTiles = 32, FewRowTiles = 16;

    /// <summary>A product is small when its packed operands fit the second-level cache and, unless there are many, it takes a few µs.</summary>
    private const int SmallOperands = 192 * 1024;
    private const int SmallProduct = 1024 * 1024;
    private const int ManyProducts = 8;

    /// <summary>Steps of a panel from which on asking for memory ahead pays: short ones have ended before it is there.</summary>
    private const int ShortestFetch = 128;

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
                products * ChunkCount(args.Columns, DotColumnsOfChunk(args.Columns)));
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
                MultiplySlabs(args, left, right, default, (long)product * args.Rows * args.Columns, accumulate, epilogue);
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

    private int TileRows => Tier == SimdTier.Vector512 ? MatMulMicrokernel.Rows<Simd512>() : MatMulMicrokernel.Rows<Simd256>();

    private int TileColumns => Tier switch { SimdTier.Vector512 => 32, SimdTier.Vector256 => 16, SimdTier.Vector128 => 8, _ => 2 };

    /// <summary>One large product: C starts at element <paramref name="offset"/>. The right operand is <paramref name="weight"/> when that is there.</summary>
    private void MultiplySlabs<TActivation>(
        in MatMulArgs args, MatMulOperand left, MatMulOperand right, PackedPanels weight, long offset, bool accumulate, Epilogue<TActivation> epilogue)
        where TActivation : struct, IUnaryOp
    {
        int tileRows = TileRows, tileColumns = TileColumns;
        bool isPacked = weight.Exists && weight.Format is WeightFormat.Float32;
        bool leftInPlace = left.DepthIsContiguous && args.Alpha == 1f
            && (ChunkCount(args.Columns, tileColumns) <= FewColumnTilesInPlace || (long)args.Rows * args.Depth <= FewElementsInPlace);
        bool leftInBlocks = !leftInPlace && ChunkCount(args.Columns, tileColumns) <= FewColumnTiles;
        bool rightInBlocks = !leftInBlocks && !isPacked && ChunkCount(args.Rows, tileRows) <= FewRowTiles;
        int slabs = weight.Exists ? 1 : Math.Max(1, ChunkCount(args.Depth, SlabDepth)), slabDepth = Math.Min(args.Depth, RoundUp(ChunkCount(args.Depth, slabs), DepthBlock));
        int most = Math.Max(96, SlabLength / Math.Max(slabDepth, 1) / 96 * 96);
        int slabRows = leftInPlace || leftInBlocks ? args.Rows : Math.Min(args.Rows, most);
        int slabColumns = rightInBlocks || isPacked ? args.Columns : Math.Min(args.Columns, most);
        DeviceBuffer packedLeft = leftInPlace || leftInBlocks ? default : Rent(RoundUp(slabRows, tileRows) * slabDepth);
        DeviceBuffer packedRight = rightInBlocks || isPacked ? default : Rent(RoundUp(slabColumns, tileColumns) * slabDepth);
        for (int column = 0; column < args.Columns; column += slabColumns)
        {
            int columns = Math.Min(slabColumns, args.Columns - column), k = 0;
            do
            {
                int depth = Math.Min(slabDepth, args.Depth - k);
                for (int row = 0; row < args.Rows; row += slabRows)
                {
                    int rows = Math.Min(slabRows, args.Rows - row);
                    long start = offset + ((long)row * args.Columns) + column;
                    PanelProduct panels = new(
                        rows, columns, depth, left.From(row, k), right.From(column, k), weight, column, args.Alpha, Floats(packedLeft), isPacked ? weight.Memory : Floats(packedRight),
                        (float*)epilogue.C + start, args.Columns);
                    PackKernel pack = new(panels, tileRows, tileColumns, PacksRight: row == 0 && !packedRight.IsNull);
                    if (pack.Chunks > 0) Run(pack, pack.Chunks);
                    BlockKernel<TActivation> multiply = new(
                        panels, tileRows, tileColumns, start, column, accumulate || k > 0, k + depth == args.Depth, ThreadCount, epilogue);
                    Run(multiply, multiply.Chunks);
                }

                k += depth;
            }
            while (k < args.Depth);
        }

        if (!packedLeft.IsNull) Return(packedLeft);
        if (!packedRight.IsNull) Return(packedRight);
    }

    private static int RoundUp(int count, int step) => (count + step - 1) / step * step;

    /// <summary>
    /// Steps of the sum in a panel when <paramref name="depth"/> of them are divided evenly; an odd number, so that the panels of a block do not
    /// start a multiple of 4 KiB apart and share one set of the first-level cache.
    /// </summary>
    private static int DepthStep(int depth) => depth <= DepthBlock ? Math.Max(depth, 1) : ChunkCount(depth, ChunkCount(depth, DepthBlock)) | 1;

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
    /// Two operands and where their product goes. Packed memory holds one depth block behind the other, each as all of its panels; an operand
    /// without packed memory is packed by every block for itself, or read in place.
    /// </summary>
    private readonly record struct PanelProduct(
        int Rows, int Columns, int Depth, MatMulOperand LeftSource, MatMulOperand RightSource, PackedPanels Weight, int FirstOutput, float Scale,
        Pointer Left, Pointer Right, Pointer C, int Stride)
    {
        public bool LeftIsPacked => (float*)Left != null;

        /// <summary>Whether the rows of the left operand are read as they are; only a tile that they do not fill is packed then.</summary>
        public bool LeftIsInPlace => LeftSource.DepthIsContiguous && Scale == 1f && !LeftIsPacked;

        public int DepthStep => CpuBackend.DepthStep(Depth);

        public bool RightIsPacked => (float*)Right != null;

        /// <summary>Where the panels of the depth block that starts at <paramref name="k"/> begin, from row <paramref name="row"/> on.</summary>
        public float* LeftPanels(int k, int row, int tileRows)
            => (float*)Left + ((long)k * RoundUp(Rows, tileRows)) + ((long)row * Math.Min(DepthStep, Depth - k));

        /// <summary>The same for the right operand, from column <paramref name="column"/> on.</summary>
        public float* RightPanels(int k, int column, int tileColumns)
            => (float*)Right + ((long)k * RoundUp(Columns, tileColumns)) + ((long)column * Math.Min(DepthStep, Depth - k));

        /// <summary>Packs one depth block of rows of the left operand.</summary>
        public void PackLeft<V>(int row, int rows, int k, int tileRows, float* panels)
            where V : unmanaged, ISimd<V>
            => LeftSource.From(row, k).Pack<V>(rows, Math.Min(DepthStep, Depth - k), tileRows, Scale, panels);

        /// <summary>Packs one depth block of columns of the right operand, or decodes it.</summary>
        public void PackRight<V>(int column, int columns, int k, int tileColumns, float* panels)
            where V : unmanaged, ISimd<V>
        {
            if (Weight.Exists) Weight.Decode<V>(FirstOutput + column, columns, k, panels);
            else RightSource.From(column, k).Pack<V>(columns, Math.Min(DepthStep, Depth - k), tileColumns, 1f, panels);
        }

        /// <summary>Computes rows x columns of C that start at a tile boundary, and the epilogue of each tile when <paramref name="isLast"/>.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Multiply<V, TActivation>(
            int row, int rows, int column, int columns, bool accumulate, bool isLast, long offset, int firstColumn, in Epilogue<TActivation> epilogue)
            where V : unmanaged, ISimd<V>
            where TActivation : struct, IUnaryOp
        {
            int tileRows = MatMulMicrokernel.Rows<V>(), tileColumns = MatMulMicrokernel.Columns<V>(), k = 0;
            float* tile = stackalloc float[tileRows * tileColumns];
            bool finishes = epilogue.Exists, inPlace = LeftIsInPlace;
            int step = DepthStep, whole = inPlace ? rows / tileRows * tileRows : 0;         // rows in tiles that are read in place
            int leftScratch = LeftIsPacked ? 0 : RoundUp(rows - whole, tileRows) * step, rightScratch = RightIsPacked ? 0 : RoundUp(columns, tileColumns) * step;
            float* scratch = leftScratch + rightScratch == 0 ? null : ThreadScratch.Get(leftScratch + rightScratch);
            do
            {
                int depth = Math.Min(step, Depth - k);
                float* left = LeftIsPacked ? LeftPanels(k, row, tileRows) : scratch;
                float* right = RightIsPacked ? RightPanels(k, column, tileColumns) : scratch + leftScratch;
                if (leftScratch > 0) PackLeft<V>(row + whole, rows - whole, k, tileRows, left);
                if (!RightIsPacked) PackRight<V>(column, columns, k, tileColumns, right);
                bool isDone = isLast && k + depth == Depth;
                // The first row of tiles fetches the panels of a weight from memory, the others find them in the second-level cache.
                bool isFarAway = Weight.Exists && RightIsPacked && depth >= ShortestFetch;
                // A left panel stays in the first-level cache, the right panels of the block in the second.
                for (int i = 0; i < rows; i += tileRows)
                {
                    bool isWhole = i < whole;
                    float* a = isWhole ? (float*)LeftSource.From(row + i, k).Source : left + ((long)(i - whole) * depth);
                    nint aRow = isWhole ? (nint)LeftSource.Stride : 1, aStep = isWhole ? 1 : tileRows;
                    for (int j = 0; j < columns; j += tileColumns)
                    {
                        float* c = (float*)C + ((long)(row + i) * Stride) + column + j;
                        int tall = Math.Min(tileRows, rows - i), wide = Math.Min(tileColumns, columns - j);
                        bool isDirect = tall == tileRows && wide == tileColumns && !(isDone && finishes);
                        float* target = isDirect ? c : tile;
                        long targetStride = isDirect ? Stride : tileColumns;
                        byte* panel = (byte*)(right + ((long)j * depth));
                        if (i == 0 && isFarAway) MatMulMicrokernel.Tile<V, StreamedElement<Float32Element>>(tall, depth, a, aRow, aStep, panel, target, targetStride, isDirect && accumulate);
                        else MatMulMicrokernel.Tile<V, Float32Element>(tall, depth, a, aRow, aStep, panel, target, targetStride, isDirect && accumulate);
                        if (isDirect) continue;
                        if (isDone && finishes)
                            epilogue.Finish<V>(tile, tileColumns, accumulate, offset + ((long)(row + i) * Stride) + column + j, Stride, firstColumn + column + j, tall, wide);
                        else
                            PutTile<V>(tile, tileColumns, accumulate, c, Stride, tall, wide);
                    }
                }

                accumulate = true;
                k += depth;
            }
            while (k < Depth);
        }
    }

    /// <summary>Packs a slab: first the chunks of the left operand, then those of the right one.</summary>
    private readonly record struct PackKernel(PanelProduct Panels, int TileRows, int TileColumns, bool PacksRight) : ICpuKernel
    {
        public int Chunks => DepthBlocks * (LeftGroups + RightGroups);

        private int DepthBlocks => ChunkCount(Panels.Depth, Panels.DepthStep);

        private int LeftCount => RoundUp(PackGrain / Panels.DepthStep, TileRows);

        private int RightCount => RoundUp(PackGrain / Panels.DepthStep, TileColumns);

        private int LeftGroups => Panels.LeftIsPacked ? ChunkCount(Panels.Rows, LeftCount) : 0;

        private int RightGroups => PacksRight ? ChunkCount(Panels.Columns, RightCount) : 0;

        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int leftChunks = DepthBlocks * LeftGroups;
            if (chunk < leftChunks)
            {
                (int block, int group) = Math.DivRem(chunk, LeftGroups);
                int k = block * Panels.DepthStep, row = group * LeftCount;
                Panels.PackLeft<V>(row, Math.Min(LeftCount, Panels.Rows - row), k, TileRows, Panels.LeftPanels(k, row, TileRows));
            }
            else
            {
                (int block, int group) = Math.DivRem(chunk - leftChunks, RightGroups);
                int k = block * Panels.DepthStep, column = group * RightCount;
                Panels.PackRight<V>(column, Math.Min(RightCount, Panels.Columns - column), k, TileColumns, Panels.RightPanels(k, column, TileColumns));
            }
        }
    }

    /// <summary>Multiplies a packed slab, one block of tiles per chunk.</summary>
    private readonly record struct BlockKernel<TActivation>(
        PanelProduct Panels, int TileRows, int TileColumns, long Offset, int FirstColumn, bool Accumulate, bool IsLast, int Threads,
        Epilogue<TActivation> Epilogue) : ICpuKernel
        where TActivation : struct, IUnaryOp
    {
        /// <summary>
        /// A left block of that height takes up to 432 KiB of scratch memory with tiles of 6 rows and twice that with 12. A third of it loses up to 10 %
        /// on AVX2, since each block then packs rows that are narrower than what a cache line brings.
        /// </summary>
        private const int MostRowTilesInScratch = 24;

        public int Chunks => RowBlocks * ColumnBlocks;

        private int RowTiles => ChunkCount(Panels.Rows, TileRows);

        private int ColumnTiles => ChunkCount(Panels.Columns, TileColumns);

        /// <summary>
        /// Large blocks use what they load more often; several for each thread keep all of them busy. Where the bounds of a block lie
        /// changes no result: every element of C is summed in the same order.
        /// </summary>
        private int BlockTiles => Math.Clamp((int)((long)RowTiles * ColumnTiles / (8 * Threads)), 16, 512);

        /// <summary>Blocks that pack an operand for themselves span C the other way, so that little of it is packed twice.</summary>
        private int BlockColumnTiles
            => PacksLeft ? Math.Min(ColumnTiles, 16)
            : !Panels.RightIsPacked ? Math.Clamp(BlockTiles / RowTiles, 1, 8)
            : Math.Clamp(RightBlockLength / (TileColumns * Panels.DepthStep), 1, Math.Min(ColumnTiles, BlockTiles >= 256 ? 16 : BlockTiles >= 64 ? 8 : 4));

        /// <summary>Floats of right panels that stay in the second-level cache while the rows of a block pass by: half of 1 MiB or of 512 KiB.</summary>
        private int RightBlockLength => TileColumns == 32 ? 128 * 1024 : 64 * 1024;

        private int BlockRowTiles
            => PacksLeft ? Math.Clamp(BlockTiles / BlockColumnTiles, 1, MostRowTilesInScratch)
            : !Panels.RightIsPacked ? RowTiles
            : Math.Max(1, BlockTiles / BlockColumnTiles);

        private bool PacksLeft => !Panels.LeftIsPacked && !Panels.LeftIsInPlace;

        private int ColumnBlocks => ChunkCount(ColumnTiles, BlockColumnTiles);

        private int RowBlocks => ChunkCount(RowTiles, BlockRowTiles);

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
            long offset = (long)chunk * Args.Rows * Args.Columns;
            (MatMulOperand left, MatMulOperand right) = Operands(Args, A, B, chunk);
            PanelProduct panels = new(Args.Rows, Args.Columns, Args.Depth, left, right, default, 0, Args.Alpha, default, default, (float*)Epilogue.C + offset, Args.Columns);
            panels.Multiply<V, TActivation>(0, Args.Rows, 0, Args.Columns, Accumulate, isLast: true, offset, 0, Epilogue);
        }
    }
}
