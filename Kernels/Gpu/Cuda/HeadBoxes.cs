using System.Runtime.CompilerServices;
using ILGPU;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsHopper;

namespace MiniVlp.Kernels.Gpu.Cuda;

/// <summary>The rows of a box at compile time.</summary>
internal interface IBoxSize
{
    /// <summary>Rows of a box: 64 or 128.</summary>
    static abstract int Height { get; }
}

/// <summary>Boxes of 64 rows, for products whose results leave no registers for more.</summary>
internal readonly struct Box64 : IBoxSize
{
    /// <summary>Rows of a box.</summary>
    public const int Rows = 64;

    public static int Height => Rows;
}

/// <summary>Boxes of 128 rows.</summary>
internal readonly struct Box128 : IBoxSize
{
    /// <summary>Rows of a box.</summary>
    public const int Rows = 128;

    public static int Height => Rows;
}

/// <summary>
/// Tiles of bfloat16 rows, one head wide, as the TMA unit brings them and wgmma reads them: for each 64 elements of the head a box of 128-byte
/// rows with the 128-byte swizzle, one behind the other. Heads of 64 and 128.
/// </summary>
internal static class HeadBoxes<TBox>
    where TBox : struct, IBoxSize
{
    /// <summary>From one step of 16 to the next, in the units of a descriptor: along the head, along the rows.</summary>
    private const ulong HeadStep = 32 >> 4, RowStep = 16 * 128 >> 4;

    private static uint BoxBytes => (uint)TBox.Height * 128;

    /// <summary>From the first box of a head to its second, in the units of a descriptor.</summary>
    private static ulong BoxStep => BoxBytes >> 4;

    /// <summary>Bytes of a tile.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Bytes<THead>()
        where THead : struct, IHeadSize
        => (uint)THead.Size / 64 * BoxBytes;

    /// <summary>The map of [batch, rows, heads, head size] elements.</summary>
    public static TensorMap Map<TView>(TView view, int batch, int rows, int heads, int headSize)
        where TView : struct, IContiguousArrayView
    {
        long leading = 2L * heads * headSize;
        return new TensorMap(view.Buffer.NativePtr + (nint)view.IndexInBytes, heads * headSize, rows, batch, leading, leading * rows, TBox.Height);
    }

    /// <summary>Asks for the tile of a head from <paramref name="row"/> on; rows behind the last one of the sequence become zeros.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Load<THead>(uint tile, ulong map, int head, int row, int batch, uint barrier)
        where THead : struct, IHeadSize
    {
        LoadTile(tile, map, head * THead.Size, row, batch, barrier);
        if (THead.Size > 64) LoadTile(tile + BoxBytes, map, (head * THead.Size) + 64, row, batch, barrier);
    }

    /// <summary>The descriptor of a tile from a row on that is a multiple of 8.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Descriptor(uint tile, uint row = 0) => InstructionsHopper.Descriptor(tile + (row * 128), BoxBytes, 1024);

    /// <summary>Loads the rows of a warp as a left operand, where there are registers for it: shared memory is then read for the right one alone.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static HeadFragments LoadLeft<THead>(uint tile, uint firstRow, uint lane)
        where THead : struct, IHeadSize
    {
        // The TMA unit swizzles a box as heads of 64 are.
        HeadFragments result = HeadTile.LoadLeft<Head64>(HeadTile.LeftLane<Head64>(tile, firstRow, lane));
        if (THead.Size <= 64) return result;
        HeadFragments second = HeadTile.LoadLeft<Head64>(HeadTile.LeftLane<Head64>(tile + BoxBytes, firstRow, lane));
        result.K4 = second.K0;
        result.K5 = second.K1;
        result.K6 = second.K2;
        result.K7 = second.K3;
        return result;
    }

    /// <summary>left[64, head] · right[rows, head]ᵀ, both tiles; of 64 rows the lower half of the result counts.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Accumulator128 MultiplyTransposed<THead>(ulong left, ulong right)
        where THead : struct, IHeadSize
    {
        Accumulator128 result = default;
        if (TBox.Height > 64) result = Multiply128(left, right, 0, 0);
        else result.Low = Multiply64(left, right, 0, 0);
        AddTransposed(ref result, left + HeadStep, right + HeadStep);
        AddTransposed(ref result, left + (2 * HeadStep), right + (2 * HeadStep));
        AddTransposed(ref result, left + (3 * HeadStep), right + (3 * HeadStep));
        if (THead.Size > 64)
        {
            AddTransposed(ref result, left + BoxStep, right + BoxStep);
            AddTransposed(ref result, left + BoxStep + HeadStep, right + BoxStep + HeadStep);
            AddTransposed(ref result, left + BoxStep + (2 * HeadStep), right + BoxStep + (2 * HeadStep));
            AddTransposed(ref result, left + BoxStep + (3 * HeadStep), right + BoxStep + (3 * HeadStep));
        }

        return result;
    }

    /// <summary>left[64, head] · right[64, head]ᵀ, the left operand in registers, the right one the first 64 rows of a tile.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Accumulator64 MultiplyTransposed<THead>(in HeadFragments left, ulong right)
        where THead : struct, IHeadSize
    {
        Accumulator64 result = Multiply64(left.K0, right, 0);
        result = InstructionsHopper.Multiply(result, left.K1, right + HeadStep, 0);
        result = InstructionsHopper.Multiply(result, left.K2, right + (2 * HeadStep), 0);
        result = InstructionsHopper.Multiply(result, left.K3, right + (3 * HeadStep), 0);
        if (THead.Size > 64)
        {
            result = InstructionsHopper.Multiply(result, left.K4, right + BoxStep, 0);
            result = InstructionsHopper.Multiply(result, left.K5, right + BoxStep + HeadStep, 0);
            result = InstructionsHopper.Multiply(result, left.K6, right + BoxStep + (2 * HeadStep), 0);
            result = InstructionsHopper.Multiply(result, left.K7, right + BoxStep + (3 * HeadStep), 0);
        }

        return result;
    }

    /// <summary>result[64, head] += left[64, rows] · tile[rows, head].</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Multiply<THead>(ref Accumulator128 result, in HeadFragments left, ulong right)
        where THead : struct, IHeadSize
    {
        HeadSums.Add<THead>(ref result, left.K0, right);
        HeadSums.Add<THead>(ref result, left.K1, right + RowStep);
        HeadSums.Add<THead>(ref result, left.K2, right + (2 * RowStep));
        HeadSums.Add<THead>(ref result, left.K3, right + (3 * RowStep));
        if (TBox.Height > 64)
        {
            HeadSums.Add<THead>(ref result, left.K4, right + (4 * RowStep));
            HeadSums.Add<THead>(ref result, left.K5, right + (5 * RowStep));
            HeadSums.Add<THead>(ref result, left.K6, right + (6 * RowStep));
            HeadSums.Add<THead>(ref result, left.K7, right + (7 * RowStep));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddTransposed(ref Accumulator128 result, ulong left, ulong right)
    {
        if (TBox.Height > 64) result = InstructionsHopper.Multiply(result, left, right, 0, 0);
        else result.Low = InstructionsHopper.Multiply(result.Low, left, right, 0, 0);
    }
}
