using System.Runtime.CompilerServices;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

public sealed unsafe partial class CpuBackend
{
    /// <summary>Sums partial results into a gradient of one element, in double precision and in order, and returns their memory.</summary>
    private void AddParts(DeviceBuffer parts, GradientTarget target)
    {
        if (!target.IsNeeded) return;
        double sum = 0;
        for (int i = 0; i < parts.Length; i++) sum += Floats(parts)[i];
        float* destination = Floats(target.Buffer);
        *destination = (target.Accumulate ? *destination : 0f) + (float)sum;
        Return(parts);
    }

    /// <summary>
    /// Tiles of a block, transposed: columns are rows of the tile, feature rows are lanes. What both sides need is kept for one panel of columns
    /// at a time: the rows' pass writes it and the columns' pass reads it, so that nothing is computed twice and memory stays linear in the rows.
    /// </summary>
    private readonly record struct ContrastiveTiles(
        ContrastiveBlock Block, Pointer Rows, Pointer Columns, Pointer Teacher, Pointer RowIds, Pointer ColumnIds, Pointer Scale, Pointer Panel)
    {
        /// <summary>Columns of one tile.</summary>
        public const int ColumnBlock = 64;

        /// <summary>Tiles of one panel.</summary>
        public const int PanelTiles = 4;

        /// <summary>Floats between gathered rows: a whole line, so that rows of a power of two do not evict each other from the cache.</summary>
        public const int RowGap = 16;

        /// <summary>Feature width of one step of a product, so that the packed rows of a step fit the first-level cache.</summary>
        private const int DepthBlock = 128;

        /// <summary>Rows of one tile: small batches are cut finer, so that all threads get work. Both are whole vectors.</summary>
        public int RowBlock => Block.Rows <= 512 ? 32 : 96;

        public int RowBlocks => ChunkCount(Block.Rows, RowBlock);

        public int TileCount => ChunkCount(Block.Columns, ColumnBlock);

        public long PanelLength => (long)RowBlocks * PanelTiles * RowBlock * ColumnBlock;

        public float Factor => *(float*)Scale;

        /// <summary>The factor to compute scores of a softmax with.</summary>
        public float ScoreFactor => ContrastiveScale.Factor(Factor);

        /// <summary>The dot product of what is hidden.</summary>
        public float Hidden => ContrastiveScale.Hidden(Factor);

        public bool HasTeacher => (float*)Teacher != null;

        public bool IsPanelKept => (float*)Panel != null;

        public static ContrastiveTiles From(in ContrastiveBlock block, in ContrastiveOperands operands) => new(
            block, Floats(operands.Rows), Floats(operands.Columns), Floats(operands.Teacher), Floats(operands.RowIds), Floats(operands.ColumnIds), Floats(operands.Scale), null);

        public int FirstRow(int rowBlock) => rowBlock * RowBlock;

        public int RowsOf(int rowBlock) => Math.Min(RowBlock, Block.Rows - FirstRow(rowBlock));

        public int ColumnsOf(int tile) => Math.Min(ColumnBlock, Block.Columns - (tile * ColumnBlock));

        /// <summary>Where the panel keeps a tile, with rows of <c>Pad(RowsOf(rowBlock))</c> floats.</summary>
        public float* Kept(int rowBlock, int tile) => (float*)Panel + ((((nint)rowBlock * PanelTiles) + (tile % PanelTiles)) * RowBlock * ColumnBlock);

        /// <summary>[width, row]: features transposed, for <see cref="Tile"/>.</summary>
        public void PackRows(float* features, int rowBlock, float* packed, int row)
            => TileMatMul.PackTransposed(features + ((nint)FirstRow(rowBlock) * Block.Width), Block.Width, RowsOf(rowBlock), Block.Width, 1f, packed, row);

        /// <summary>dots[j, i] = column_j · row_i; 0 in the lanes behind the last row.</summary>
        public void Tile<V>(int tile, float* packedRows, float* dots, int row)
            where V : unmanaged, ISimd<V>
        {
            float* columns = ColumnFeatures(tile);
            if (Block.Width == 0) new Span<float>(dots, ColumnsOf(tile) * row).Clear();
            for (int k = 0; k < Block.Width; k += DepthBlock)
            {
                TileMatMul.Multiply<V>(
                    ColumnsOf(tile), row, Math.Min(DepthBlock, Block.Width - k), columns + k, Block.Width, 1, packedRows + ((nint)k * row), row, dots, row, k > 0);
            }
        }

        public float* ColumnFeatures(int tile) => (float*)Columns + ((nint)tile * ColumnBlock * Block.Width);

        /// <summary>The lanes of a tile that may belong to a column: all with ids, else at most one.</summary>
        public (int First, int End) Candidates(int rowBlock, int column)
        {
            if ((float*)RowIds != null) return (float*)ColumnIds == null ? (0, 0) : (0, RowsOf(rowBlock));
            int own = column - FirstRow(rowBlock);
            return Block.IsBatch && own >= 0 && own < RowsOf(rowBlock) ? (own, own + 1) : (0, 0);
        }

        /// <summary>Whether a column belongs to a row that is among its candidates.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public bool IsPositive(int row, int column)
            => (float*)RowIds == null || ((int*)(float*)ColumnIds)[column] == ((int*)(float*)RowIds)[row];

        /// <summary>Sets the dot products to <see cref="Hidden"/> where a row may not see a column.</summary>
        public void HideOthers(int rowBlock, int tile, float* dots, int row)
        {
            if (!Block.OnlyOwn || !Block.IsBatch) return;
            float hidden = Hidden;
            for (int j = 0; j < ColumnsOf(tile); j++)
                for (int i = 0; i < RowsOf(rowBlock); i++)
                    if ((tile * ColumnBlock) + j != FirstRow(rowBlock) + i) dots[(j * row) + i] = hidden;
        }

        /// <summary>dcolumn_j += scale · Σ_i G_ij row_i over the kept panel is what <see cref="ColumnGradientKernel"/> does; this gathers drow_i += Σ_j G_ij column_j.</summary>
        public void GatherRows<V>(int rowBlock, int tile, float* scoreGradient, int row, float* columnFeatures, float* gradient)
            where V : unmanaged, ISimd<V>
        {
            int padded = TileMatMul.Pad<V>(Block.Width), gatherRow = padded + RowGap, columns = ColumnsOf(tile);
            TileMatMul.Pack<V>(ColumnFeatures(tile), Block.Width, columns, Block.Width, 1f, columnFeatures, gatherRow);
            TileMatMul.Multiply<V>(RowsOf(rowBlock), padded, columns, scoreGradient, 1, row, columnFeatures, gatherRow, gradient, gatherRow, true);
        }
    }

