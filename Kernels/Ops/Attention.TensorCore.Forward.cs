using System.Runtime.CompilerServices;
using ILGPU;
using MiniVlp.Kernels.Gpu;
using MiniVlp.Kernels.Gpu.Cuda;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsAmpere;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <summary>
    /// Flash attention, forward (Dao, arXiv:2307.08691): a warp keeps 16 or 32 queries, their scores against 64 keys, and their output in
    /// registers; keys and values pass through shared memory, two tiles deep. The rounded weights are the left operand of the second product
    /// as they lie. Tiles in which the last visible key differs between the rows come last and have their own loop.
    /// </summary>
    internal readonly record struct TensorCoreAttentionKernel<THead, TRules>(
        ArrayView<float> Query, ArrayView<float> Key, ArrayView<float> Value, ArrayView<int> KeyMask, ArrayView<float> Bias,
        ArrayView<float> Output, ArrayView<float> Copy, ArrayView<float> Statistics, AttentionSizes Sizes) : IGpuKernel
        where THead : struct, IHeadSize
        where TRules : struct, IScoreRules
    {
        public static int GroupSize => HeadTile.Threads;

        public static CudaLevel Level => CudaLevel.Sm80;

        public static bool IsHot => true;

        public static bool UsesTensorCores => true;

        /// <summary>Queries of a group: twice as many where registers allow, so that each fragment of keys and values serves two products.</summary>
        public static int Queries => THead.Size <= 80 && !TRules.HasBias ? 128 : 64;

        /// <summary>Shared memory: queries, and two tiles of keys and values with their masks.</summary>
        public static int DynamicSharedBytes => ((Queries / HeadTile.Rows) + 4) * HeadTile.Rows * THead.Size * 2 + (TRules.HasKeyMask ? 2 * HeadTile.Rows * 4 : 0);

        /// <summary>Whether queries stay in registers; of wide heads they are read again for each tile.</summary>
        private static bool KeepsQueries => Queries == 64 || THead.Size <= 64;

        private static uint QueryBytes => (uint)Queries * HeadTile.RowBytes<THead>();

        private static uint StageBytes => 2 * HeadTile.Bytes<THead>();

        public void Execute()
        {
            uint shared = DynamicSharedAddress(), thread = (uint)Group.IdxX, lane = thread & 31, warp = thread >> 5;

            // The tiles at the end see most keys where the causal rule holds: they start first.
            int firstQuery = (Grid.DimX - 1 - Grid.IdxX) * Queries, head = Grid.IdxY, batch = Grid.IdxZ, keyValueHead = head / Sizes.HeadsPerKeyValueHead;
            ulong query = GlobalAddress(Query) + Sizes.QueryOffset<THead>(batch, head);
            KeyTiles tiles = new(
                shared + QueryBytes, GlobalAddress(Key) + Sizes.KeyOffset<THead>(batch, keyValueHead), GlobalAddress(Value) + Sizes.KeyOffset<THead>(batch, keyValueHead),
                Sizes.KeyStride<THead>(), Sizes.KeyLength, (long)batch * Sizes.KeyLength, thread);
            HeadTile.Copy<THead>(shared, query, Sizes.QueryStride<THead>(), firstQuery, Sizes.QueryLength, thread);
            if (Queries == 128) HeadTile.Copy<THead>(shared + HeadTile.Bytes<THead>(), query, Sizes.QueryStride<THead>(), firstQuery + 64, Sizes.QueryLength, thread);
            tiles.Load(this, 0);
            CopyAsyncCommit();
            CopyAsyncWait(0);
            Barrier();

            int full = Sizes.FullTiles(firstQuery), visible = Sizes.VisibleTiles(firstQuery + Queries), row = firstQuery + (int)((warp * (uint)(Queries / 4)) + (lane >> 2));
            TileLane queryRows = HeadTile.LeftLane<THead>(shared, warp * (uint)(Queries / 4), lane);
            Rows first = Rows.Create(), second = Rows.Create();
            if (KeepsQueries) first.Query = HeadTile.LoadLeft<THead>(queryRows);
            if (KeepsQueries && Queries == 128) second.Query = HeadTile.LoadLeft<THead>(HeadTile.LeftLane<THead>(shared, (warp * 32) + 16, lane));
            int tile = 0;
            for (; tile < full; tile++) Step(tiles, queryRows, tile, visible, row, lane, isEdge: false, ref first, ref second);
            for (; tile < visible; tile++) Step(tiles, queryRows, tile, visible, row, lane, isEdge: true, ref first, ref second);

            // The sums of all rows before any branch: a shuffle needs the whole warp.
            first.Softmax.AddLanes();
            if (Queries == 128) second.Softmax.AddLanes();
            Store(ref first, batch, head, row, lane);
            if (Queries == 128) Store(ref second, batch, head, row + 16, lane);
        }

        /// <summary>One tile of keys: scores, online softmax, weighted sum of the values.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Step(in KeyTiles tiles, TileLane queryRows, int tile, int visible, int row, uint lane, bool isEdge, ref Rows first, ref Rows second)
        {
            CopyAsyncWait(0);
            Barrier();
            if (tile + 1 < visible) tiles.Load(this, tile + 1);
            CopyAsyncCommit();

            uint keys = tiles.Keys(tile), values = keys + HeadTile.Bytes<THead>();
            int column = (tile * HeadTile.Rows) + (int)((lane & 3) * 2);
            Accumulator64 scores = default, secondScores = default;
            TileLane keyLane = HeadTile.RightLane<THead>(keys, lane);
            if (!KeepsQueries) HeadTile.MultiplyTransposed<THead>(ref scores, ref secondScores, queryRows, keyLane);
            else if (Queries == 128) HeadTile.MultiplyTransposed<THead>(ref scores, ref secondScores, first.Query, second.Query, keyLane);
            else HeadTile.MultiplyTransposed<THead>(ref scores, first.Query, keyLane);
            Prepare(ref scores, tiles, tile, row, column, lane, isEdge);
            if (Queries == 128) Prepare(ref secondScores, tiles, tile, row + 16, column, lane, isEdge);

            float factor = TRules.HasBias ? Log2OfE : Sizes.Scale * Log2OfE;
            first.Weigh(ref scores, factor);
            if (Queries == 128) second.Weigh(ref secondScores, factor);

            TileLane valueLane = HeadTile.LeftLane<THead>(values, 0, lane);
            if (Queries == 128) HeadTile.Multiply<THead>(ref first.Output, ref second.Output, scores, secondScores, valueLane);
            else HeadTile.Multiply<THead>(ref first.Output, scores, valueLane);
        }

        /// <summary>Adds bias and mask.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Prepare(ref Accumulator64 scores, in KeyTiles tiles, int tile, int row, int column, uint lane, bool isEdge)
        {
            if (TRules.HasBias)
            {
                AddBiasRows bias = new(Bias, Sizes.BiasOffset(Grid.IdxZ, Grid.IdxY), row, Sizes.QueryLength, Sizes.KeyLength, Sizes.Scale, column);
                Accumulator64.ForEach(ref scores, ref bias);
            }

            if (TRules.HasKeyMask) KeyMaskTile.AddTo(ref scores, tiles.Mask(tile), lane);
            if (!isEdge) return;
            HideBehindLastKey hide = new(column, Sizes.LastVisibleKey(row), Sizes.LastVisibleKey(row + 8));
            Accumulator64.ForEach(ref scores, ref hide);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Store(ref Rows rows, int batch, int head, int row, uint lane)
            => AttentionRows.Store<THead, TRules>(Output, Copy, Statistics, Sizes, Grid.DimZ, ref rows.Output, rows.Softmax, batch, head, row, lane);

        /// <summary>Tiles of keys and values on their way through shared memory.</summary>
        private readonly record struct KeyTiles(uint Shared, ulong Key, ulong Value, uint Stride, int Length, long MaskOffset, uint Thread)
        {
            /// <summary>Shared address of the keys of a tile; its values follow.</summary>
            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public uint Keys(int tile) => Shared + ((uint)(tile & 1) * StageBytes);

            /// <summary>Shared address of the mask of a tile.</summary>
            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public uint Mask(int tile) => Shared + (2 * StageBytes) + ((uint)(tile & 1) * KeyMaskTile.Bytes);

            /// <summary>Starts to copy a tile.</summary>
            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public void Load(in TensorCoreAttentionKernel<THead, TRules> kernel, int tile)
            {
                HeadTile.Copy<THead>(Keys(tile), Key, Stride, tile * HeadTile.Rows, Length, Thread);
                HeadTile.Copy<THead>(Keys(tile) + HeadTile.Bytes<THead>(), Value, Stride, tile * HeadTile.Rows, Length, Thread);
                if (TRules.HasKeyMask) KeyMaskTile.Store(Mask(tile), kernel.KeyMask, MaskOffset, tile * HeadTile.Rows, Length, Thread);
            }
        }

        /// <summary>16 queries of a warp, of which a thread holds parts of two: rows g and g + 8.</summary>
        private struct Rows
        {
            public HeadFragments Query;
            public Accumulator128 Output;
            public SoftmaxRows Softmax;

            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public static Rows Create()
            {
                Rows rows = default;
                rows.Softmax = SoftmaxRows.Create();
                return rows;
            }

            /// <summary>Replaces scores by weights, and shrinks the output so far to the new largest score.</summary>
            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public void Weigh(ref Accumulator64 scores, float factor)
            {
                Float2 shrink = Softmax.Exp<TRules>(ref scores, factor);
                SoftmaxRows.Scale<THead>(ref Output, shrink);
            }
        }
    }
}
