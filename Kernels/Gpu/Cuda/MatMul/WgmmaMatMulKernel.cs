using System.Runtime.CompilerServices;
using ILGPU;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsAmpere;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsHopper;

namespace MiniVlp.Kernels.Gpu.Cuda;

/// <summary>
/// C = epilogue(op(A) · op(B)) in bfloat16 or TF32 by wgmma, for sm_90a. A group of three warpgroups stays on its multiprocessor and takes one block of
/// 128 x 256 or 128 x 192 after the other. Warpgroup 0 gives its registers away and one thread of it asks the TMA unit for steps of 128 bytes of depth, four
/// of which have room; warpgroups 1 and 2 multiply 64 rows each, straight from shared memory, and hand a step back when the next one is under
/// way. While they finish a block, the copies for the next one arrive.
/// </summary>
/// <remarks>
/// Full and empty are one barrier for each stage: full[s] counts the producer and the bytes that arrive, empty[s] the eight consuming warps.
/// Beyond the matrices TMA writes zeros, so that depth needs no special care; rows and columns beyond C are not stored.
/// </remarks>
/// <param name="MapA">Tensor map of A: (columns as stored, rows as stored, products), boxes of 128 bytes x 128 rows, or x 64 where steps are contiguous.</param>
/// <param name="MapB">Tensor map of B: boxes of 128 bytes x as many rows as a block has columns, or x 64.</param>
/// <param name="SharesA">1: one A for all products.</param>
/// <param name="SharesB">1: one B for all products.</param>
/// <param name="Products">Number of products.</param>
/// <param name="Depth">Elements that are summed over.</param>
/// <param name="PartDepth">Depth of one part, where the sum is cut into parts; a multiple of a step.</param>
/// <param name="Parts">Number of parts; each is a matrix C of its own.</param>
/// <param name="Epilogue">What happens to the sums.</param>
internal readonly record struct WgmmaMatMulKernel<TOperands, TSums, [EpilogueActivations] TActivation>(
    ArrayView<float> MapA, ArrayView<float> MapB, int SharesA, int SharesB, int Products, int Depth, int PartDepth, int Parts,
    TensorCoreEpilogue<TActivation> Epilogue) : IGpuKernel
    where TOperands : struct, IWarpgroupOperands
    where TSums : struct, IBlockSums<TSums>
    where TActivation : struct, IUnaryOp
{
    /// <summary>Rows of the box of A, as stored.</summary>
    public static int BoxRowsA => TOperands.IsStepContiguousA ? Step : BlockRows;

    /// <summary>Rows of the box of B, as stored.</summary>
    public static int BoxRowsB => TOperands.IsStepContiguousB ? Step : TSums.Columns;

    /// <summary>Elements of a step: 128 bytes.</summary>
    public static int Step => TOperands.IsTensorFloat32 ? 32 : 64;

    /// <summary>Rows of a block, and steps that have room.</summary>
    public const int BlockRows = 128, Stages = 4;

    private const int BlocksTogether = 8, RightBytes = BlockRows * 128, BoxBytes = 64 * 128;

    /// <summary>Where a consuming warp stages 16 rows x 64 columns of sums at a time.</summary>
    private const int StagingBytes = 16 * 64 * 4;

    private static int StageBytes => (BlockRows + TSums.Columns) * 128;

    public static int GroupSize => 384;

    public static int DynamicSharedBytes => (Stages * StageBytes) + (8 * StagingBytes) + (2 * Stages * 8);

    public static int MinGroupsPerMultiprocessor => 1;

    public static CudaLevel Level => CudaLevel.Sm90a;

    public static bool IsHot => true;

    public static bool UsesTensorCores => true;

    public void Execute()
    {
        uint shared = DynamicSharedAddress(), full = shared + (uint)(Stages * StageBytes) + (8 * StagingBytes), empty = full + (8 * Stages);
        int thread = Group.IdxX;
        if (thread == 0)
        {
            FenceTensorMap(GlobalAddress(MapA));
            FenceTensorMap(GlobalAddress(MapB));
            for (uint stage = 0; stage < Stages; stage++)
            {
                BarrierInitialize(full + (8 * stage), 1);
                BarrierInitialize(empty + (8 * stage), 8);
            }

            FenceBarrierInitialization();
        }

        Barrier();
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
    }

    /// <summary>One thread: asks for step after step of block after block, as soon as there is room.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Produce(uint shared, uint full, uint empty)
    {
        ulong mapA = GlobalAddress(MapA), mapB = GlobalAddress(MapB);
        uint stage = 0, phase = 1;
        for (int index = Grid.IdxX; index < Blocks; index += Grid.DimX)
        {
            Place place = Locate(index);
            int productA = SharesA != 0 ? 0 : place.Product, productB = SharesB != 0 ? 0 : place.Product;
            for (int k = place.FirstDepth; k < place.EndDepth; k += Step)
            {
                uint to = shared + (stage * (uint)StageBytes), barrier = full + (8 * stage);
                BarrierWait(empty + (8 * stage), phase);
                BarrierArriveExpect(barrier, (uint)StageBytes);
                if (TOperands.IsStepContiguousA)
                {
                    LoadTile(to, mapA, place.Row, k, productA, barrier);
                    LoadTile(to + BoxBytes, mapA, place.Row + 64, k, productA, barrier);
                }
                else
                {
                    LoadTile(to, mapA, k, place.Row, productA, barrier);
                }

                to += RightBytes;
                if (TOperands.IsStepContiguousB)
                {
                    LoadTile(to, mapB, place.Column, k, productB, barrier);
                    LoadTile(to + BoxBytes, mapB, place.Column + 64, k, productB, barrier);
                    LoadTile(to + (2 * BoxBytes), mapB, place.Column + 128, k, productB, barrier);
                    if (TSums.Columns == 256) LoadTile(to + (3 * BoxBytes), mapB, place.Column + 192, k, productB, barrier);
                }
                else
                {
                    LoadTile(to, mapB, k, place.Column, productB, barrier);
                }

                stage++;
                if (stage == Stages)
                {
                    stage = 0;
                    phase ^= 1;
                }
            }
        }
    }

    /// <summary>Two warpgroups: multiply what has arrived, hand the room back, and finish the block.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Consume(uint shared, uint full, uint empty, uint thread)
    {
        uint lane = thread & 31, warp = thread >> 5, half = warp >> 2, stage = 0, phase = 0;

        // With depth contiguous, instructions are 32 bytes apart and rows of 128 bytes make one atom of 8 after the other. With steps
        // contiguous, they are 16 rows apart, and 64 rows or columns make one box.
        ulong a = Descriptor(shared + (half * BoxBytes), BoxBytes, 1024), b = Descriptor(shared + RightBytes, BoxBytes, 1024);
        ulong nextA = TOperands.IsStepContiguousA ? 2048ul >> 4 : 32ul >> 4, nextB = TOperands.IsStepContiguousB ? 2048ul >> 4 : 32ul >> 4;
        uint staged = shared + (uint)(Stages * StageBytes) + (warp * StagingBytes);
        for (int index = Grid.IdxX; index < Blocks; index += Grid.DimX)
        {
            Place place = Locate(index);
            TSums sums = TSums.Zero();
            for (int k = place.FirstDepth; k < place.EndDepth; k += Step)
            {
                BarrierWait(full + (8 * stage), phase);
                ulong at = stage * (ulong)(uint)(StageBytes >> 4);
                Fence();
                sums = TSums.Multiply<TOperands>(sums, a + at, b + at);
                sums = TSums.Multiply<TOperands>(sums, a + at + nextA, b + at + nextB);
                sums = TSums.Multiply<TOperands>(sums, a + at + (2 * nextA), b + at + (2 * nextB));
                sums = TSums.Multiply<TOperands>(sums, a + at + (3 * nextA), b + at + (3 * nextB));
                Commit();

                // One group stays under way; the one before it is done, and its room is free.
                Wait(1);
                if (k > place.FirstDepth && lane == 0) BarrierArrive(empty + (8 * ((stage + Stages - 1) & (Stages - 1))));
                stage++;
                if (stage == Stages)
                {
                    stage = 0;
                    phase ^= 1;
                }
            }

            sums = TSums.Wait(sums);
            if (lane == 0) BarrierArrive(empty + (8 * ((stage + Stages - 1) & (Stages - 1))));
            int row = place.Row + (int)(warp * 16);
            FinishPart(TSums.Part(sums, 0), staged, place.Start, row, place.Column, lane);
            FinishPart(TSums.Part(sums, 1), staged, place.Start, row, place.Column + 64, lane);
            FinishPart(TSums.Part(sums, 2), staged, place.Start, row, place.Column + 128, lane);
            if (TSums.Columns == 256) FinishPart(TSums.Part(sums, 3), staged, place.Start, row, place.Column + 192, lane);
        }
    }

    /// <summary>Finishes 16 rows x 64 columns of a warp.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void FinishPart(in Accumulator64 sums, uint staged, long start, int row, int column, uint lane)
    {
        TensorCoreEpilogue<TActivation>.Stage(sums, staged, lane);
        WarpBarrier();
        Epilogue.Finish(staged, 16, 6, start, row, column, lane);
        WarpBarrier();
    }

    private int Down => (Epilogue.Rows + BlockRows - 1) / BlockRows;

    private int Across => (Epilogue.Columns + TSums.Columns - 1) / TSums.Columns;

    /// <summary>Blocks of all products and parts.</summary>
    private int Blocks => Down * Across * Products * Parts;

    /// <summary>A block: the first row and column of it, which product and which part of the depth it belongs to, and where its C starts.</summary>
    private struct Place
    {
        public int Row, Column, Product, FirstDepth, EndDepth;
        public long Start;
    }

    /// <summary>The block of a number: by parts, products, bands of some blocks down C, and down first within a band.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Place Locate(int index)
    {
        int down = Down, across = Across, matrix = index / (down * across), part = matrix / Products;
        index -= matrix * down * across;
        int first = index / (BlocksTogether * across) * BlocksTogether, height = down - first < BlocksTogether ? down - first : BlocksTogether;
        index -= first * across;
        Place place = default;
        place.Row = Pin((first + (index % height)) * BlockRows);
        place.Column = Pin(index / height * TSums.Columns);
        place.Product = Pin(matrix - (part * Products));
        place.FirstDepth = Pin(part * PartDepth);
        place.EndDepth = Pin(place.FirstDepth + PartDepth < Depth ? place.FirstDepth + PartDepth : Depth);
        place.Start = Pin((long)matrix * Epilogue.Rows * Epilogue.Columns);
        return place;
    }
}
