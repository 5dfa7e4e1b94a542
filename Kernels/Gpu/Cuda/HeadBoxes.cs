using System.Runtime.CompilerServices;
using ILGPU;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsHopper;

namespace MiniVlp.Kernels.Gpu.Cuda;

/// <summary>
/// Tiles of 128 bfloat16 rows, one head wide, as the TMA unit brings them and wgmma reads them: for each 64 elements of the head a box of 128-byte
/// rows with the 128-byte swizzle, one behind the other. Heads of 64 and 128.
/// </summary>
internal static class HeadBoxes
{
    /// <summary>Rows of a tile.</summary>
    public const int Rows = 128;

    private const uint BoxBytes = Rows * 128;

    /// <summary>From one step of 16 to the next, in the units of a descriptor: along the head, from its first box to its second, along the rows.</summary>
    private const ulong HeadStep = 32 >> 4, BoxStep = BoxBytes >> 4, RowStep = 16 * 128 >> 4;

    /// <summary>Bytes of a tile.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Bytes<THead>()
        where THead : struct, IHeadSize
        => (uint)THead.Size / 64 * BoxBytes;

    /// <summary>The map of [batch, rows, heads, head size] elements.</summary>
    public static TensorMap Map<TView>(TView view, int batch, int rows, int heads, int headSize, int boxRows = Rows)
        where TView : struct, IContiguousArrayView
    {
        long leading = 2L * heads * headSize;
        return new TensorMap(view.Buffer.NativePtr + (nint)view.IndexInBytes, heads * headSize, rows, batch, leading, leading * rows, boxRows);
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
    public static ulong Descriptor(uint tile, uint row) => InstructionsHopper.Descriptor(tile + (row * 128), BoxBytes, 1024);

    /// <summary>left[64, head] · right[128, head]ᵀ, both tiles.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Accumulator128 MultiplyTransposed<THead>(ulong left, ulong right)
        where THead : struct, IHeadSize
    {
        Accumulator128 result = Multiply128(left, right, 0, 0);
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

    /// <summary>result[64, head] += left[64, 128] · tile[128, head].</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Multiply<THead>(ref Accumulator128 result, in HeadFragments left, ulong right)
        where THead : struct, IHeadSize
    {
        Step<THead>(ref result, left.K0, right);
        Step<THead>(ref result, left.K1, right + RowStep);
        Step<THead>(ref result, left.K2, right + (2 * RowStep));
        Step<THead>(ref result, left.K3, right + (3 * RowStep));
        Step<THead>(ref result, left.K4, right + (4 * RowStep));
        Step<THead>(ref result, left.K5, right + (5 * RowStep));
        Step<THead>(ref result, left.K6, right + (6 * RowStep));
        Step<THead>(ref result, left.K7, right + (7 * RowStep));
    }

    /// <summary>Sums of one head in registers, all zero; of heads of 64 the lower half counts.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Accumulator128 Zero<THead>()
        where THead : struct, IHeadSize
    {
        Accumulator128 result = default;
        result.Low = Zero64();
        if (THead.Size > 64) result.High = Zero64();
        return result;
    }

    /// <summary>Closes the group of the products into <paramref name="result"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Commit<THead>(ref Accumulator128 result)
        where THead : struct, IHeadSize
    {
        if (THead.Size > 64) result = InstructionsHopper.Commit(result);
        else result.Low = InstructionsHopper.Commit(result.Low);
    }

    /// <summary>Waits for all products but those of the newest groups; <paramref name="result"/> is then there.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Wait<THead>(ref Accumulator128 result, int pendingGroups = 0)
        where THead : struct, IHeadSize
    {
        if (THead.Size > 64) result = InstructionsHopper.Wait(result, pendingGroups);
        else result.Low = InstructionsHopper.Wait(result.Low, pendingGroups);
    }

    /// <summary>128 columns of accumulators, rounded, as a left operand: they lie as it does.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static HeadFragments Pack(in Accumulator128 columns)
    {
        HeadFragments result;
        result.K0 = HeadTile.Pack(columns.Low.C0, columns.Low.C1);
        result.K1 = HeadTile.Pack(columns.Low.C2, columns.Low.C3);
        result.K2 = HeadTile.Pack(columns.Low.C4, columns.Low.C5);
        result.K3 = HeadTile.Pack(columns.Low.C6, columns.Low.C7);
        result.K4 = HeadTile.Pack(columns.High.C0, columns.High.C1);
        result.K5 = HeadTile.Pack(columns.High.C2, columns.High.C3);
        result.K6 = HeadTile.Pack(columns.High.C4, columns.High.C5);
        result.K7 = HeadTile.Pack(columns.High.C6, columns.High.C7);
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
