using System.Runtime.CompilerServices;
using ILGPU;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsAmpere;

namespace MiniVlp.Kernels.Gpu.Cuda;

/// <summary>
/// C = epilogue(op(A) · op(B)) by mma.sync, for sm_80 and later. A group computes one block of C. Its threads copy steps of 128 bytes of both
/// operands into a ring in shared memory, some steps ahead (cp.async); its warps load fragments from there (ldmatrix), those of the next
/// instruction while the tensor cores work on the present ones. One barrier a step. Where the depth is not a multiple of a step, the part at
/// its end comes first and is filled with zeros, so that the loop has no condition on it.
/// </summary>
/// <remarks>
/// In shared memory, the 16-byte chunk c of a row r of 128 bytes lies at c ^ (r % 8), so that the eight rows that ldmatrix reads at once fall
/// into different banks. Rows, or steps, beyond the matrix are replaced by its last one: what comes of them is not stored.
/// </remarks>
/// <param name="A">Elements of A; as words, whatever their type.</param>
/// <param name="B">Elements of B.</param>
/// <param name="LeadingA">Bytes from one row of A to the next, as it is stored; a multiple of 16, as all strides and addresses are.</param>
/// <param name="LeadingB">Bytes from one row of B to the next.</param>
/// <param name="OuterStrideA">Bytes from one A to the next along the outer batch axis.</param>
/// <param name="InnerStrideA">Bytes from one A to the next along the inner batch axis.</param>
/// <param name="OuterStrideB">Bytes from one B to the next along the outer batch axis.</param>
/// <param name="InnerStrideB">Bytes from one B to the next along the inner batch axis.</param>
/// <param name="InnerBatch">Products along the inner batch axis.</param>
/// <param name="Products">Products along both batch axes.</param>
/// <param name="Depth">Elements that are summed over.</param>
/// <param name="PartDepth">Depth of one part, where the sum is cut into parts; a multiple of a step.</param>
/// <param name="Parts">Number of parts; each is a matrix C of its own.</param>
/// <param name="Epilogue">What happens to the sums.</param>
internal readonly record struct MmaMatMulKernel<TTile, TPrecision, TA, TB, [EpilogueActivations] TActivation>(
    ArrayView<float> A, ArrayView<float> B, int LeadingA, int LeadingB, long OuterStrideA, long InnerStrideA, long OuterStrideB, long InnerStrideB, int InnerBatch,
    int Products, int Depth, int PartDepth, int Parts, TensorCoreEpilogue<TActivation> Epilogue) : IGpuKernel
    where TTile : struct, ITensorCoreTile
    where TPrecision : struct, ITensorCorePrecision
    where TA : struct, IOperandLayout
    where TB : struct, IOperandLayout
    where TActivation : struct, IUnaryOp
{
    /// <summary>Blocks down C that are computed one after the other, so that those under way share what they read (in the second-level cache).</summary>
    private const int BlocksTogether = 8;

    public static int GroupSize => TTile.Rows / TTile.WarpSize * (TTile.Columns / TTile.WarpSize) * 32;

    public static int DynamicSharedBytes => TTile.Stages * StageBytes;

    public static int MinGroupsPerMultiprocessor => TTile.GroupsPerMultiprocessor;

    public static CudaLevel Level => CudaLevel.Sm80;

    public static bool IsHot => true;

    public static bool UsesTensorCores => true;

    /// <summary>Elements of one step.</summary>
    public static int Step => 128 / TPrecision.Bytes;

    private static int StageBytes => (TTile.Rows + TTile.Columns) * 128;

    private static int RightBytes => TTile.Rows * 128;

    /// <summary>Bytes that all threads copy at once.</summary>
    private static uint PassBytes => (uint)GroupSize * 16;

    public void Execute()
    {
        uint shared = DynamicSharedAddress(), thread = (uint)Group.IdxX, lane = thread & 31, warp = thread >> 5;
        const int WarpsDown = 2;
        uint warpRow = warp % WarpsDown * (uint)TTile.WarpSize, warpColumn = warp / WarpsDown * (uint)TTile.WarpSize;
        (int row, int column) = Block(Grid.IdxX);
        row *= TTile.Rows;
        column *= TTile.Columns;
        int product = Grid.IdxZ / Parts, part = Grid.IdxZ % Parts, outer = product / InnerBatch, inner = product % InnerBatch;
        int depth = Depth - (part * PartDepth);
        if (depth > PartDepth) depth = PartDepth;
        int steps = (depth + Step - 1) / Step;

        // Where this thread copies from: addresses that move on with the steps, and offsets that stay.
        long stepA = TA.IsStepContiguous ? (long)LeadingA * Step : 128L, stepB = TB.IsStepContiguous ? (long)LeadingB * Step : 128L;
        long firstStep = part * (PartDepth / Step);
        ulong a = GlobalAddress(A) + (ulong)((outer * OuterStrideA) + (inner * InnerStrideA) + (firstStep * stepA));
        ulong b = GlobalAddress(B) + (ulong)((outer * OuterStrideB) + (inner * InnerStrideB) + (firstStep * stepB));
        CopyOffsets fromA = Offsets<TA>(thread, row, Epilogue.Rows, LeadingA, TTile.Rows);
        CopyOffsets fromB = Offsets<TB>(thread, column, Epilogue.Columns, LeadingB, TTile.Columns);
        uint toA = shared + Destination<TA>(thread, TTile.Rows), toB = shared + (uint)RightBytes + Destination<TB>(thread, TTile.Columns);

        // The end of the depth first, then from its start on.
        uint write = 0;
        int issued = 1, left = depth - ((steps - 1) * Step);
        ulong lastA = a + (ulong)((steps - 1) * stepA), lastB = b + (ulong)((steps - 1) * stepB);
        CopyPart<TA>(toA, lastA, fromA, thread, left, TTile.Rows);
        CopyPart<TB>(toB, lastB, fromB, thread, left, TTile.Columns);
        CopyAsyncCommit();
        write += (uint)StageBytes;
        for (int stage = 1; stage < TTile.Stages - 1; stage++)
        {
            if (issued < steps)
            {
                Copy<TA>(toA + write, a, fromA, TTile.Rows);
                Copy<TB>(toB + write, b, fromB, TTile.Columns);
            }

            CopyAsyncCommit();
            issued++;
            a += (ulong)stepA;
            b += (ulong)stepB;
            write += (uint)StageBytes;
        }

        FragmentSource sourceA = SourceA(shared, lane, warpRow), sourceB = SourceB(shared + (uint)RightBytes, lane, warpColumn);
        WarpSums sums = default;
        Fragments a0 = default, a1 = default, b0 = default, b1 = default;
        uint read = 0;
        CopyAsyncWait(TTile.Stages - 2);
        Barrier();
        if (TPrecision.LoadsAhead)
        {
            LoadA(ref a0, sourceA, 0, 0);
            LoadB(ref b0, sourceB, 0, 0);
        }

        for (int step = 0; step < steps; step++)
        {
            if (TPrecision.LoadsAhead)
            {
                LoadA(ref a1, sourceA, read, 1);
                LoadB(ref b1, sourceB, read, 1);
            }

            if (issued < steps)
            {
                Copy<TA>(toA + write, a, fromA, TTile.Rows);
                Copy<TB>(toB + write, b, fromB, TTile.Columns);
            }

            CopyAsyncCommit();
            issued++;
            a += (ulong)stepA;
            b += (ulong)stepB;
            write += (uint)StageBytes;
            if (write == (uint)DynamicSharedBytes) write = 0;
            if (!TPrecision.LoadsAhead)
            {
                LoadAndMultiply(ref sums, sourceA, sourceB, read, 0);
                LoadAndMultiply(ref sums, sourceA, sourceB, read, 1);
                LoadAndMultiply(ref sums, sourceA, sourceB, read, 2);
                LoadAndMultiply(ref sums, sourceA, sourceB, read, 3);
                read += (uint)StageBytes;
                if (read == (uint)DynamicSharedBytes) read = 0;
                CopyAsyncWait(TTile.Stages - 2);
                Barrier();
                continue;
            }

            Multiply(ref sums, a0, b0);
            LoadA(ref a0, sourceA, read, 2);
            LoadB(ref b0, sourceB, read, 2);
            Multiply(ref sums, a1, b1);
            LoadA(ref a1, sourceA, read, 3);
            LoadB(ref b1, sourceB, read, 3);
            Multiply(ref sums, a0, b0);
            read += (uint)StageBytes;
            if (read == (uint)DynamicSharedBytes) read = 0;
            CopyAsyncWait(TTile.Stages - 2);
            Barrier();
            if (step + 1 < steps)
            {
                LoadA(ref a0, sourceA, read, 0);
                LoadB(ref b0, sourceB, read, 0);
            }

            Multiply(ref sums, a1, b1);
        }

        CopyAsyncWait(0);
        Barrier();
        uint staged = shared + (warp * (uint)(TTile.WarpSize * TTile.WarpSize * 4));
        StageSums(sums, staged, lane);
        WarpBarrier();
        long start = Pin((((long)part * Products) + product) * Epilogue.Rows * Epilogue.Columns);
        Epilogue.Finish(staged, TTile.WarpSize, TTile.WarpSize == 64 ? 6 : 5, start, row + (int)warpRow, column + (int)warpColumn, lane);
    }

    /// <summary>Row and column of a block: bands of some blocks down C, and down first within a band.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private (int Row, int Column) Block(int index)
    {
        int down = (Epilogue.Rows + TTile.Rows - 1) / TTile.Rows, across = (Epilogue.Columns + TTile.Columns - 1) / TTile.Columns;
        int band = index / (BlocksTogether * across), first = band * BlocksTogether, height = down - first < BlocksTogether ? down - first : BlocksTogether;
        int place = index - (first * across);
        return (first + (place % height), place / height);
    }

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

    /// <summary>Loads the fragments of A for one of the four instructions that a step is deep.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void LoadA(ref Fragments f, FragmentSource source, uint stage, uint quarter)
    {
        if (!TA.IsStepContiguous)
        {
            Load(ref f, source, stage, quarter);
        }
        else if (TPrecision.Bytes == 2)
        {
            LoadTransposed(ref f, source, stage, quarter, TTile.Rows);
        }
        else
        {
            uint p = source.Address + stage + (quarter * 8 * (uint)TTile.Rows * 4), deep = 4 * (uint)TTile.Rows * 4;
            f.F0 = WordsA(p, deep, source.Chunk, 0);
            f.F1 = WordsA(p, deep, source.Chunk, 64);
            if (TTile.WarpSize <= 32) return;
            f.F2 = WordsA(p, deep, source.Chunk, 128);
            f.F3 = WordsA(p, deep, source.Chunk, 192);
        }
    }

    /// <summary>Loads the fragments of B for one of the four instructions that a step is deep.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void LoadB(ref Fragments f, FragmentSource source, uint stage, uint quarter)
    {
        if (!TB.IsStepContiguous)
        {
            Load(ref f, source, stage, quarter);
        }
        else if (TPrecision.Bytes == 2)
        {
            LoadTransposed(ref f, source, stage, quarter, TTile.Columns);
        }
        else
        {
            uint p = source.Address + stage + (quarter * 8 * (uint)TTile.Columns * 4), deep = 4 * (uint)TTile.Columns * 4;
            f.F0 = WordsB(p, deep, source.Chunk, 0);
            f.F1 = WordsB(p, deep, source.Chunk, 64);
            if (TTile.WarpSize <= 32) return;
            f.F2 = WordsB(p, deep, source.Chunk, 128);
            f.F3 = WordsB(p, deep, source.Chunk, 192);
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

    /// <summary>16 rows of A: rows g and g + 8 at step q, then at step q + 4.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static UInt4 WordsA(uint p, uint deep, uint chunk, uint at)
    {
        UInt4 words = default;
        words.X = TPrecision.Round(LoadShared(p + (chunk ^ at)));
        words.Y = TPrecision.Round(LoadShared(p + (chunk ^ (at + 32))));
        words.Z = TPrecision.Round(LoadShared(p + deep + (chunk ^ at)));
        words.W = TPrecision.Round(LoadShared(p + deep + (chunk ^ (at + 32))));
        return words;
    }

    /// <summary>16 columns of B: steps q and q + 4 of column g, then of column g + 8.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static UInt4 WordsB(uint p, uint deep, uint chunk, uint at)
    {
        UInt4 words = default;
        words.X = TPrecision.Round(LoadShared(p + (chunk ^ at)));
        words.Y = TPrecision.Round(LoadShared(p + deep + (chunk ^ at)));
        words.Z = TPrecision.Round(LoadShared(p + (chunk ^ (at + 32))));
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
        LoadA(ref a, sourceA, stage, quarter);
        LoadB(ref b, sourceB, stage, quarter);
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

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StageSums(in WarpSums sums, uint shared, uint lane)
    {
        if (TTile.WarpSize <= 32)
        {
            TensorCoreEpilogue<TActivation>.Stage32(sums.R0.C0, sums.R0.C1, sums.R0.C2, sums.R0.C3, shared, 128, 0, lane);
            TensorCoreEpilogue<TActivation>.Stage32(sums.R1.C0, sums.R1.C1, sums.R1.C2, sums.R1.C3, shared + 2048, 128, 0, lane);
        }
        else
        {
            TensorCoreEpilogue<TActivation>.Stage(sums.R0, shared, lane);
            TensorCoreEpilogue<TActivation>.Stage(sums.R1, shared + 4096, lane);
            TensorCoreEpilogue<TActivation>.Stage(sums.R2, shared + 8192, lane);
            TensorCoreEpilogue<TActivation>.Stage(sums.R3, shared + 12288, lane);
        }
    }
}