    /// <summary>dcolumn_j (+)= scale · Σ_i G_ij row_i from the kept G of one panel; one chunk is one tile of columns and one slice of the width.</summary>
    private readonly record struct ColumnGradientKernel(ContrastiveTiles Tiles, FloatTarget DColumns, int FirstTile) : ICpuKernel
    {
        /// <summary>Elements of a feature in one chunk.</summary>
        private const int Slice = 128;

        public static int Slices(int width) => ChunkCount(width, Slice);

        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            const int Row = Slice + ContrastiveTiles.RowGap;
            int width = Tiles.Block.Width, tile = FirstTile + (chunk / Slices(width)), start = chunk % Slices(width) * Slice, size = Math.Min(Slice, width - start);
            int columns = Tiles.ColumnsOf(tile), padded = TileMatMul.Pad<V>(size);
            float* gradient = ThreadScratch.Get(Row * (ContrastiveTiles.ColumnBlock + Tiles.RowBlock)), features = gradient + (Row * ContrastiveTiles.ColumnBlock);
            for (int rowBlock = 0; rowBlock < Tiles.RowBlocks; rowBlock++)
            {
                int rows = Tiles.RowsOf(rowBlock);
                TileMatMul.Pack<V>((float*)Tiles.Rows + ((nint)Tiles.FirstRow(rowBlock) * width) + start, width, rows, size, 1f, features, Row);
                TileMatMul.Multiply<V>(columns, padded, rows, Tiles.Kept(rowBlock, tile), TileMatMul.Pad<V>(rows), 1, features, Row, gradient, Row, rowBlock > 0);
            }

            WriteRows<V>(DColumns, ((nint)tile * ContrastiveTiles.ColumnBlock * width) + start, width, gradient, Row, columns, size, Tiles.Factor);
        }
    }
}
