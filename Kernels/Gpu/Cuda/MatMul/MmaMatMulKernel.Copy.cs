using System.Runtime.CompilerServices;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsAmpere;

namespace MiniVlp.Kernels.Gpu.Cuda;

/// <content>From global to shared memory.</content>
internal readonly partial record struct MmaMatMulKernel<TTile, TPrecision, TA, TB, TActivation>
{
    /// <summary>
    /// Byte offsets of the chunks of 16 bytes that a thread copies in a step: up to eight, one a pass. Where rows are steps of the sum, they are
    /// evenly spaced: the first, and the distance.
    /// </summary>
    private struct CopyOffsets
    {
        public uint O0, O1, O2, O3, O4, O5, O6, O7, Distance;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static CopyOffsets Offsets<TLayout>(uint thread, int first, int count, int leading, int size)
        where TLayout : struct, IOperandLayout
    {
        CopyOffsets offsets = default;
        if (TLayout.IsStepContiguous)
        {
            // A row of the tile is one step of the sum, in chunks of 16 bytes; a chunk beyond the matrix reads the last one of it.
            uint chunks = (uint)(size * TPrecision.Bytes / 16), at = (uint)(first * TPrecision.Bytes) + (thread % chunks * 16), last = (uint)leading - 16;
            if (at > last) at = last;
            offsets.O0 = (thread / chunks * (uint)leading) + at;
            offsets.Distance = (uint)GroupSize / chunks * (uint)leading;
        }
        else
        {
            int down = GroupSize / 8, row = first + (int)(thread >> 3), last = count - 1;
            uint at = (thread & 7) * 16;
            offsets.O0 = RowOffset(row, last, leading) + at;
            offsets.O1 = RowOffset(row + down, last, leading) + at;
            offsets.O2 = RowOffset(row + (2 * down), last, leading) + at;
            offsets.O3 = RowOffset(row + (3 * down), last, leading) + at;
            offsets.O4 = RowOffset(row + (4 * down), last, leading) + at;
            offsets.O5 = RowOffset(row + (5 * down), last, leading) + at;
            offsets.O6 = RowOffset(row + (6 * down), last, leading) + at;
            offsets.O7 = RowOffset(row + (7 * down), last, leading) + at;
        }

        return offsets;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint RowOffset(int row, int last, int leading) => (uint)(row < last ? row : last) * (uint)leading;

    /// <summary>Where a thread copies its chunks to, in the first stage.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Destination<TLayout>(uint thread, int size)
        where TLayout : struct, IOperandLayout
    {
        if (!TLayout.IsStepContiguous) return ((thread >> 3) * 128) + (((thread & 7) ^ ((thread >> 3) & 7)) << 4);
        uint chunks = (uint)(size * TPrecision.Bytes / 16);
        return (thread / chunks * chunks * 16) + (((thread % chunks) ^ StepSwizzle(thread / chunks)) << 4);
    }

    /// <summary>
    /// What moves the chunks of one step of the sum: ldmatrix reads 8 steps at once; words of float32 are read one by one, from 4 steps and two
    /// chunks at once.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint StepSwizzle(uint step) => TPrecision.Bytes == 2 ? step & 7 : (step & 3) << 1;

    /// <summary>The address of one of the chunks.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Source<TLayout>(ulong from, uint offset, in CopyOffsets offsets, uint pass)
        where TLayout : struct, IOperandLayout
        => TLayout.IsStepContiguous ? from + offsets.O0 + (pass * (ulong)offsets.Distance) : from + offset;

    /// <summary>Copies the thread's chunks of one step.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Copy<TLayout>(uint to, ulong from, in CopyOffsets offsets, int size)
        where TLayout : struct, IOperandLayout
    {
        CopyAsync(to, from + offsets.O0);
        CopyAsync(to + PassBytes, Source<TLayout>(from, offsets.O1, offsets, 1));
        CopyAsync(to + (2 * PassBytes), Source<TLayout>(from, offsets.O2, offsets, 2));
        CopyAsync(to + (3 * PassBytes), Source<TLayout>(from, offsets.O3, offsets, 3));
        if (size * 8 / GroupSize <= 4) return;
        CopyAsync(to + (4 * PassBytes), Source<TLayout>(from, offsets.O4, offsets, 4));
        CopyAsync(to + (5 * PassBytes), Source<TLayout>(from, offsets.O5, offsets, 5));
        CopyAsync(to + (6 * PassBytes), Source<TLayout>(from, offsets.O6, offsets, 6));
        CopyAsync(to + (7 * PassBytes), Source<TLayout>(from, offsets.O7, offsets, 7));
    }

    /// <summary>Copies the thread's chunks of a step of which only the first <paramref name="left"/> elements exist; zeros follow.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void CopyPart<TLayout>(uint to, ulong from, in CopyOffsets offsets, uint thread, int left, int size)
        where TLayout : struct, IOperandLayout
    {
        int down = 0, room;
        if (TLayout.IsStepContiguous)
        {
            int chunks = size * TPrecision.Bytes / 16;
            down = GroupSize / chunks * 16;
            room = (left - ((int)thread / chunks)) * 16;
        }
        else
        {
            room = (left * TPrecision.Bytes) - ((int)(thread & 7) * 16);
        }

        CopyAsync(to, from + offsets.O0, Bytes(room));
        CopyAsync(to + PassBytes, Source<TLayout>(from, offsets.O1, offsets, 1), Bytes(room - down));
        CopyAsync(to + (2 * PassBytes), Source<TLayout>(from, offsets.O2, offsets, 2), Bytes(room - (2 * down)));
        CopyAsync(to + (3 * PassBytes), Source<TLayout>(from, offsets.O3, offsets, 3), Bytes(room - (3 * down)));
        if (size * 8 / GroupSize <= 4) return;
        CopyAsync(to + (4 * PassBytes), Source<TLayout>(from, offsets.O4, offsets, 4), Bytes(room - (4 * down)));
        CopyAsync(to + (5 * PassBytes), Source<TLayout>(from, offsets.O5, offsets, 5), Bytes(room - (5 * down)));
        CopyAsync(to + (6 * PassBytes), Source<TLayout>(from, offsets.O6, offsets, 6), Bytes(room - (6 * down)));
        CopyAsync(to + (7 * PassBytes), Source<TLayout>(from, offsets.O7, offsets, 7), Bytes(room - (7 * down)));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Bytes(int room) => (uint)(room < 0 ? 0 : room < 16 ? room : 16);
}
