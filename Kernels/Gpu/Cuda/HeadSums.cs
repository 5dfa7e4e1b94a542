using System.Runtime.CompilerServices;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsHopper;

namespace MiniVlp.Kernels.Gpu.Cuda;

/// <summary>The sums of a warpgroup over one head, [64, head], in registers; of heads of 64 the lower half counts.</summary>
internal static class HeadSums
{
    /// <summary>Sums that are all zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Accumulator128 Zero<THead>()
        where THead : struct, IHeadSize
    {
        Accumulator128 result = default;
        result.Low = Zero64();
        if (THead.Size > 64) result.High = Zero64();
        return result;
    }

    /// <summary>result[64, head] += left[64, 16] · right[16, head].</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Add<THead>(ref Accumulator128 result, UInt4 left, ulong right)
        where THead : struct, IHeadSize
    {
        if (THead.Size > 64) result = Multiply(result, left, right, 1);
        else result.Low = Multiply(result.Low, left, right, 1);
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
        HeadFragments result = Pack(columns.Low);
        result.K4 = HeadTile.Pack(columns.High.C0, columns.High.C1);
        result.K5 = HeadTile.Pack(columns.High.C2, columns.High.C3);
        result.K6 = HeadTile.Pack(columns.High.C4, columns.High.C5);
        result.K7 = HeadTile.Pack(columns.High.C6, columns.High.C7);
        return result;
    }

    /// <summary>64 columns in the same way: the first four fragments.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static HeadFragments Pack(in Accumulator64 columns)
    {
        HeadFragments result = default;
        result.K0 = HeadTile.Pack(columns.C0, columns.C1);
        result.K1 = HeadTile.Pack(columns.C2, columns.C3);
        result.K2 = HeadTile.Pack(columns.C4, columns.C5);
        result.K3 = HeadTile.Pack(columns.C6, columns.C7);
        return result;
    }
}
