using System.Runtime.CompilerServices;
using MiniVlp.Kernels.Gpu.Cuda;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsHopper;
using Boxes = MiniVlp.Kernels.Gpu.Cuda.HeadBoxes<MiniVlp.Kernels.Gpu.Cuda.Box64>;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <summary>
    /// Shared memory of a gradient by wgmma. Scores are products of a left and a right tile, and so is dp: of keys and queries, and of values and
    /// gradients of the output, one side of which a group owns while the other passes in a ring. Two warpgroups own 64 rows each. Each stage of
    /// the ring has 128 floats beside its tiles, a barrier for "full" (one arrival and the bytes) and one for "empty" (the eight consuming warps).
    /// </summary>
    private readonly record struct GradientTiles<THead>(uint Shared)
        where THead : struct, IHeadSize
    {
        /// <summary>Threads that multiply.</summary>
        public const int Consumers = 256;

        /// <summary>Rows that a group owns.</summary>
        public const int OwnRows = 2 * Box64.Rows;

        private const int RingBits = 2;

        private const uint Ring = 1 << RingBits, NumbersBytes = 2 * Box64.Rows * 4;

        private static uint TileBytes => Boxes.Bytes<THead>();

        private static uint NumbersOffset => (4 + (2 * Ring)) * TileBytes;

        private static uint BarriersOffset => NumbersOffset + (Ring * NumbersBytes);

        public static int Bytes => (int)(BarriersOffset + (((2 * Ring) + 1) * 8));

        /// <summary>Full when the tiles are there that the group owns.</summary>
        public uint OwnFull => Shared + BarriersOffset + (2 * Ring * 8);

        /// <summary>What a warpgroup multiplies to scores.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public uint OwnScores(uint half) => Shared + (half * TileBytes);

        /// <summary>What a warpgroup multiplies to dp.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public uint OwnWeights(uint half) => Shared + ((2 + half) * TileBytes);

        /// <summary>What passes for the scores.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public uint Scores(int step) => Shared + ((4 + (2 * Stage(step))) * TileBytes);

        /// <summary>What passes for dp.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public uint Weights(int step) => Scores(step) + TileBytes;

        /// <summary>Two floats for each row of the tiles that pass.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public uint Numbers(int step) => Shared + NumbersOffset + (Stage(step) * NumbersBytes);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public uint Full(int step) => Shared + BarriersOffset + (Stage(step) * 8);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public uint Empty(int step) => Full(step) + (Ring * 8);

        /// <summary>The parity of a stage's turn of the ring.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static uint Phase(int step) => (uint)(step >> RingBits) & 1;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Initialize()
        {
            for (int i = 0; i < Ring; i++)
            {
                BarrierInitialize(Full(i), 1);
                BarrierInitialize(Empty(i), Consumers / 32);
            }

            BarrierInitialize(OwnFull, 1);
            FenceBarrierInitialization();
        }

        /// <summary>One thread: asks for the tiles that the group owns.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void LoadOwn(ulong scores, ulong weights, int head, int row, int batch)
        {
            BarrierArriveExpect(OwnFull, 4 * TileBytes);
            Boxes.Load<THead>(OwnScores(0), scores, head, row, batch, OwnFull);
            Boxes.Load<THead>(OwnScores(1), scores, head, row + Box64.Rows, batch, OwnFull);
            Boxes.Load<THead>(OwnWeights(0), weights, head, row, batch, OwnFull);
            Boxes.Load<THead>(OwnWeights(1), weights, head, row + Box64.Rows, batch, OwnFull);
        }

        /// <summary>One thread: asks for the tiles of a step.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Load(int step, ulong scores, ulong weights, int head, int row, int batch)
        {
            BarrierArriveExpect(Full(step), 2 * TileBytes);
            Boxes.Load<THead>(Scores(step), scores, head, row, batch, Full(step));
            Boxes.Load<THead>(Weights(step), weights, head, row, batch, Full(step));
        }

        /// <summary>A warp that consumes: lets a step pass.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Skip(int step, uint lane)
        {
            BarrierWait(Full(step), Phase(step));
            if (lane == 0) BarrierArrive(Empty(step));
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static uint Stage(int step) => (uint)step & (Ring - 1);
    }
}
