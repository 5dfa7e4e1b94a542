using System.Runtime.CompilerServices;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsAmpere;

namespace MiniVlp.Kernels.Gpu.Cuda;

/// <summary>The left operand of a product over the width of a head: 16 rows in registers, a fragment for each 16 elements.</summary>
internal struct HeadFragments
{
    public UInt4 K0, K1, K2, K3, K4, K5, K6, K7;
}

/// <summary>Where a lane reads a tile: the address of its row, and its swizzled chunk.</summary>
internal struct TileLane
{
    public uint Row, Chunk;
}

/// <summary>Tiles of bfloat16 rows, one head wide, in shared memory, and their products by mma.sync.</summary>
internal static class HeadTile
{
    /// <summary>Threads that copy and multiply: four warps.</summary>
    public const int Threads = 128;

    /// <summary>Rows of a tile.</summary>
    public const int Rows = 64;

    /// <summary>Bytes of a row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint RowBytes<THead>()
        where THead : struct, IHeadSize
        => (uint)THead.Size * 2;

    /// <summary>Bytes of a tile.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Bytes<THead>()
        where THead : struct, IHeadSize
        => Rows * RowBytes<THead>();

    /// <summary>Starts to copy 64 rows into a tile; rows behind the last one are copies of it.</summary>
    /// <param name="tile">Shared address of the tile.</param>
    /// <param name="global">Address of row 0.</param>
    /// <param name="stride">Bytes from one row to the next.</param>
    /// <param name="firstRow">First row of the tile.</param>
    /// <param name="rows">Number of rows that exist.</param>
    /// <param name="thread">Thread of the group.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Copy<THead>(uint tile, ulong global, uint stride, int firstRow, int rows, uint thread)
        where THead : struct, IHeadSize
    {
        // As many whole powers of two of chunks as a row has; what is left of heads of 80 is one pass more. Shifts and masks are written out:
        // ptxas keeps a remainder by a constant as a division.
        int shift = THead.Size == 32 ? 2 : THead.Size == 128 ? 4 : 3;
        uint row = thread >> shift, chunk = thread & ((1u << shift) - 1), step = (uint)Threads >> shift;
        uint place = tile + Place<THead>(row, chunk), jump = step * RowBytes<THead>();
        ulong source = global + (chunk * 16);
        int at = firstRow + (int)row;
        CopyAsync(place, source + RowOffset(at, rows, stride));
        CopyAsync(place + jump, source + RowOffset(at + (int)step, rows, stride));
        if (THead.Size > 32)
        {
            CopyAsync(place + (2 * jump), source + RowOffset(at + (2 * (int)step), rows, stride));
            CopyAsync(place + (3 * jump), source + RowOffset(at + (3 * (int)step), rows, stride));
        }

        if (THead.Size == 80) CopyAsync(tile + Place<THead>(thread >> 1, 8 + (thread & 1)), global + ((8 + (thread & 1)) * 16) + RowOffset(firstRow + (int)(thread >> 1), rows, stride));
        if (THead.Size == 128)
        {
            CopyAsync(place + (4 * jump), source + RowOffset(at + (4 * (int)step), rows, stride));
            CopyAsync(place + (5 * jump), source + RowOffset(at + (5 * (int)step), rows, stride));
            CopyAsync(place + (6 * jump), source + RowOffset(at + (6 * (int)step), rows, stride));
            CopyAsync(place + (7 * jump), source + RowOffset(at + (7 * (int)step), rows, stride));
        }
    }

    /// <summary>Where a lane reads the left operand of a product (16 rows), and the right one when its rows are summed over (transposed).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TileLane LeftLane<THead>(uint tile, uint firstRow, uint lane)
        where THead : struct, IHeadSize
        => Lane<THead>(tile, firstRow + (lane & 15), lane >> 4);

