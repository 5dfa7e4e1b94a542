using System.Runtime.CompilerServices;
using ILGPU;
using MiniVlp.Kernels.Gpu.Cuda;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsAmpere;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <summary>Whether a second product, of the teacher's rows with the same columns, runs beside the first; at compile time.</summary>
    internal interface ITeacher
    {
        /// <summary>Whether there is one.</summary>
        static abstract bool IsPresent { get; }
    }

    /// <summary>Rows alone.</summary>
    internal readonly struct NoTeacher : ITeacher
    {
        public static bool IsPresent => false;
    }

    /// <summary>Rows, and those of a teacher.</summary>
    internal readonly struct WithTeacher : ITeacher
    {
        public static bool IsPresent => true;
    }

    /// <summary>Which columns belong to a row.</summary>
    private enum ContrastiveMatch
    {
        /// <summary>None.</summary>
        None,

        /// <summary>The one of the row's own number.</summary>
        Own,

        /// <summary>Those with the row's id.</summary>
        Ids,
    }

    /// <summary>A block of scores for tensor cores.</summary>
    /// <param name="Rows">[rows, width] in bfloat16, rows padded to <paramref name="Stride"/> bytes by zeros.</param>
    /// <param name="Columns">[columns, width], likewise.</param>
    /// <param name="Teacher">[rows, width], likewise; or empty.</param>
    /// <param name="RowIds">With <see cref="ContrastiveMatch.Ids"/>, one for each row.</param>
    /// <param name="ColumnIds">With <see cref="ContrastiveMatch.Ids"/>, one for each column.</param>
    /// <param name="Scale">One element: the factor of the dot products.</param>
    /// <param name="RowCount">Rows.</param>
    /// <param name="ColumnCount">Columns.</param>
    /// <param name="Stride">Bytes of one padded row.</param>
    /// <param name="Match">A <see cref="ContrastiveMatch"/>.</param>
    /// <param name="OnlyOwn">1: a row sees no column but its own. As wide as the alignment of a view, so that no padding follows; see <see cref="Gpu.GpuTarget"/>.</param>
    internal readonly record struct ContrastiveFeatures(
        ArrayView<float> Rows, ArrayView<float> Columns, ArrayView<float> Teacher, ArrayView<int> RowIds, ArrayView<int> ColumnIds, ArrayView<float> Scale,
        int RowCount, int ColumnCount, int Stride, int Match, long OnlyOwn)
    {
        /// <summary>Steps of 64 elements along the width.</summary>
        public int Depth => (Stride + 127) >> 7;

        /// <summary>Tiles of 128 columns.</summary>
        public int ColumnTiles => (ColumnCount + ContrastiveTile.Size - 1) >> 7;

        /// <summary>The same with rows and columns exchanged.</summary>
        public ContrastiveFeatures Transposed() => new(Columns, Rows, default, ColumnIds, RowIds, Scale, ColumnCount, RowCount, Stride, Match, OnlyOwn);

        /// <summary>Whether some column of a tile belongs to some row of a block, is hidden from one, or does not exist.</summary>
        public bool IsSpecial(int rowBlock, int columnTile)
            => Match == (int)ContrastiveMatch.Ids || OnlyOwn != 0 || (Match == (int)ContrastiveMatch.Own && rowBlock == columnTile)
                || (columnTile + 1) * ContrastiveTile.Size > ColumnCount;

        /// <summary>What a column that belongs to a row has as its key: an id, a number, or what no column has.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public int RowKey(int row)
        {
            int key = Match == (int)ContrastiveMatch.Own ? row : -1;
            if (Match == (int)ContrastiveMatch.Ids) key = RowIds[row < RowCount ? row : RowCount - 1];
            return key;
        }

        /// <summary>See <see cref="RowKey"/>.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public int ColumnKey(int column)
        {
            int key = column;
            if (Match == (int)ContrastiveMatch.Ids) key = ColumnIds[column < ColumnCount ? column : ColumnCount - 1];
            return key;
        }
    }

    /// <summary>Dot products of 32 rows and 64 columns, which a warp holds: two times 16 rows, and those of the teacher.</summary>
    internal struct ContrastiveDots
    {
        public Accumulator64 Upper, Lower, TeacherUpper, TeacherLower;
    }

    /// <summary>
    /// The product under the contrastive kernels: 128 rows x 128 columns of dot products by 8 warps of 32 x 64. Slices of 64 elements of rows and
    /// columns pass through shared memory, several deep, and go on from one tile of columns to the next without a gap.
    /// </summary>
    internal readonly record struct ContrastiveTile(ContrastiveFeatures Features, uint Shared, uint Thread, int RowBlock)
    {
        /// <summary>Rows, and columns, of one tile.</summary>
        public const int Size = 128;

        /// <summary>Threads of a group.</summary>
        public const int Threads = 256;

        /// <summary>Bytes of a slice: 128 rows of 64 elements.</summary>
        private const uint SliceBytes = Size * 128;

        /// <summary>Slices in shared memory: rows, columns, and the teacher's rows.</summary>
        public static int Stages<TTeacher>()
            where TTeacher : struct, ITeacher
            => TTeacher.IsPresent ? 2 : 3;

        /// <summary>Bytes of shared memory.</summary>
        public static int SharedBytes<TTeacher>()
            where TTeacher : struct, ITeacher
            => Stages<TTeacher>() * (TTeacher.IsPresent ? 3 : 2) * (int)SliceBytes;

        /// <summary>First row of this thread in the tile; its others are 8, 16 and 24 further on.</summary>
        public int Row => (RowBlock * Size) + (int)(((Thread >> 5 & 3) * 32) + ((Thread & 31) >> 2));

        /// <summary>First column of this thread in the tile; its others are the next one, and both of every 8 of 64.</summary>
        public int Column => (int)(((Thread >> 7) * 64) + ((Thread & 3) * 2));

        /// <summary>Starts to copy what the first step of <see cref="Multiply"/> needs.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public ContrastiveCursor Start<TTeacher>(int firstTile, int endTile)
            where TTeacher : struct, ITeacher
        {
            ContrastiveCursor cursor = new(firstTile, 0, endTile, 0, 0);
            cursor = Load<TTeacher>(cursor);
            if (Stages<TTeacher>() > 2) cursor = Load<TTeacher>(cursor);
            return cursor;
        }

        /// <summary>All steps of one tile.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Multiply<TTeacher>(ref ContrastiveDots dots, ref ContrastiveCursor cursor)
            where TTeacher : struct, ITeacher
        {
            uint lane = Thread & 31, warp = Thread >> 5, rows = (warp >> 1 & 1) * (SliceBytes / 2), columns = SliceBytes + ((warp >> 2) * (SliceBytes / 2));
            TileLane left = HeadTile.LeftLane<Head64>(Shared + rows, (warp & 1) * 32, lane), right = HeadTile.RightLane<Head64>(Shared + columns, lane);
            int depth = Features.Depth;
            for (int step = 0; step < depth; step++)
            {
                CopyAsyncWait(TTeacher.IsPresent ? 0 : 1);
                Barrier();
                uint stage = (uint)cursor.Stage * StageBytes<TTeacher>();
                cursor = Load<TTeacher>(cursor);
                TileLane stageLeft = left, stageRight = right;
                stageLeft.Row += stage;
                stageRight.Row += stage;
                HeadTile.MultiplyTransposed<Head64>(ref dots.Upper, ref dots.Lower, stageLeft, stageRight);
                stageLeft.Row += 2 * SliceBytes;
                if (TTeacher.IsPresent) HeadTile.MultiplyTransposed<Head64>(ref dots.TeacherUpper, ref dots.TeacherLower, stageLeft, stageRight);
            }
        }

        private static uint StageBytes<TTeacher>()
            where TTeacher : struct, ITeacher
            => (TTeacher.IsPresent ? 3u : 2u) * SliceBytes;

        /// <summary>Starts to copy the next slices, if there are any: half of the threads rows, the other half columns.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private ContrastiveCursor Load<TTeacher>(ContrastiveCursor cursor)
            where TTeacher : struct, ITeacher
        {
            if (cursor.Tile < cursor.EndTile)
            {
                uint stage = Shared + ((uint)cursor.LoadStage * StageBytes<TTeacher>()), half = Thread >> 7, thread = Thread & 127, offset = (uint)cursor.Step * 128;
                ulong rows = GlobalAddress(Features.Rows), columns = GlobalAddress(Features.Columns);
                int first = (half == 0 ? RowBlock : cursor.Tile) * Size, count = half == 0 ? Features.RowCount : Features.ColumnCount;
                ulong source = (half == 0 ? rows : columns) + offset;
                int left = Features.Stride - (int)offset;
                Copy(stage + (half * SliceBytes), source, first, count, left, thread);
                Copy(stage + (half * SliceBytes) + (SliceBytes / 2), source, first + 64, count, left, thread);
                if (TTeacher.IsPresent)
                    Copy(stage + (2 * SliceBytes) + (half * (SliceBytes / 2)), GlobalAddress(Features.Teacher) + offset, (RowBlock * Size) + (int)(half * 64), Features.RowCount, left, thread);
            }

            CopyAsyncCommit();
            return cursor.Next(Features.Depth, Stages<TTeacher>());
        }

        /// <summary>Starts to copy 64 rows of 64 elements; zeros behind the width, and rows behind the last one are copies of it.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Copy(uint slice, ulong source, int firstRow, int rows, int bytesLeft, uint thread)
        {
            uint row = thread >> 3, chunk = thread & 7, place = slice + (row * 128) + ((chunk ^ (row & 7)) << 4), stride = (uint)Features.Stride;
            uint bytes = (int)(chunk * 16) < bytesLeft ? 16u : 0u;
            ulong from = source + (bytes != 0 ? chunk * 16 : 0);
            int at = firstRow + (int)row;
            CopyAsync(place, from + Offset(at, rows, stride), bytes);
            CopyAsync(place + 2048, from + Offset(at + 16, rows, stride), bytes);
            CopyAsync(place + 4096, from + Offset(at + 32, rows, stride), bytes);
            CopyAsync(place + 6144, from + Offset(at + 48, rows, stride), bytes);
        }

        private static ulong Offset(int row, int rows, uint stride) => (ulong)(uint)(row < rows ? row : rows - 1) * stride;
    }

    /// <summary>How far the copies are, and which stage is multiplied next.</summary>
    /// <param name="Tile">Tile of columns that is copied next.</param>
    /// <param name="Step">Its step along the width.</param>
    /// <param name="EndTile">Where the tiles end.</param>
    /// <param name="LoadStage">Stage that is filled next.</param>
    /// <param name="Stage">Stage that is multiplied next: the one behind it, which has waited longest.</param>
    internal readonly record struct ContrastiveCursor(int Tile, int Step, int EndTile, int LoadStage, int Stage)
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public ContrastiveCursor Next(int depth, int stages)
        {
            int step = Step + 1, tile = Tile;
            if (step == depth)
            {
                step = 0;
                tile++;
            }

            int loadStage = LoadStage + 1 == stages ? 0 : LoadStage + 1;
            return new ContrastiveCursor(tile, step, EndTile, loadStage, loadStage + 1 == stages ? 0 : loadStage + 1);
        }
    }
}
