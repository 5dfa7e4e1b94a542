using System.Runtime.CompilerServices;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsAmpere;

namespace MiniVlp.Kernels.Gpu.Cuda;

/// <content>From shared memory through the tensor cores.</content>
internal readonly partial record struct MmaMatMulKernel<TTile, TPrecision, TA, TB, TActivation>
{
    /// <summary>Where a lane reads its part of the fragments: an address, and what its chunk is combined with.</summary>
    private struct FragmentSource
    {
        public uint Address, Chunk;
    }

    /// <summary>What a warp multiplies in one go: 64 (or 32) rows or columns, 32 bytes deep; four times 16 rows or columns.</summary>
    private struct Fragments
    {
        public UInt4 F0, F1, F2, F3;
    }

    /// <summary>64 x 64 sums of a warp, or 32 x 32 in the upper left of it.</summary>
    private struct WarpSums
    {
        public Accumulator64 R0, R1, R2, R3;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static FragmentSource SourceA(uint shared, uint lane, uint row)
    {
        FragmentSource source = default;
        if (TA.IsStepContiguous) return StepSource(shared, lane, row, TTile.Rows, (lane & 7) + ((lane >> 4) << 3), (lane >> 3) & 1);
        row += lane & 15;
        source.Address = shared + (row * 128);
        source.Chunk = ((lane >> 4) ^ (row & 7)) << 4;
        return source;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static FragmentSource SourceB(uint shared, uint lane, uint column)
    {
        FragmentSource source = default;
        if (TB.IsStepContiguous) return StepSource(shared, lane, column, TTile.Columns, (lane & 7) + (((lane >> 3) & 1) << 3), lane >> 4);
        column += (lane & 7) + ((lane >> 4) << 3);
        source.Address = shared + (column * 128);
        source.Chunk = (((lane >> 3) & 1) ^ (column & 7)) << 4;
        return source;
    }

    /// <summary>An operand whose rows in shared memory are steps: for ldmatrix.trans a lane points to a step and a chunk of 8; words are read as they are multiplied.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static FragmentSource StepSource(uint shared, uint lane, uint first, int size, uint step, uint chunk)
    {
        FragmentSource source = default;
        if (TPrecision.Bytes == 4)
        {
            step = lane & 3;
            source.Address = shared + (step * (uint)size * 4) + ((first / 32) * 128) + (((lane >> 2) & 3) << 2);
            source.Chunk = ((((first % 32) / 4) + (lane >> 4)) ^ (step << 1)) << 4;
        }
        else
        {
            source.Address = shared + (step * (uint)size * 2) + ((first / 64) * 128);
            source.Chunk = ((((first % 64) / 8) + chunk) ^ (step & 7)) << 4;
        }

        return source;
    }

    /// <summary>Loads the fragments of an operand for one of the four instructions that a step is deep.</summary>
    /// <param name="f">What is loaded.</param>
    /// <param name="source">Where this lane reads.</param>
    /// <param name="stage">Offset of the stage.</param>
    /// <param name="quarter">Which instruction.</param>
    /// <param name="size">Rows of A, or columns of B, in a block.</param>
    /// <param name="isA">Whether the second word of a fragment is 8 rows further on (A) or 4 steps (B).</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Load<TLayout>(ref Fragments f, FragmentSource source, uint stage, uint quarter, int size, bool isA)
        where TLayout : struct, IOperandLayout
    {
        if (!TLayout.IsStepContiguous)
        {
            Load(ref f, source, stage, quarter);
        }
        else if (TPrecision.Bytes == 2)
        {
            LoadTransposed(ref f, source, stage, quarter, size);
        }
        else
        {
            uint p = source.Address + stage + (quarter * 8 * (uint)size * 4), deep = 4 * (uint)size * 4;
            f.F0 = Words(p, deep, source.Chunk, 0, isA);
            f.F1 = Words(p, deep, source.Chunk, 64, isA);
            if (TTile.WarpSize <= 32) return;
            f.F2 = Words(p, deep, source.Chunk, 128, isA);
            f.F3 = Words(p, deep, source.Chunk, 192, isA);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Load(ref Fragments f, FragmentSource source, uint stage, uint quarter)
    {
        uint p = source.Address + stage + (source.Chunk ^ (quarter * 32));
        f.F0 = Round(LoadMatrices(p));
        f.F1 = Round(LoadMatrices(p + 2048));
        if (TTile.WarpSize <= 32) return;
        f.F2 = Round(LoadMatrices(p + 4096));
        f.F3 = Round(LoadMatrices(p + 6144));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void LoadTransposed(ref Fragments f, FragmentSource source, uint stage, uint quarter, int size)
    {
        uint p = source.Address + stage + (quarter * 16 * (uint)size * 2);
        f.F0 = LoadMatricesTransposed(p + source.Chunk);
        f.F1 = LoadMatricesTransposed(p + (source.Chunk ^ 32));
        if (TTile.WarpSize <= 32) return;
        f.F2 = LoadMatricesTransposed(p + (source.Chunk ^ 64));
        f.F3 = LoadMatricesTransposed(p + (source.Chunk ^ 96));
    }

    /// <summary>16 rows of A: rows g and g + 8 at step q, then at step q + 4. Or 16 columns of B: steps q and q + 4 of column g, then of column g + 8.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static UInt4 Words(uint p, uint deep, uint chunk, uint at, bool isA)
    {
        uint along = TPrecision.Round(LoadShared(p + (chunk ^ (at + 32)))), below = TPrecision.Round(LoadShared(p + deep + (chunk ^ at)));
        UInt4 words = default;
        words.X = TPrecision.Round(LoadShared(p + (chunk ^ at)));
        words.Y = isA ? along : below;
        words.Z = isA ? below : along;
        words.W = TPrecision.Round(LoadShared(p + deep + (chunk ^ (at + 32))));
        return words;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static UInt4 Round(UInt4 words)
    {
        words.X = TPrecision.Round(words.X);
        words.Y = TPrecision.Round(words.Y);
        words.Z = TPrecision.Round(words.Z);
        words.W = TPrecision.Round(words.W);
        return words;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void LoadAndMultiply(ref WarpSums sums, FragmentSource sourceA, FragmentSource sourceB, uint stage, uint quarter)
    {
        Fragments a = default, b = default;
        Load<TA>(ref a, sourceA, stage, quarter, TTile.Rows, isA: true);
        Load<TB>(ref b, sourceB, stage, quarter, TTile.Columns, isA: false);
        Multiply(ref sums, a, b);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Multiply(ref WarpSums sums, in Fragments a, in Fragments b)
    {
        MultiplyRow(ref sums.R0, a.F0, b);
        MultiplyRow(ref sums.R1, a.F1, b);
        if (TTile.WarpSize <= 32) return;
        MultiplyRow(ref sums.R2, a.F2, b);
        MultiplyRow(ref sums.R3, a.F3, b);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void MultiplyRow(ref Accumulator64 sums, UInt4 a, in Fragments b)
    {
        sums.C0 = TPrecision.Multiply(sums.C0, a, b.F0.X, b.F0.Y);
        sums.C1 = TPrecision.Multiply(sums.C1, a, b.F0.Z, b.F0.W);
        sums.C2 = TPrecision.Multiply(sums.C2, a, b.F1.X, b.F1.Y);
        sums.C3 = TPrecision.Multiply(sums.C3, a, b.F1.Z, b.F1.W);
        if (TTile.WarpSize <= 32) return;
        sums.C4 = TPrecision.Multiply(sums.C4, a, b.F2.X, b.F2.Y);
        sums.C5 = TPrecision.Multiply(sums.C5, a, b.F2.Z, b.F2.W);
        sums.C6 = TPrecision.Multiply(sums.C6, a, b.F3.X, b.F3.Y);
        sums.C7 = TPrecision.Multiply(sums.C7, a, b.F3.Z, b.F3.W);
    }
}