    /// <summary>Where a lane reads the right operand of a product whose rows become columns of the result (16 of them).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TileLane RightLane<THead>(uint tile, uint lane)
        where THead : struct, IHeadSize
        => Lane<THead>(tile, (lane & 7) + ((lane >> 4) << 3), (lane >> 3) & 1);

    /// <summary>Loads 16 rows as the left operand.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static HeadFragments LoadLeft<THead>(TileLane lane)
        where THead : struct, IHeadSize
    {
        HeadFragments result = default;
        result.K0 = LoadMatrices(At<THead>(lane, 0));
        result.K1 = LoadMatrices(At<THead>(lane, 1));
        if (THead.Size > 32)
        {
            result.K2 = LoadMatrices(At<THead>(lane, 2));
            result.K3 = LoadMatrices(At<THead>(lane, 3));
        }

        if (THead.Size > 64) result.K4 = LoadMatrices(At<THead>(lane, 4));
        if (THead.Size > 80)
        {
            result.K5 = LoadMatrices(At<THead>(lane, 5));
            result.K6 = LoadMatrices(At<THead>(lane, 6));
            result.K7 = LoadMatrices(At<THead>(lane, 7));
        }

        return result;
    }

    /// <summary>result[16, 64] = left · tileᵀ over the width of a head.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void MultiplyTransposed<THead>(ref Accumulator64 result, in HeadFragments left, TileLane right)
        where THead : struct, IHeadSize
    {
        Step<THead>(ref result, left.K0, At<THead>(right, 0));
        Step<THead>(ref result, left.K1, At<THead>(right, 1));
        if (THead.Size > 32)
        {
            Step<THead>(ref result, left.K2, At<THead>(right, 2));
            Step<THead>(ref result, left.K3, At<THead>(right, 3));
        }

        if (THead.Size > 64) Step<THead>(ref result, left.K4, At<THead>(right, 4));
        if (THead.Size > 80)
        {
            Step<THead>(ref result, left.K5, At<THead>(right, 5));
            Step<THead>(ref result, left.K6, At<THead>(right, 6));
            Step<THead>(ref result, left.K7, At<THead>(right, 7));
        }
    }

    /// <summary>The same with the left operand read from shared memory again, where registers are short.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void MultiplyTransposed<THead>(ref Accumulator64 result, TileLane left, TileLane right)
        where THead : struct, IHeadSize
    {
        Step<THead>(ref result, LoadMatrices(At<THead>(left, 0)), At<THead>(right, 0));
        Step<THead>(ref result, LoadMatrices(At<THead>(left, 1)), At<THead>(right, 1));
        if (THead.Size > 32)
        {
            Step<THead>(ref result, LoadMatrices(At<THead>(left, 2)), At<THead>(right, 2));
            Step<THead>(ref result, LoadMatrices(At<THead>(left, 3)), At<THead>(right, 3));
        }

        if (THead.Size > 64) Step<THead>(ref result, LoadMatrices(At<THead>(left, 4)), At<THead>(right, 4));
        if (THead.Size > 80)
        {
            Step<THead>(ref result, LoadMatrices(At<THead>(left, 5)), At<THead>(right, 5));
            Step<THead>(ref result, LoadMatrices(At<THead>(left, 6)), At<THead>(right, 6));
            Step<THead>(ref result, LoadMatrices(At<THead>(left, 7)), At<THead>(right, 7));
        }
    }

    /// <summary>The same for the first 32 rows of the tile.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void MultiplyTransposed<THead>(ref Accumulator32 result, TileLane left, TileLane right)
        where THead : struct, IHeadSize
    {
        Step<THead>(ref result, LoadMatrices(At<THead>(left, 0)), At<THead>(right, 0));
        Step<THead>(ref result, LoadMatrices(At<THead>(left, 1)), At<THead>(right, 1));
        if (THead.Size > 32)
        {
            Step<THead>(ref result, LoadMatrices(At<THead>(left, 2)), At<THead>(right, 2));
            Step<THead>(ref result, LoadMatrices(At<THead>(left, 3)), At<THead>(right, 3));
        }

        if (THead.Size > 64) Step<THead>(ref result, LoadMatrices(At<THead>(left, 4)), At<THead>(right, 4));
        if (THead.Size > 80)
        {
            Step<THead>(ref result, LoadMatrices(At<THead>(left, 5)), At<THead>(right, 5));
            Step<THead>(ref result, LoadMatrices(At<THead>(left, 6)), At<THead>(right, 6));
            Step<THead>(ref result, LoadMatrices(At<THead>(left, 7)), At<THead>(right, 7));
        }
    }

