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
internal readonly partial record struct MmaMatMulKernel<TTile, TPrecision, TA, TB, [EpilogueActivations] TActivation>(
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
            Load<TA>(ref a0, sourceA, 0, 0, TTile.Rows, isA: true);
            Load<TB>(ref b0, sourceB, 0, 0, TTile.Columns, isA: false);
        }

        for (int step = 0; step < steps; step++)
        {
            if (TPrecision.LoadsAhead)
            {
                Load<TA>(ref a1, sourceA, read, 1, TTile.Rows, isA: true);
                Load<TB>(ref b1, sourceB, read, 1, TTile.Columns, isA: false);
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
            Load<TA>(ref a0, sourceA, read, 2, TTile.Rows, isA: true);
            Load<TB>(ref b0, sourceB, read, 2, TTile.Columns, isA: false);
            Multiply(ref sums, a1, b1);
            Load<TA>(ref a1, sourceA, read, 3, TTile.Rows, isA: true);
            Load<TB>(ref b1, sourceB, read, 3, TTile.Columns, isA: false);
            Multiply(ref sums, a0, b0);
            read += (uint)StageBytes;
            if (read == (uint)DynamicSharedBytes) read = 0;
            CopyAsyncWait(TTile.Stages - 2);
            Barrier();
            if (step + 1 < steps)
            {
                Load<TA>(ref a0, sourceA, read, 0, TTile.Rows, isA: true);
                Load<TB>(ref b0, sourceB, read, 0, TTile.Columns, isA: false);
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
