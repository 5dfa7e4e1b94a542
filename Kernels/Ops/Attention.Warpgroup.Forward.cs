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
    /// Tiles come from the last one down, those on the edge of what is visible first; these have their own loop. A grid of fewer groups than there
    /// is work makes the groups stay: the queries, keys and values of the next 128 queries arrive while those before them are finished.
    /// </summary>
    /// <param name="QueryMap">Tensor map of the query.</param>
    /// <param name="KeyMap">Tensor map of the key.</param>
    /// <param name="ValueMap">Tensor map of the value.</param>
    /// <param name="KeyMask">Which keys are not hidden; may be empty.</param>
    /// <param name="Output">What is computed.</param>
    /// <param name="Copy">The output as bfloat16; may be empty.</param>
    /// <param name="Statistics">Largest score and inverse sum of each query.</param>
    /// <param name="Sizes">The sizes.</param>
    /// <param name="Batches">Sequences.</param>
    internal readonly record struct WarpgroupAttentionKernel<[WarpgroupHeads] THead, [UnbiasedRules] TRules>(
        ArrayView<float> QueryMap, ArrayView<float> KeyMap, ArrayView<float> ValueMap, ArrayView<int> KeyMask,
        ArrayView<float> Output, ArrayView<float> Copy, ArrayView<float> Statistics, AttentionSizes Sizes, int Batches) : IGpuKernel
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

            if (thread < 128)
            {
                ReleaseRegisters(24);
                if (thread < 32) Produce(tiles, (uint)thread);
            }
            else
            {
                TakeRegisters(240);
                Consume(tiles, (uint)thread - 128);
            }
        }

        /// <summary>One warp: asks for tile after tile as soon as there is room, keys one tile ahead of values; its lanes write the masks.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Produce(in Tiles tiles, uint lane)
        {
            ulong keys = GlobalAddress(KeyMap), values = GlobalAddress(ValueMap);
            int start = 0, turn = 0;
            for (int index = Grid.IdxX; index < Items; index += Grid.DimX)
            {
                Item item = Locate(index);
                if (item.Count == 0) continue;
                int keyValueHead = item.Head / Sizes.HeadsPerKeyValueHead;
                BarrierWait(tiles.QueriesEmpty(turn), Tiles.QueriesPhase(turn) ^ 1);
                if (lane == 0)
                {
                    BarrierArriveExpect(tiles.QueriesFull(turn), Boxes.Bytes<THead>());
                    Boxes.Load<THead>(tiles.Queries(turn), GlobalAddress(QueryMap), item.Head, item.FirstQuery, item.Batch, tiles.QueriesFull(turn));
                }

                for (int i = 0; i <= item.Count; i++)
                {
                    if (i < item.Count)
                    {
                        int firstKey = (item.Count - 1 - i) * Box128.Rows, tile = start + i;
                        BarrierWait(tiles.KeysEmpty(tile), Tiles.Phase(tile) ^ 1);
                        if (TRules.HasKeyMask)
                        {
                            long first = (long)item.Batch * Sizes.KeyLength;
                            KeyMaskTile.Store(tiles.Mask(tile), KeyMask, first, firstKey, Sizes.KeyLength, lane);
                            KeyMaskTile.Store(tiles.Mask(tile), KeyMask, first, firstKey, Sizes.KeyLength, lane + 32);
                            KeyMaskTile.Store(tiles.Mask(tile) + KeyMaskTile.Bytes, KeyMask, first, firstKey + 64, Sizes.KeyLength, lane);
                            KeyMaskTile.Store(tiles.Mask(tile) + KeyMaskTile.Bytes, KeyMask, first, firstKey + 64, Sizes.KeyLength, lane + 32);
                            WarpBarrier();
                        }

                        if (lane == 0)
                        {
                            BarrierArriveExpect(tiles.KeysFull(tile), Boxes.Bytes<THead>());
                            Boxes.Load<THead>(tiles.Keys(tile), keys, keyValueHead, firstKey, item.Batch, tiles.KeysFull(tile));
                        }
                    }

                    if (i > 0)
                    {
                        int tile = start + i - 1;
                        BarrierWait(tiles.ValuesEmpty(tile), Tiles.Phase(tile) ^ 1);
                        if (lane == 0)
                        {
                            BarrierArriveExpect(tiles.ValuesFull(tile), Boxes.Bytes<THead>());
                            Boxes.Load<THead>(tiles.Values(tile), values, keyValueHead, (item.Count - i) * Box128.Rows, item.Batch, tiles.ValuesFull(tile));
                        }
                    }
                }

                start += item.Count;
                turn++;
            }
        }

        /// <summary>Two warpgroups: 64 queries each.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Consume(in Tiles tiles, uint thread)
        {
            // From one lane, so that the assembler knows it for the same in all: descriptors then stay in uniform registers.
            uint half = ShuffleFrom(thread >> 7, 0), lane = thread & 31;
            int start = 0, turn = 0;

            // The first turn is that of the first warpgroup.
            if (half == 1) BarrierArrive(Turn(0), Consumers);
            for (int index = Grid.IdxX; index < Items; index += Grid.DimX)
            {
                Item item = Locate((int)ShuffleFrom((uint)index, 0));
                start = (int)ShuffleFrom((uint)start, 0);
                turn = (int)ShuffleFrom((uint)turn, 0);
                int row = item.FirstQuery + (int)(((thread >> 5) * 16) + (lane >> 2));
                SoftmaxRows rows = SoftmaxRows.Create();
                Accumulator128 output = HeadSums.Zero<THead>();
                if (item.Count > 0)
                {
                    ulong queries = Boxes.Descriptor(tiles.Queries(turn), half * 64);
                    uint full = tiles.QueriesFull(turn), phase = Tiles.QueriesPhase(turn);
                    BarrierWait(full, phase);
                    BarrierWait(tiles.KeysFull(start), Tiles.Phase(start));
                    Fence();
                    Accumulator128 scores = Boxes.MultiplyTransposed<THead>(queries, Boxes.Descriptor(tiles.Keys(start)));
                    Commit();
                    scores = Wait(scores, 0);
                    Prepare(ref scores, tiles, start, item.Count - 1, row, lane, isEdge: true);
                    rows.Exp<TRules>(ref scores, Factor);
                    HeadFragments weights = HeadSums.Pack(scores);
                    int edge = item.Count - (Sizes.FullTiles(item.FirstQuery + (int)(half * 64)) >> 1), i = 1;
                    for (; i < edge; i++) Step(tiles, queries, start + i, item.Count - 1 - i, full, phase, row, half, lane, isEdge: true, ref rows, ref weights, ref output);
                    for (; i < item.Count; i++) Step(tiles, queries, start + i, item.Count - 1 - i, full, phase, row, half, lane, isEdge: false, ref rows, ref weights, ref output);

                    if (lane == 0) BarrierArrive(tiles.QueriesEmpty(turn));
                    start += item.Count;
                    turn++;
                    BarrierWait(tiles.ValuesFull(start - 1), Tiles.Phase(start - 1));
                    Fence();
                    Boxes.Multiply<THead>(ref output, weights, Boxes.Descriptor(tiles.Values(start - 1)));
                    Commit();
                    HeadSums.Wait<THead>(ref output);
                    if (lane == 0) BarrierArrive(tiles.ValuesEmpty(start - 1));
                }

                rows.AddLanes();
                AttentionRows.Store<THead, TRules>(Output, Copy, Statistics, Sizes, Batches, ref output, rows, item.Batch, item.Head, row, lane);
            }

            if (half == 0) Barrier(Turn(0), Consumers);
        }

        /// <summary>The scores of a tile and the weighted values of the tile before it, then the softmax of the scores.</summary>
        /// <param name="tiles">Shared memory.</param>
        /// <param name="queries">Descriptor of the warpgroup's queries.</param>
        /// <param name="tile">Which tile of keys, of all that pass the group.</param>
        /// <param name="place">Which tile of the keys of the sequence.</param>
        /// <param name="over">A barrier that was passed long ago.</param>
        /// <param name="phase">Its parity then.</param>
        /// <param name="row">The upper query of the thread.</param>
        /// <param name="half">The warpgroup.</param>
        /// <param name="lane">The thread in its warp.</param>
        /// <param name="isEdge">Whether some of the keys may be hidden.</param>
        /// <param name="rows">Largest scores and sums so far.</param>
        /// <param name="weights">Of the tile before, then of this one.</param>
        /// <param name="output">Weighted values so far.</param>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Step(
            in Tiles tiles, ulong queries, int tile, int place, uint over, uint phase, int row, uint half, uint lane, bool isEdge,
            ref SoftmaxRows rows, ref HeadFragments weights, ref Accumulator128 output)
        {
            BarrierWait(tiles.KeysFull(tile), Tiles.Phase(tile));
            BarrierWait(tiles.ValuesFull(tile - 1), Tiles.Phase(tile - 1));
            Barrier(Turn(half), Consumers);
            Fence();
            Accumulator128 scores = Boxes.MultiplyTransposed<THead>(queries, Boxes.Descriptor(tiles.Keys(tile)));
            Commit();
            Boxes.Multiply<THead>(ref output, weights, Boxes.Descriptor(tiles.Values(tile - 1)));
            Commit();
            BarrierArrive(Turn(half ^ 1), Consumers);

            scores = Wait(scores, 1);
            Prepare(ref scores, tiles, tile, place, row, lane, isEdge);
            Float2 shrink = rows.Exp<TRules>(ref scores, Factor);

            // Over long ago: a branch, behind which the assembler must not move the exponentials, which are to run beside the products.
            BarrierWait(over, phase);
            HeadSums.Wait<THead>(ref output);
            if (lane == 0) BarrierArrive(tiles.ValuesEmpty(tile - 1));
            SoftmaxRows.Scale<THead>(ref output, shrink);
            weights = HeadSums.Pack(scores);
        }

        /// <summary>Adds the mask, hides what is not visible, and hands the room of the keys back.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Prepare(ref Accumulator128 scores, in Tiles tiles, int tile, int place, int row, uint lane, bool isEdge)
        {
            if (TRules.HasKeyMask)
            {
                KeyMaskTile.AddTo(ref scores.Low, tiles.Mask(tile), lane);
                KeyMaskTile.AddTo(ref scores.High, tiles.Mask(tile) + KeyMaskTile.Bytes, lane);
                WarpBarrier();
            }

            if (lane == 0) BarrierArrive(tiles.KeysEmpty(tile));
            if (!isEdge) return;
            int column = (place * Box128.Rows) + (int)((lane & 3) * 2), last = Sizes.LastVisibleKey(row), lastBelow = Sizes.LastVisibleKey(row + 8);
            HideBehindLastKey hideLow = new(column, last, lastBelow), hideHigh = new(column + 64, last, lastBelow);
            Accumulator64.ForEach(ref scores.Low, ref hideLow);
            Accumulator64.ForEach(ref scores.High, ref hideHigh);
        }

        private int QueryTiles => (Sizes.QueryLength + Queries - 1) / Queries;

        /// <summary>Tiles of queries of all heads of all sequences.</summary>
        private int Items => QueryTiles * Sizes.Heads * Batches;

        /// <summary>128 queries of a head, and how many tiles of keys they see.</summary>
        private struct Item
        {
            public int FirstQuery, Head, Batch, Count;
        }

        /// <summary>The item of a number: by sequences, heads and queries, whose last ones see most keys where the causal rule holds and come first.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private Item Locate(int index)
        {
            int tiles = QueryTiles, head = index / tiles, batch = head / Sizes.Heads;
            Item item = default;
            item.FirstQuery = Pin((tiles - 1 - (index - (head * tiles))) * Queries);
            item.Head = Pin(head - (batch * Sizes.Heads));
            item.Batch = Pin(batch);
            item.Count = Pin((Sizes.VisibleTiles(item.FirstQuery + Queries) + 1) >> 1);
            return item;
        }

        private float Factor => Sizes.Scale * Log2OfE;

        /// <summary>The barrier at which a warpgroup waits for its turn; barrier 0 is that of the group.</summary>
        private static uint Turn(uint half) => 1 + half;

        /// <summary>
        /// Shared memory: two rooms for queries, and rings for keys and values, each tile of which has a barrier for "full" (one arrival and the bytes)
        /// and one for "empty" (the eight consuming warps).
        /// </summary>
        private readonly record struct Tiles(uint Shared)
        {
            /// <summary>Tiles of a ring, a power of two.</summary>
            private const int RingBits64 = 2, RingBits128 = 1;

            private const uint MaskBytes = 2 * KeyMaskTile.Bytes;

            private static int RingBits => THead.Size == 64 ? RingBits64 : RingBits128;

            private static uint Ring => 1u << RingBits;

            private static uint TileBytes => Boxes.Bytes<THead>();

            private static uint MasksOffset => (2 + (2 * Ring)) * TileBytes;

            private static uint BarriersOffset => MasksOffset + (TRules.HasKeyMask ? Ring * MaskBytes : 0);

            public static uint Bytes => BarriersOffset + (((4 * Ring) + 4) * 8);

            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public uint Queries(int turn) => Shared + (((uint)turn & 1) * TileBytes);

            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public uint QueriesFull(int turn) => Shared + BarriersOffset + (((4 * Ring) + ((uint)turn & 1)) * 8);

            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public uint QueriesEmpty(int turn) => QueriesFull(turn) + 16;

            /// <summary>The parity of the queries' turn of their two rooms.</summary>
            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public static uint QueriesPhase(int turn) => (uint)(turn >> 1) & 1;

            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public uint Keys(int i) => Shared + ((2 + Place(i)) * TileBytes);

            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public uint Values(int i) => Shared + ((2 + Ring + Place(i)) * TileBytes);

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

                for (int i = 0; i < 2; i++)
                {
                    BarrierInitialize(QueriesFull(i), 1);
                    BarrierInitialize(QueriesEmpty(i), Consumers / 32);
                }

                FenceBarrierInitialization();
            }

            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            private static uint Place(int i) => (uint)i & (Ring - 1);
        }
    }
}