    /// <summary>Two results[16, 64] = left · tileᵀ: each fragment of the tile is loaded once for both.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void MultiplyTransposed<THead>(ref Accumulator64 first, ref Accumulator64 second, in HeadFragments left, in HeadFragments secondLeft, TileLane right)
        where THead : struct, IHeadSize
    {
        Step<THead>(ref first, ref second, left.K0, secondLeft.K0, At<THead>(right, 0));
        Step<THead>(ref first, ref second, left.K1, secondLeft.K1, At<THead>(right, 1));
        if (THead.Size > 32)
        {
            Step<THead>(ref first, ref second, left.K2, secondLeft.K2, At<THead>(right, 2));
            Step<THead>(ref first, ref second, left.K3, secondLeft.K3, At<THead>(right, 3));
        }

        if (THead.Size > 64) Step<THead>(ref first, ref second, left.K4, secondLeft.K4, At<THead>(right, 4));
        if (THead.Size > 80)
        {
            Step<THead>(ref first, ref second, left.K5, secondLeft.K5, At<THead>(right, 5));
            Step<THead>(ref first, ref second, left.K6, secondLeft.K6, At<THead>(right, 6));
            Step<THead>(ref first, ref second, left.K7, secondLeft.K7, At<THead>(right, 7));
        }
    }

    /// <summary>Both at once: two left operands, read from shared memory again.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void MultiplyTransposed<THead>(ref Accumulator64 first, ref Accumulator64 second, TileLane left, TileLane right)
        where THead : struct, IHeadSize
    {
        uint below = 16 * RowBytes<THead>();
        Step<THead>(ref first, ref second, LoadMatrices(At<THead>(left, 0)), LoadMatrices(At<THead>(left, 0) + below), At<THead>(right, 0));
        Step<THead>(ref first, ref second, LoadMatrices(At<THead>(left, 1)), LoadMatrices(At<THead>(left, 1) + below), At<THead>(right, 1));
        if (THead.Size > 32)
        {
            Step<THead>(ref first, ref second, LoadMatrices(At<THead>(left, 2)), LoadMatrices(At<THead>(left, 2) + below), At<THead>(right, 2));
            Step<THead>(ref first, ref second, LoadMatrices(At<THead>(left, 3)), LoadMatrices(At<THead>(left, 3) + below), At<THead>(right, 3));
        }

        if (THead.Size > 64)
            Step<THead>(ref first, ref second, LoadMatrices(At<THead>(left, 4)), LoadMatrices(At<THead>(left, 4) + below), At<THead>(right, 4));
        if (THead.Size > 80)
        {
            Step<THead>(ref first, ref second, LoadMatrices(At<THead>(left, 5)), LoadMatrices(At<THead>(left, 5) + below), At<THead>(right, 5));
            Step<THead>(ref first, ref second, LoadMatrices(At<THead>(left, 6)), LoadMatrices(At<THead>(left, 6) + below), At<THead>(right, 6));
            Step<THead>(ref first, ref second, LoadMatrices(At<THead>(left, 7)), LoadMatrices(At<THead>(left, 7) + below), At<THead>(right, 7));
        }
    }

