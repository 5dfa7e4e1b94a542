using System.Runtime.CompilerServices;
using ILGPU;
using MiniVlp.Kernels.Gpu;
using MiniVlp.Kernels.Gpu.Cuda;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsAmpere;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsHopper;
using Boxes = MiniVlp.Kernels.Gpu.Cuda.HeadBoxes<MiniVlp.Kernels.Gpu.Cuda.Box128>;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <summary>
    /// Flash attention, forward, by wgmma for sm_90a (FlashAttention-3, arXiv:2407.08608): a group has 128 queries of one head. One warp asks the
    /// TMA unit for tiles of 128 keys and values; two warpgroups have 64 queries each. The scores of a tile are multiplied together with the
    /// weighted values of the tile before it, and while the products of one warpgroup run, the other one has its softmax: they take turns.
    /// Tiles come from the last one down, those on the edge of what is visible first; these have their own loop.
    /// </summary>
    /// <param name="QueryMap">Tensor map of the query.</param>
    /// <param name="KeyMap">Tensor map of the key.</param>
    /// <param name="ValueMap">Tensor map of the value.</param>
    /// <param name="KeyMask">Which keys are not hidden; may be empty.</param>
    /// <param name="Output">What is computed.</param>
    /// <param name="Copy">The output as bfloat16; may be empty.</param>
    /// <param name="Statistics">Largest score and inverse sum of each query.</param>
    /// <param name="Sizes">The sizes.</param>
    internal readonly record struct WarpgroupAttentionKernel<[WarpgroupHeads] THead, [UnbiasedRules] TRules>(
        ArrayView<float> QueryMap, ArrayView<float> KeyMap, ArrayView<float> ValueMap, ArrayView<int> KeyMask,
        ArrayView<float> Output, ArrayView<float> Copy, ArrayView<float> Statistics, AttentionSizes Sizes) : IGpuKernel
        where THead : struct, IHeadSize
        where TRules : struct, IScoreRules
    {
        /// <summary>Queries of a group.</summary>
        public const int Queries = Box128.Rows;

        private const int Consumers = 256;

        public static int GroupSize => 128 + Consumers;

        public static int MinGroupsPerMultiprocessor => 1;

        public static CudaLevel Level => CudaLevel.Sm90a;

        public static bool IsHot => true;

        public static bool UsesTensorCores => true;

        /// <summary>Shared memory: queries, rings of tiles of keys and values with their masks, barriers.</summary>
        public static int DynamicSharedBytes => (int)Tiles.Bytes;

        public void Execute()
        {
            Tiles tiles = new(DynamicSharedAddress());
            int thread = Group.IdxX;
            if (thread == 0)
            {
                FenceTensorMap(GlobalAddress(QueryMap));
                FenceTensorMap(GlobalAddress(KeyMap));
                FenceTensorMap(GlobalAddress(ValueMap));
                tiles.Initialize();
            }

            Barrier();

            // The queries at the end see most keys where the causal rule holds: they start first.
            int firstQuery = (Grid.DimX - 1 - Grid.IdxX) * Queries, count = (Sizes.VisibleTiles(firstQuery + Queries) + 1) >> 1;
            if (thread < 128)
            {
                ReleaseRegisters(24);
                if (thread < 32 && count > 0) Produce(tiles, firstQuery, count, (uint)thread);
            }
            else
            {
                TakeRegisters(240);
                Consume(tiles, firstQuery, count, (uint)thread - 128);
            }
        }

        /// <summary>One warp: asks for tile after tile as soon as there is room, keys one tile ahead of values; its lanes write the masks.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Produce(in Tiles tiles, int firstQuery, int count, uint lane)
        {
            int head = Grid.IdxY, batch = Grid.IdxZ, keyValueHead = head / Sizes.HeadsPerKeyValueHead;
            ulong keys = GlobalAddress(KeyMap), values = GlobalAddress(ValueMap);
            if (lane == 0)
            {
                BarrierArriveExpect(tiles.QueriesFull, Boxes.Bytes<THead>());
                Boxes.Load<THead>(tiles.Queries, GlobalAddress(QueryMap), head, firstQuery, batch, tiles.QueriesFull);
            }

            for (int i = 0; i <= count; i++)
            {
                if (i < count)
                {
                    int firstKey = (count - 1 - i) * Box128.Rows;
                    BarrierWait(tiles.KeysEmpty(i), Tiles.Phase(i) ^ 1);
                    if (TRules.HasKeyMask)
                    {
                        long first = (long)batch * Sizes.KeyLength;
                        KeyMaskTile.Store(tiles.Mask(i), KeyMask, first, firstKey, Sizes.KeyLength, lane);
                        KeyMaskTile.Store(tiles.Mask(i), KeyMask, first, firstKey, Sizes.KeyLength, lane + 32);
                        KeyMaskTile.Store(tiles.Mask(i) + KeyMaskTile.Bytes, KeyMask, first, firstKey + 64, Sizes.KeyLength, lane);
                        KeyMaskTile.Store(tiles.Mask(i) + KeyMaskTile.Bytes, KeyMask, first, firstKey + 64, Sizes.KeyLength, lane + 32);
                        WarpBarrier();
                    }

                    if (lane == 0)
                    {
                        BarrierArriveExpect(tiles.KeysFull(i), Boxes.Bytes<THead>());
                        Boxes.Load<THead>(tiles.Keys(i), keys, keyValueHead, firstKey, batch, tiles.KeysFull(i));
                    }
                }

                if (i > 0)
                {
                    BarrierWait(tiles.ValuesEmpty(i - 1), Tiles.Phase(i - 1) ^ 1);
                    if (lane == 0)
                    {
                        BarrierArriveExpect(tiles.ValuesFull(i - 1), Boxes.Bytes<THead>());
                        Boxes.Load<THead>(tiles.Values(i - 1), values, keyValueHead, (count - i) * Box128.Rows, batch, tiles.ValuesFull(i - 1));
                    }
                }
            }
        }

        /// <summary>Two warpgroups: 64 queries each.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Consume(in Tiles tiles, int firstQuery, int count, uint thread)
        {
            // From one lane, so that the assembler knows it for the same in all: descriptors then stay in uniform registers.
            uint half = ShuffleFrom(thread >> 7, 0), lane = thread & 31;
            int first = firstQuery + (int)(half * 64), row = firstQuery + (int)(((thread >> 5) * 16) + (lane >> 2));
            SoftmaxRows rows = SoftmaxRows.Create();
            Accumulator128 output = HeadSums.Zero<THead>();
            if (count > 0)
            {
                ulong queries = Boxes.Descriptor(tiles.Queries, half * 64);

                // The first turn is that of the first warpgroup.
                if (half == 1) BarrierArrive(Turn(0), Consumers);
                BarrierWait(tiles.QueriesFull, 0);
                BarrierWait(tiles.KeysFull(0), 0);
                Fence();
                Accumulator128 scores = Boxes.MultiplyTransposed<THead>(queries, Boxes.Descriptor(tiles.Keys(0)));
                Commit();
                scores = Wait(scores, 0);
                Prepare(ref scores, tiles, 0, count, row, lane, isEdge: true);
                rows.Exp<TRules>(ref scores, Factor);
                HeadFragments weights = HeadSums.Pack(scores);
                int edge = count - (Sizes.FullTiles(first) >> 1), i = 1;
                for (; i < edge; i++) Step(tiles, queries, i, count, row, half, lane, isEdge: true, ref rows, ref weights, ref output);
                for (; i < count; i++) Step(tiles, queries, i, count, row, half, lane, isEdge: false, ref rows, ref weights, ref output);

                if (half == 0) Barrier(Turn(0), Consumers);
                BarrierWait(tiles.ValuesFull(count - 1), Tiles.Phase(count - 1));
                Fence();
                Boxes.Multiply<THead>(ref output, weights, Boxes.Descriptor(tiles.Values(count - 1)));
                Commit();
                HeadSums.Wait<THead>(ref output);
            }

            rows.AddLanes();
            AttentionRows.Store<THead, TRules>(Output, Copy, Statistics, Sizes, ref output, rows, Grid.IdxZ, Grid.IdxY, row, lane);
        }

        /// <summary>The scores of a tile and the weighted values of the tile before it, then the softmax of the scores.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Step(
            in Tiles tiles, ulong queries, int i, int count, int row, uint half, uint lane, bool isEdge,
            ref SoftmaxRows rows, ref HeadFragments weights, ref Accumulator128 output)
        {
            BarrierWait(tiles.KeysFull(i), Tiles.Phase(i));
            BarrierWait(tiles.ValuesFull(i - 1), Tiles.Phase(i - 1));
            Barrier(Turn(half), Consumers);
            Fence();
            Accumulator128 scores = Boxes.MultiplyTransposed<THead>(queries, Boxes.Descriptor(tiles.Keys(i)));
            Commit();
            Boxes.Multiply<THead>(ref output, weights, Boxes.Descriptor(tiles.Values(i - 1)));
            Commit();
            BarrierArrive(Turn(half ^ 1), Consumers);

            scores = Wait(scores, 1);
            Prepare(ref scores, tiles, i, count, row, lane, isEdge);
            Float2 shrink = rows.Exp<TRules>(ref scores, Factor);

            // Over long ago: a branch, behind which the assembler must not move the exponentials, which are to run beside the products.
            BarrierWait(tiles.QueriesFull, 0);
            HeadSums.Wait<THead>(ref output);
            if (lane == 0) BarrierArrive(tiles.ValuesEmpty(i - 1));
            SoftmaxRows.Scale<THead>(ref output, shrink);
            weights = HeadSums.Pack(scores);
        }

        /// <summary>Adds the mask, hides what is not visible, and hands the room of the keys back.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Prepare(ref Accumulator128 scores, in Tiles tiles, int i, int count, int row, uint lane, bool isEdge)
        {
            if (TRules.HasKeyMask)
            {
                KeyMaskTile.AddTo(ref scores.Low, tiles.Mask(i), lane);
                KeyMaskTile.AddTo(ref scores.High, tiles.Mask(i) + KeyMaskTile.Bytes, lane);
                WarpBarrier();
            }

            if (lane == 0) BarrierArrive(tiles.KeysEmpty(i));
            if (!isEdge) return;
            int column = ((count - 1 - i) * Box128.Rows) + (int)((lane & 3) * 2), last = Sizes.LastVisibleKey(row), lastBelow = Sizes.LastVisibleKey(row + 8);
            HideBehindLastKey hideLow = new(column, last, lastBelow), hideHigh = new(column + 64, last, lastBelow);
            Accumulator64.ForEach(ref scores.Low, ref hideLow);
            Accumulator64.ForEach(ref scores.High, ref hideHigh);
        }

        private float Factor => Sizes.Scale * Log2OfE;

        /// <summary>The barrier at which a warpgroup waits for its turn; barrier 0 is that of the group.</summary>
        private static uint Turn(uint half) => 1 + half;

        /// <summary>
        /// Shared memory: the queries, and two rings, each tile of which has a barrier for "full" (one arrival and the bytes) and one for "empty"
        /// (the eight consuming warps).
        /// </summary>
        private readonly record struct Tiles(uint Shared)
        {
            /// <summary>Tiles of a ring, a power of two.</summary>
            private const int RingBits64 = 2, RingBits128 = 1;

            private const uint MaskBytes = 2 * KeyMaskTile.Bytes;

            private static int RingBits => THead.Size == 64 ? RingBits64 : RingBits128;

            private static uint Ring => 1u << RingBits;

            private static uint TileBytes => Boxes.Bytes<THead>();

            private static uint MasksOffset => (1 + (2 * Ring)) * TileBytes;

            private static uint BarriersOffset => MasksOffset + (TRules.HasKeyMask ? Ring * MaskBytes : 0);

            public static uint Bytes => BarriersOffset + (((4 * Ring) + 1) * 8);

            public uint Queries => Shared;

            public uint QueriesFull => Shared + BarriersOffset + (4 * Ring * 8);

            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public uint Keys(int i) => Shared + ((1 + Place(i)) * TileBytes);

            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public uint Values(int i) => Shared + ((1 + Ring + Place(i)) * TileBytes);

            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public uint Mask(int i) => Shared + MasksOffset + (Place(i) * MaskBytes);

            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public uint KeysFull(int i) => Shared + BarriersOffset + (Place(i) * 8);

            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public uint ValuesFull(int i) => KeysFull(i) + (Ring * 8);

            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public uint KeysEmpty(int i) => KeysFull(i) + (2 * Ring * 8);

            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public uint ValuesEmpty(int i) => KeysFull(i) + (3 * Ring * 8);

            /// <summary>The parity of a tile's turn of the ring.</summary>
            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public static uint Phase(int i) => (uint)(i >> RingBits) & 1;

            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public void Initialize()
            {
                for (int i = 0; i < Ring; i++)
                {
                    BarrierInitialize(KeysFull(i), 1);
                    BarrierInitialize(ValuesFull(i), 1);
                    BarrierInitialize(KeysEmpty(i), Consumers / 32);
                    BarrierInitialize(ValuesEmpty(i), Consumers / 32);
                }

                BarrierInitialize(QueriesFull, 1);
                FenceBarrierInitialization();
            }

            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            private static uint Place(int i) => (uint)i & (Ring - 1);
        }
    }
}
