using System.Runtime.CompilerServices;

namespace MiniVlp.Kernels.Gpu.Cuda;

/// <summary>The accumulators of a block of C by wgmma: 64 rows of so many columns for each warpgroup.</summary>
/// <typeparam name="TSelf">The accumulators of a thread.</typeparam>
internal interface IBlockSums<TSelf>
    where TSelf : struct, IBlockSums<TSelf>
{
    /// <summary>Columns of the block, a multiple of 64.</summary>
    static abstract int Columns { get; }

    /// <summary>Fresh accumulators of zero.</summary>
    static abstract TSelf Zero();

    /// <summary>sums + a · b for one instruction of depth.</summary>
    static abstract TSelf Multiply<TOperands>(TSelf sums, ulong a, ulong b)
        where TOperands : struct, IWarpgroupOperands;

    /// <summary>The accumulators once all products are done.</summary>
    static abstract TSelf Wait(TSelf sums);

    /// <summary>64 columns of them.</summary>
    /// <param name="sums">The accumulators.</param>
    /// <param name="part">Which 64 columns; a constant.</param>
    static abstract Accumulator64 Part(in TSelf sums, int part);
}

/// <summary>Accumulators of 16 rows x 256 columns a warp, 128 registers a thread: the most arithmetic for each byte.</summary>
internal struct Accumulator256 : IBlockSums<Accumulator256>
{
    public Accumulator128 Low, High;

    public static int Columns => 256;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Accumulator256 Zero() => InstructionsHopper.Zero256();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Accumulator256 Multiply<TOperands>(Accumulator256 sums, ulong a, ulong b)
        where TOperands : struct, IWarpgroupOperands
        => TOperands.Multiply(sums, a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Accumulator256 Wait(Accumulator256 sums) => InstructionsHopper.Wait(sums, 0);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Accumulator64 Part(in Accumulator256 sums, int part)
        => part == 0 ? sums.Low.Low : part == 1 ? sums.Low.High : part == 2 ? sums.High.Low : sums.High.High;
}

/// <summary>Accumulators of 16 rows x 192 columns a warp, 96 registers a thread: where blocks of 256 columns would leave the last wave of groups nearly empty.</summary>
internal struct Accumulator192 : IBlockSums<Accumulator192>
{
    public Accumulator128 Low;
    public Accumulator64 High;

    public static int Columns => 192;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Accumulator192 Zero() => InstructionsHopper.Zero192();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Accumulator192 Multiply<TOperands>(Accumulator192 sums, ulong a, ulong b)
        where TOperands : struct, IWarpgroupOperands
        => TOperands.Multiply(sums, a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Accumulator192 Wait(Accumulator192 sums) => InstructionsHopper.Wait(sums, 0);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Accumulator64 Part(in Accumulator192 sums, int part)
        => part == 0 ? sums.Low.Low : part == 1 ? sums.Low.High : sums.High;
}