    /// <summary>result[16, head] += left[16, 64] · tile: accumulators have the layout of a left operand once they are rounded to bfloat16.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Multiply<THead>(ref Accumulator128 result, in Accumulator64 left, TileLane right)
        where THead : struct, IHeadSize
    {
        StepTransposed<THead>(ref result, Pack(left.C0, left.C1), right.Row, right.Chunk);
        StepTransposed<THead>(ref result, Pack(left.C2, left.C3), right.Row + (16 * RowBytes<THead>()), right.Chunk);
        StepTransposed<THead>(ref result, Pack(left.C4, left.C5), right.Row + (32 * RowBytes<THead>()), right.Chunk);
        StepTransposed<THead>(ref result, Pack(left.C6, left.C7), right.Row + (48 * RowBytes<THead>()), right.Chunk);
    }

    /// <summary>The same for the first 32 rows of the tile.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Multiply<THead>(ref Accumulator128 result, in Accumulator32 left, TileLane right)
        where THead : struct, IHeadSize
    {
        StepTransposed<THead>(ref result, Pack(left.C0, left.C1), right.Row, right.Chunk);
        StepTransposed<THead>(ref result, Pack(left.C2, left.C3), right.Row + (16 * RowBytes<THead>()), right.Chunk);
    }

    /// <summary>The same for two left operands.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Multiply<THead>(ref Accumulator128 first, ref Accumulator128 second, in Accumulator64 left, in Accumulator64 secondLeft, TileLane right)
        where THead : struct, IHeadSize
    {
        StepTransposed<THead>(ref first, ref second, Pack(left.C0, left.C1), Pack(secondLeft.C0, secondLeft.C1), right.Row, right.Chunk);
        StepTransposed<THead>(ref first, ref second, Pack(left.C2, left.C3), Pack(secondLeft.C2, secondLeft.C3), right.Row + (16 * RowBytes<THead>()), right.Chunk);
        StepTransposed<THead>(ref first, ref second, Pack(left.C4, left.C5), Pack(secondLeft.C4, secondLeft.C5), right.Row + (32 * RowBytes<THead>()), right.Chunk);
        StepTransposed<THead>(ref first, ref second, Pack(left.C6, left.C7), Pack(secondLeft.C6, secondLeft.C7), right.Row + (48 * RowBytes<THead>()), right.Chunk);
    }

    /// <summary>Writes, or adds, what a thread holds of two rows (two neighbouring columns of each eight) times a factor for each.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreRows<THead>(ref Accumulator128 value, ulong row, ulong rowBelow, float factor, float factorBelow, bool isRow, bool isRowBelow, int accumulate)
        where THead : struct, IHeadSize
    {
        StoreUpper upper = new(row, factor, accumulate);
        StoreLower lower = new(rowBelow, factorBelow, accumulate);
        if (isRow) Accumulator128.ForEach<THead, StoreUpper>(ref value, ref upper);
        if (isRowBelow) Accumulator128.ForEach<THead, StoreLower>(ref value, ref lower);
    }

    /// <summary>Writes the same as bfloat16, where the rows of a copy begin.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreCopies<THead>(ref Accumulator128 value, ulong row, ulong rowBelow, float factor, float factorBelow, bool isRow, bool isRowBelow)
        where THead : struct, IHeadSize
    {
        CopyUpper upper = new(row, factor);
        CopyLower lower = new(rowBelow, factorBelow);
        if (isRow) Accumulator128.ForEach<THead, CopyUpper>(ref value, ref upper);
        if (isRowBelow) Accumulator128.ForEach<THead, CopyLower>(ref value, ref lower);
    }

