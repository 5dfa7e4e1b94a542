using System.Runtime.CompilerServices;
using ILGPU;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsAmpere;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsHopper;

namespace MiniVlp.Kernels.Gpu.Cuda;

/// <summary>
/// C = epilogue(op(A) · op(B)) in bfloat16 or TF32 by wgmma, for sm_90a. A group of three warpgroups stays on its multiprocessor and takes one
/// block of C after the other. Warpgroup 0 gives its registers away and one thread of it asks the TMA unit for steps of 128 bytes of depth, some
/// of which have room; warpgroups 1 and 2 multiply 64 rows each, straight from shared memory, and hand a step back when the next one is under
/// way. While they finish a block, the copies for the next one arrive. What the two share, and what a cluster shares, is in
/// <see cref="IWarpgroupBlocks"/>.
/// </summary>
/// <remarks>
/// Full and empty are one barrier for each stage: full[s] counts the producer and the bytes that arrive, empty[s] the consuming warps, of all
/// groups that a copy goes to. Where warpgroups have blocks of their own, turn[h] lets warpgroup h begin when the other one has seen all steps of its
/// block arrive: a wait by parity knows a phase from the one after it, and not from earlier ones. Beyond the matrices TMA writes zeros, so that depth needs no special care; rows and columns beyond C are not stored.
/// </remarks>
/// <param name="MapA">Tensor map of A: (columns as stored, rows as stored, products), boxes of 128 bytes x 128 rows, or x 64 where steps are contiguous.</param>
/// <param name="MapB">Tensor map of B: boxes of 128 bytes x 256 rows, or x 64.</param>
/// <param name="SharesA">1: one A for all products.</param>
/// <param name="SharesB">1: one B for all products.</param>
/// <param name="Products">Number of products.</param>
/// <param name="Depth">Elements that are summed over.</param>
/// <param name="PartDepth">Depth of one part, where the sum is cut into parts; a multiple of a step.</param>
/// <param name="Parts">Number of parts; each is a matrix C of its own.</param>
/// <param name="Epilogue">What happens to the sums.</param>
internal readonly partial record struct WgmmaMatMulKernel<TBlocks, TOperands, [EpilogueActivations] TActivation>(
    ArrayView<float> MapA, ArrayView<float> MapB, int SharesA, int SharesB, int Products, int Depth, int PartDepth, int Parts,
    TensorCoreEpilogue<TActivation> Epilogue) : IGpuKernel
    where TBlocks : struct, IWarpgroupBlocks
    where TOperands : struct, IWarpgroupOperands
    where TActivation : struct, IUnaryOp
{
    /// <summary>Rows of the box of A, as stored.</summary>
    public static int BoxRowsA => TOperands.IsStepContiguousA ? Step : BlockRows;

    /// <summary>Rows of the box of B, as stored: what one group of a cluster copies.</summary>
    public static int BoxRowsB => TOperands.IsStepContiguousB ? Step : BlockColumns / TBlocks.ClusterSize;

    /// <summary>Elements of a step: 128 bytes.</summary>
    public static int Step => TOperands.IsTensorFloat32 ? 32 : 64;

    /// <summary>Rows of a block.</summary>
    public static int BlockRows => TBlocks.AreOwn ? 64 : 128;

    /// <summary>Rows of the blocks of a cluster.</summary>
    public static int ClusterRows => BlockRows * TBlocks.ClusterSize;

    /// <summary>Columns of a block.</summary>
    public const int BlockColumns = 256;

    private const int BlocksTogether = 8, BoxBytes = 64 * 128, ColumnsBytes = BlockColumns * 128, Warps = 8;

    /// <summary>Steps that have room.</summary>
    private static int Stages => TBlocks.AreOwn ? 5 : 4;

    private static int RowsBytes => BlockRows * 128;

    private static int StageBytes => RowsBytes + ColumnsBytes;

    /// <summary>Where a consuming warp stages 16 rows of sums, 64 or 32 columns at a time.</summary>
    private static int StagingBytes => TBlocks.AreOwn ? 16 * 32 * 4 : 16 * 64 * 4;

    public static int GroupSize => 384;

    public static int DynamicSharedBytes => (Stages * StageBytes) + (Warps * StagingBytes) + (2 * Stages * 8) + (2 * 8);

    public static int MinGroupsPerMultiprocessor => 1;

    public static int ClusterSize => TBlocks.ClusterSize;

    public static CudaLevel Level => CudaLevel.Sm90a;

    public static bool IsHot => true;

    public static bool UsesTensorCores => true;

    public void Execute()
    {
        uint shared = DynamicSharedAddress(), full = shared + (uint)((Stages * StageBytes) + (Warps * StagingBytes)), empty = full + (uint)(8 * Stages);
        int thread = Group.IdxX;
        if (thread == 0)
        {
            FenceTensorMap(GlobalAddress(MapA));
            FenceTensorMap(GlobalAddress(MapB));
            for (uint stage = 0; stage < Stages; stage++)
            {
                BarrierInitialize(full + (8 * stage), 1);
                BarrierInitialize(empty + (8 * stage), (uint)((TBlocks.AreOwn ? Warps / 2 : Warps) * TBlocks.ClusterSize));
            }

            BarrierInitialize(empty + (uint)(8 * Stages), Warps / 2);
            BarrierInitialize(empty + (uint)(8 * Stages) + 8, Warps / 2);
            FenceBarrierInitialization();
        }

        if (TBlocks.ClusterSize > 1) ClusterBarrier();
        else Barrier();
        if (thread < 128)
        {
            ReleaseRegisters(40);
            if (thread == 0) Produce(shared, full, empty);
        }
        else
        {
            TakeRegisters(232);
            Consume(shared, full, empty, (uint)thread - 128);
        }

        // Others copy into this group's memory and arrive at its barriers as long as they work.
        if (TBlocks.ClusterSize > 1) ClusterBarrier();
    }

    /// <summary>Two warpgroups: multiply what has arrived, hand the room back, and finish the block.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Consume(uint shared, uint full, uint empty, uint thread)
    {
        uint lane = thread & 31, warp = thread >> 5, half = warp >> 2, stage = 0, phase = 0;

        // With depth contiguous, instructions are 32 bytes apart and rows of 128 bytes make one atom of 8 after the other. With steps contiguous, they
        // are 16 rows apart, and 64 rows or columns make one box.
        ulong a = Descriptor(shared + (TBlocks.AreOwn ? 0 : half * BoxBytes), BoxBytes, 1024), b = Descriptor(shared + (uint)RowsBytes, BoxBytes, 1024);
        ulong nextA = TOperands.IsStepContiguousA ? 2048ul >> 4 : 32ul >> 4, nextB = TOperands.IsStepContiguousB ? 2048ul >> 4 : 32ul >> 4;
        uint staged = shared + (uint)(Stages * StageBytes) + (warp * (uint)StagingBytes);
        int index = FirstIndex, stride = IndexStride, rowInBlock = (int)((TBlocks.AreOwn ? warp & 3 : warp) * 16);
        uint turn = empty + (uint)(8 * Stages), turnPhase = half ^ 1;
        if (TBlocks.AreOwn && half == 1)
        {
            Skip(index, ref stage, ref phase);
            index += stride;
        }

        for (; index < Indices; index += TBlocks.AreOwn ? 2 * stride : stride)
        {
            Place place = Locate(index);
            Accumulator256 sums = Zero256();
            uint previous = 0;
            if (TBlocks.AreOwn)
            {
                BarrierWait(turn + (8 * half), turnPhase);
                turnPhase ^= 1;
            }

            for (int k = place.FirstDepth; k < place.EndDepth; k += Step)
            {
                BarrierWait(full + (8 * stage), phase);
                ulong at = stage * (ulong)(StageBytes >> 4);
                Fence();
                sums = TOperands.Multiply(sums, a + at, b + at);
                sums = TOperands.Multiply(sums, a + at + nextA, b + at + nextB);
                sums = TOperands.Multiply(sums, a + at + (2 * nextA), b + at + (2 * nextB));
                sums = TOperands.Multiply(sums, a + at + (3 * nextA), b + at + (3 * nextB));
                Commit();

                // One group stays under way; the one before it is done, and its room is free.
                Wait(1);
                if (k > place.FirstDepth) HandBack(empty + (8 * previous), lane);
                previous = stage;
                stage++;
                if (stage == Stages)
                {
                    stage = 0;
                    phase ^= 1;
                }
            }

            if (TBlocks.AreOwn && lane == 0) BarrierArrive(turn + (8 * (half ^ 1)));
            sums = Wait(sums, 0);
            HandBack(empty + (8 * previous), lane);
            Finish(sums, staged, place, place.Row + rowInBlock, lane);
            if (TBlocks.AreOwn && index + stride < Indices) Skip(index + stride, ref stage, ref phase);
        }
    }

    /// <summary>A warp is done with a stage: it tells all groups that copy into it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void HandBack(uint empty, uint lane)
    {
        if (TBlocks.ClusterSize == 1)
        {
            if (lane == 0) BarrierArrive(empty);
        }
        else
        {
            if (lane < TBlocks.ClusterSize) BarrierArrive(empty, lane);
        }
    }

    /// <summary>Steps over the stages of a block of the other warpgroup.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Skip(int index, ref uint stage, ref uint phase)
    {
        Place place = Locate(index);
        stage += (uint)((place.EndDepth - place.FirstDepth + Step - 1) / Step);
        phase ^= (stage / (uint)Stages) & 1;
        stage %= (uint)Stages;
    }

    /// <summary>Finishes 16 rows x 256 columns of a warp.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Finish(in Accumulator256 sums, uint staged, in Place place, int row, uint lane)
    {
        FinishPart(sums.Low.Low, staged, place.Start, row, place.Column, lane);
        FinishPart(sums.Low.High, staged, place.Start, row, place.Column + 64, lane);
        FinishPart(sums.High.Low, staged, place.Start, row, place.Column + 128, lane);
        FinishPart(sums.High.High, staged, place.Start, row, place.Column + 192, lane);
    }

    /// <summary>Finishes 16 rows x 64 columns of a warp.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void FinishPart(in Accumulator64 sums, uint staged, long start, int row, int column, uint lane)
    {
        if (TBlocks.AreOwn)
        {
            FinishPart32(sums.C0, sums.C1, sums.C2, sums.C3, staged, start, row, column, lane);
            FinishPart32(sums.C4, sums.C5, sums.C6, sums.C7, staged, start, row, column + 32, lane);
            return;
        }

        TensorCoreEpilogue<TActivation>.Stage(sums, staged, lane);
        WarpBarrier();
        Epilogue.Finish(staged, 16, 6, start, row, column, lane);
        WarpBarrier();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void FinishPart32(Float4 c0, Float4 c1, Float4 c2, Float4 c3, uint staged, long start, int row, int column, uint lane)
    {
        TensorCoreEpilogue<TActivation>.Stage32(c0, c1, c2, c3, staged, 128, 0, lane);
        WarpBarrier();
        Epilogue.Finish(staged, 16, 5, start, row, column, lane);
        WarpBarrier();
    }
}
