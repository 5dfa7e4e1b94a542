using System.Runtime.CompilerServices;

namespace MiniVlp.Kernels.Gpu.Cuda;

// What one thread holds in registers, as structs of named fields: ILGPU takes them apart into registers, and neither arrays nor indices would be.

/// <summary>Two floats.</summary>
internal struct Float2
{
    public float X, Y;
}

/// <summary>Two 32-bit words.</summary>
internal struct UInt2
{
    public uint X, Y;
}

/// <summary>Four 32-bit words: 128 bits of memory, or what a thread holds of a 16 x 16 operand of bfloat16.</summary>
internal struct UInt4
{
    public uint X, Y, Z, W;
}

/// <summary>What is done to every 8 columns of an accumulator: the loop that registers have no index for is unrolled in one place.</summary>
internal interface IColumnsStep
{
    /// <summary>Works on what a thread holds of 8 columns.</summary>
    /// <param name="sums">The accumulators.</param>
    /// <param name="column">The first of the columns, a constant once it is inlined.</param>
    void Apply(ref Float4 sums, int column);
}

/// <summary>The same for two accumulators of one shape, of which the second is read.</summary>
internal interface IColumnsPairStep
{
    /// <summary>Works on what a thread holds of 8 columns of both.</summary>
    /// <param name="sums">Accumulators of the first.</param>
    /// <param name="others">Accumulators of the second.</param>
    /// <param name="column">The first of the columns, a constant once it is inlined.</param>
    void Apply(ref Float4 sums, Float4 others, int column);
}

/// <summary>
/// Accumulators of 16 rows x 32 columns a warp: one <see cref="Float4"/> for each 8 columns, in which a thread holds (g, 2q), (g, 2q + 1),
/// (g + 8, 2q) and (g + 8, 2q + 1) with g = lane / 4 and q = lane % 4.
/// </summary>
internal struct Accumulator32
{
    public Float4 C0, C1, C2, C3;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void ForEach<TStep>(ref Accumulator32 sums, ref TStep step)
        where TStep : struct, IColumnsStep
    {
        step.Apply(ref sums.C0, 0);
        step.Apply(ref sums.C1, 8);
        step.Apply(ref sums.C2, 16);
        step.Apply(ref sums.C3, 24);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void ForEach<TStep>(ref Accumulator32 sums, in Accumulator32 others, TStep step)
        where TStep : struct, IColumnsPairStep
    {
        step.Apply(ref sums.C0, others.C0, 0);
        step.Apply(ref sums.C1, others.C1, 8);
        step.Apply(ref sums.C2, others.C2, 16);
        step.Apply(ref sums.C3, others.C3, 24);
    }
}

/// <summary>Accumulators of 16 rows x 64 columns a warp.</summary>
internal struct Accumulator64
{
    public Float4 C0, C1, C2, C3, C4, C5, C6, C7;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void ForEach<TStep>(ref Accumulator64 sums, ref TStep step)
        where TStep : struct, IColumnsStep
    {
        step.Apply(ref sums.C0, 0);
        step.Apply(ref sums.C1, 8);
        step.Apply(ref sums.C2, 16);
        step.Apply(ref sums.C3, 24);
        step.Apply(ref sums.C4, 32);
        step.Apply(ref sums.C5, 40);
        step.Apply(ref sums.C6, 48);
        step.Apply(ref sums.C7, 56);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void ForEach<TStep>(ref Accumulator64 sums, in Accumulator64 others, TStep step)
        where TStep : struct, IColumnsPairStep
    {
        step.Apply(ref sums.C0, others.C0, 0);
        step.Apply(ref sums.C1, others.C1, 8);
        step.Apply(ref sums.C2, others.C2, 16);
        step.Apply(ref sums.C3, others.C3, 24);
        step.Apply(ref sums.C4, others.C4, 32);
        step.Apply(ref sums.C5, others.C5, 40);
        step.Apply(ref sums.C6, others.C6, 48);
        step.Apply(ref sums.C7, others.C7, 56);
    }
}

/// <summary>Accumulators of 16 rows x 80 columns a warp.</summary>
internal struct Accumulator80
{
    public Accumulator64 Low;
    public Float4 C8, C9;
}

/// <summary>Accumulators of 16 rows x 128 columns a warp.</summary>
internal struct Accumulator128
{
    public Accumulator64 Low, High;

    /// <summary>The first columns that a head has; the others are not touched.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void ForEach<THead, TStep>(ref Accumulator128 sums, ref TStep step)
        where THead : struct, IHeadSize
        where TStep : struct, IColumnsStep
    {
        step.Apply(ref sums.Low.C0, 0);
        step.Apply(ref sums.Low.C1, 8);
        step.Apply(ref sums.Low.C2, 16);
        step.Apply(ref sums.Low.C3, 24);
        if (THead.Size > 32)
        {
            step.Apply(ref sums.Low.C4, 32);
            step.Apply(ref sums.Low.C5, 40);
            step.Apply(ref sums.Low.C6, 48);
            step.Apply(ref sums.Low.C7, 56);
        }

        if (THead.Size > 64)
        {
            step.Apply(ref sums.High.C0, 64);
            step.Apply(ref sums.High.C1, 72);
        }

        if (THead.Size > 80)
        {
            step.Apply(ref sums.High.C2, 80);
            step.Apply(ref sums.High.C3, 88);
            step.Apply(ref sums.High.C4, 96);
            step.Apply(ref sums.High.C5, 104);
            step.Apply(ref sums.High.C6, 112);
            step.Apply(ref sums.High.C7, 120);
        }
    }
}