    /// <summary>Two tiles of 8 columns as one left operand of 16.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static UInt4 Pack(Float4 left, Float4 right)
    {
        UInt4 result;
        result.X = PackBFloat16(left.X, left.Y);
        result.Y = PackBFloat16(left.Z, left.W);
        result.Z = PackBFloat16(right.X, right.Y);
        result.W = PackBFloat16(right.Z, right.W);
        return result;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint At<THead>(TileLane lane, uint steps)
        where THead : struct, IHeadSize
        => lane.Row + THead.Step(lane.Chunk, steps);

    /// <summary>Offset of a chunk of a row in a tile.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Place<THead>(uint row, uint chunk)
        where THead : struct, IHeadSize
        => (row * RowBytes<THead>()) + ((chunk ^ THead.Swizzle(row)) << 4);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong RowOffset(int row, int rows, uint stride) => (ulong)(uint)(row < rows ? row : rows - 1) * stride;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TileLane Lane<THead>(uint tile, uint row, uint chunk)
        where THead : struct, IHeadSize
    {
        TileLane result;
        result.Row = tile + (row * RowBytes<THead>());
        result.Chunk = (chunk ^ THead.Swizzle(row)) << 4;
        return result;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Step<THead>(ref Accumulator64 result, UInt4 left, uint right)
        where THead : struct, IHeadSize
    {
        uint rows = 16 * RowBytes<THead>();
        UInt4 b0 = LoadMatrices(right), b1 = LoadMatrices(right + rows), b2 = LoadMatrices(right + (2 * rows)), b3 = LoadMatrices(right + (3 * rows));
        Multiply(ref result, left, b0, b1, b2, b3);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Step<THead>(ref Accumulator32 result, UInt4 left, uint right)
        where THead : struct, IHeadSize
    {
        UInt4 b0 = LoadMatrices(right), b1 = LoadMatrices(right + (16 * RowBytes<THead>()));
        Multiply(ref result.C0, ref result.C1, left, b0);
        Multiply(ref result.C2, ref result.C3, left, b1);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Step<THead>(ref Accumulator64 first, ref Accumulator64 second, UInt4 left, UInt4 secondLeft, uint right)
        where THead : struct, IHeadSize
    {
        uint rows = 16 * RowBytes<THead>();
        UInt4 b0 = LoadMatrices(right), b1 = LoadMatrices(right + rows), b2 = LoadMatrices(right + (2 * rows)), b3 = LoadMatrices(right + (3 * rows));
        Multiply(ref first, left, b0, b1, b2, b3);
        Multiply(ref second, secondLeft, b0, b1, b2, b3);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StepTransposed<THead>(ref Accumulator128 result, UInt4 left, uint row, uint chunk)
        where THead : struct, IHeadSize
    {
        Multiply(ref result.Low.C0, ref result.Low.C1, left, LoadMatricesTransposed(row + THead.Step(chunk, 0)));
        Multiply(ref result.Low.C2, ref result.Low.C3, left, LoadMatricesTransposed(row + THead.Step(chunk, 1)));
        if (THead.Size > 32)
        {
            Multiply(ref result.Low.C4, ref result.Low.C5, left, LoadMatricesTransposed(row + THead.Step(chunk, 2)));
            Multiply(ref result.Low.C6, ref result.Low.C7, left, LoadMatricesTransposed(row + THead.Step(chunk, 3)));
        }

        if (THead.Size > 64) Multiply(ref result.High.C0, ref result.High.C1, left, LoadMatricesTransposed(row + THead.Step(chunk, 4)));
        if (THead.Size > 80)
        {
            Multiply(ref result.High.C2, ref result.High.C3, left, LoadMatricesTransposed(row + THead.Step(chunk, 5)));
            Multiply(ref result.High.C4, ref result.High.C5, left, LoadMatricesTransposed(row + THead.Step(chunk, 6)));
            Multiply(ref result.High.C6, ref result.High.C7, left, LoadMatricesTransposed(row + THead.Step(chunk, 7)));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StepTransposed<THead>(ref Accumulator128 first, ref Accumulator128 second, UInt4 left, UInt4 secondLeft, uint row, uint chunk)
        where THead : struct, IHeadSize
    {
        UInt4 b0 = LoadMatricesTransposed(row + THead.Step(chunk, 0)), b1 = LoadMatricesTransposed(row + THead.Step(chunk, 1));
        Multiply(ref first.Low.C0, ref first.Low.C1, left, b0);
        Multiply(ref second.Low.C0, ref second.Low.C1, secondLeft, b0);
        Multiply(ref first.Low.C2, ref first.Low.C3, left, b1);
        Multiply(ref second.Low.C2, ref second.Low.C3, secondLeft, b1);
        if (THead.Size > 32)
        {
            UInt4 b2 = LoadMatricesTransposed(row + THead.Step(chunk, 2)), b3 = LoadMatricesTransposed(row + THead.Step(chunk, 3));
            Multiply(ref first.Low.C4, ref first.Low.C5, left, b2);
            Multiply(ref second.Low.C4, ref second.Low.C5, secondLeft, b2);
            Multiply(ref first.Low.C6, ref first.Low.C7, left, b3);
            Multiply(ref second.Low.C6, ref second.Low.C7, secondLeft, b3);
        }

        if (THead.Size > 64)
        {
            UInt4 b4 = LoadMatricesTransposed(row + THead.Step(chunk, 4));
            Multiply(ref first.High.C0, ref first.High.C1, left, b4);
            Multiply(ref second.High.C0, ref second.High.C1, secondLeft, b4);
        }

        if (THead.Size > 80)
        {
            UInt4 b5 = LoadMatricesTransposed(row + THead.Step(chunk, 5)), b6 = LoadMatricesTransposed(row + THead.Step(chunk, 6)), b7 = LoadMatricesTransposed(row + THead.Step(chunk, 7));
            Multiply(ref first.High.C2, ref first.High.C3, left, b5);
            Multiply(ref second.High.C2, ref second.High.C3, secondLeft, b5);
            Multiply(ref first.High.C4, ref first.High.C5, left, b6);
            Multiply(ref second.High.C4, ref second.High.C5, secondLeft, b6);
            Multiply(ref first.High.C6, ref first.High.C7, left, b7);
            Multiply(ref second.High.C6, ref second.High.C7, secondLeft, b7);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Multiply(ref Accumulator64 result, UInt4 left, UInt4 b0, UInt4 b1, UInt4 b2, UInt4 b3)
    {
        Multiply(ref result.C0, ref result.C1, left, b0);
        Multiply(ref result.C2, ref result.C3, left, b1);
        Multiply(ref result.C4, ref result.C5, left, b2);
        Multiply(ref result.C6, ref result.C7, left, b3);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Multiply(ref Float4 first, ref Float4 second, UInt4 left, UInt4 right)
    {
        first = MultiplyBFloat16(first, left, right.X, right.Y);
        second = MultiplyBFloat16(second, left, right.Z, right.W);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreHalf(float x, float y, ulong address, float factor, int accumulate)
    {
        Float2 before = default;
        if (accumulate != 0) before = LoadGlobalFloat2(address);
        StoreGlobal(address, before.X + (x * factor), before.Y + (y * factor));
    }

    /// <summary>Stores the row of a thread that is further up.</summary>
    private readonly struct StoreUpper(ulong row, float factor, int accumulate) : IColumnsStep
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Apply(ref Float4 sums, int column) => StoreHalf(sums.X, sums.Y, row + ((uint)column * 4), factor, accumulate);
    }

    /// <summary>Stores the upper row as bfloat16.</summary>
    private readonly struct CopyUpper(ulong row, float factor) : IColumnsStep
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Apply(ref Float4 sums, int column) => StoreGlobal(row + ((uint)column * 2), PackBFloat16(sums.X * factor, sums.Y * factor));
    }

    /// <summary>Stores the row 8 further down as bfloat16.</summary>
    private readonly struct CopyLower(ulong row, float factor) : IColumnsStep
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Apply(ref Float4 sums, int column) => StoreGlobal(row + ((uint)column * 2), PackBFloat16(sums.Z * factor, sums.W * factor));
    }

    /// <summary>Stores the row 8 further down.</summary>
    private readonly struct StoreLower(ulong row, float factor, int accumulate) : IColumnsStep
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Apply(ref Float4 sums, int column) => StoreHalf(sums.Z, sums.W, row + ((uint)column * 4), factor, accumulate);
    }
}
