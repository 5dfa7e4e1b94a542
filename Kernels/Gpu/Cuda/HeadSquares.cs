using System.Runtime.CompilerServices;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsHopper;

namespace MiniVlp.Kernels.Gpu.Cuda;

/// <summary>64 columns of accumulators, rounded, as the left operand of a product of a warpgroup: a fragment for each 16.</summary>
internal struct SquareFragments
{
    public UInt4 K0, K1, K2, K3;
}

/// <summary>
/// The same as <see cref="HeadBoxes"/> by 64 rows: tiles for products whose results leave no registers for wider ones. Each 64 elements of the
/// head are a square box.
/// </summary>
internal static class HeadSquares
{
    /// <summary>Rows of a tile.</summary>
    public const int Rows = 64;

    private const uint BoxBytes = Rows * 128;

    /// <summary>From one step of 16 to the next, in the units of a descriptor: along the head, from its first box to its second, along the rows.</summary>
    private const ulong HeadStep = 32 >> 4, BoxStep = BoxBytes >> 4, RowStep = 16 * 128 >> 4;

    /// <summary>Bytes of a tile.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Bytes<THead>()
        where THead : struct, IHeadSize
        => (uint)THead.Size / 64 * BoxBytes;

    /// <summary>Asks for the tile of a head from <paramref name="row"/> on; rows behind the last one of the sequence become zeros.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Load<THead>(uint tile, ulong map, int head, int row, int batch, uint barrier)
        where THead : struct, IHeadSize
    {
        LoadTile(tile, map, head * THead.Size, row, batch, barrier);
        if (THead.Size > 64) LoadTile(tile + BoxBytes, map, (head * THead.Size) + 64, row, batch, barrier);
    }

    /// <summary>The descriptor of a tile.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Descriptor(uint tile) => InstructionsHopper.Descriptor(tile, BoxBytes, 1024);

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

    /// <summary>left[64, head] · right[64, head]ᵀ, the left operand in registers.</summary>
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

    /// <summary>left[64, head] · right[64, head]ᵀ, both tiles.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Accumulator64 MultiplyTransposed<THead>(ulong left, ulong right)
        where THead : struct, IHeadSize
    {
        Accumulator64 result = Multiply64(left, right, 0, 0);
        result = InstructionsHopper.Multiply(result, left + HeadStep, right + HeadStep, 0, 0);
        result = InstructionsHopper.Multiply(result, left + (2 * HeadStep), right + (2 * HeadStep), 0, 0);
        result = InstructionsHopper.Multiply(result, left + (3 * HeadStep), right + (3 * HeadStep), 0, 0);
        if (THead.Size > 64)
        {
            result = InstructionsHopper.Multiply(result, left + BoxStep, right + BoxStep, 0, 0);
            result = InstructionsHopper.Multiply(result, left + BoxStep + HeadStep, right + BoxStep + HeadStep, 0, 0);
            result = InstructionsHopper.Multiply(result, left + BoxStep + (2 * HeadStep), right + BoxStep + (2 * HeadStep), 0, 0);
            result = InstructionsHopper.Multiply(result, left + BoxStep + (3 * HeadStep), right + BoxStep + (3 * HeadStep), 0, 0);
        }

        return result;
    }

    /// <summary>result[64, head] += left[64, 64] · tile[64, head].</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Multiply<THead>(ref Accumulator128 result, in SquareFragments left, ulong right)
        where THead : struct, IHeadSize
    {
        Step<THead>(ref result, left.K0, right);
        Step<THead>(ref result, left.K1, right + RowStep);
        Step<THead>(ref result, left.K2, right + (2 * RowStep));
        Step<THead>(ref result, left.K3, right + (3 * RowStep));
    }

    /// <summary>Accumulators, rounded, as a left operand: they lie as it does.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static SquareFragments Pack(in Accumulator64 columns)
    {
        SquareFragments result;
        result.K0 = HeadTile.Pack(columns.C0, columns.C1);
        result.K1 = HeadTile.Pack(columns.C2, columns.C3);
        result.K2 = HeadTile.Pack(columns.C4, columns.C5);
        result.K3 = HeadTile.Pack(columns.C6, columns.C7);
        return result;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Step<THead>(ref Accumulator128 result, UInt4 left, ulong right)
        where THead : struct, IHeadSize
    {
        if (THead.Size > 64) result = InstructionsHopper.Multiply(result, left, right, 1);
        else result.Low = InstructionsHopper.Multiply(result.Low, left, right, 1);
    }
}
