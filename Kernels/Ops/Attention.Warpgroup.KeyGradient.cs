using System.Runtime.CompilerServices;
using ILGPU;
using MiniVlp.Kernels.Gpu;
using MiniVlp.Kernels.Gpu.Cuda;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsAmpere;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsHopper;
using Boxes = MiniVlp.Kernels.Gpu.Cuda.HeadBoxes<MiniVlp.Kernels.Gpu.Cuda.Box64>;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <summary>
    /// dkey and dvalue of 128 keys, which a group owns, by wgmma for sm_90a: one warp asks the TMA unit for tiles of 64 queries and gradients of the
    /// output of all heads that read these keys, two warpgroups keep the gradients of 64 keys each in registers. Keys are rows of the scores, so
    /// that p and ds, rounded, are left operands as they lie. dp is multiplied beside the exponentials, dvalue beside the making of ds, and dkey
    /// beside the next scores. Tiles go by their first query, those on the causal diagonal first; these have their own loop.
    /// </summary>
    /// <param name="QueryMap">Tensor map of the query.</param>
    /// <param name="KeyMap">Tensor map of the key.</param>
    /// <param name="ValueMap">Tensor map of the value.</param>
    /// <param name="OutputGradientMap">Tensor map of the gradient of the output.</param>
    /// <param name="KeyMask">Which keys are not hidden; may be empty.</param>
    /// <param name="Shifts">The two numbers of each query, from <see cref="TensorCoreShiftKernel"/>.</param>
    /// <param name="DKey">Gradient of the key.</param>
    /// <param name="DValue">Gradient of the value.</param>
    /// <param name="KeyCopy">DKey as bfloat16; may be empty.</param>
    /// <param name="ValueCopy">DValue as bfloat16; may be empty.</param>
    /// <param name="Sizes">The sizes.</param>
    internal readonly record struct WarpgroupKeyGradientKernel<[WarpgroupHeads] THead, [UnbiasedRules] TRules>(
        ArrayView<float> QueryMap, ArrayView<float> KeyMap, ArrayView<float> ValueMap, ArrayView<float> OutputGradientMap, ArrayView<int> KeyMask,
        ArrayView<float> Shifts, GpuTarget DKey, GpuTarget DValue, ArrayView<float> KeyCopy, ArrayView<float> ValueCopy, AttentionSizes Sizes) : IGpuKernel
        where THead : struct, IHeadSize
        where TRules : struct, IScoreRules
    {
        /// <summary>Keys of a group.</summary>
        public const int Keys = GradientTiles<THead>.OwnRows;

        private const uint DotOffset = Box64.Rows * 4;

        public static int GroupSize => 128 + GradientTiles<THead>.Consumers;

        public static int MinGroupsPerMultiprocessor => 1;

        public static CudaLevel Level => CudaLevel.Sm90a;

        public static bool IsHot => true;

        public static bool UsesTensorCores => true;

        public static int DynamicSharedBytes => GradientTiles<THead>.Bytes;

        public void Execute()
        {
            GradientTiles<THead> tiles = new(DynamicSharedAddress());
            int thread = Group.IdxX;
            if (thread == 0)
            {
                FenceTensorMap(GlobalAddress(QueryMap));
                FenceTensorMap(GlobalAddress(KeyMap));
                FenceTensorMap(GlobalAddress(ValueMap));
                FenceTensorMap(GlobalAddress(OutputGradientMap));
                tiles.Initialize();
            }

            Barrier();
            int firstKey = Grid.IdxX * Keys, firstTile = FirstTile(firstKey), steps = (QueryTiles - firstTile) * Sizes.HeadsPerKeyValueHead;
            if (thread < 128)
            {
                ReleaseRegisters(24);
                if (thread < 32 && steps > 0) Produce(tiles, firstKey, firstTile, steps, (uint)thread);
            }
            else
            {
                TakeRegisters(240);
                Consume(tiles, firstKey, firstTile, steps, (uint)thread - 128);
            }
        }

        /// <summary>Whether keys and values stay in registers too.</summary>
        private static bool KeepsKeys => THead.Size <= 64;

        /// <summary>Tiles of queries of a head.</summary>
        private int QueryTiles => (Sizes.QueryLength + Box64.Rows - 1) >> 6;

        /// <summary>The first tile of which some query sees some key from <paramref name="firstKey"/> on: query i sees key j from j ≤ i + lastKey on.</summary>
        private int FirstTile(int firstKey)
        {
            int tile = (firstKey > Sizes.LastKey ? firstKey - Sizes.LastKey : 0) >> 6;
            return firstKey < Sizes.KeyLength && tile < QueryTiles ? tile : QueryTiles;
        }

        /// <summary>The first tile of which all queries see all keys in front of <paramref name="endKey"/>.</summary>
        private int FirstFullTile(int endKey)
        {
            int lastKey = (endKey < Sizes.KeyLength ? endKey : Sizes.KeyLength) - 1;
            int tile = ((lastKey > Sizes.LastKey ? lastKey - Sizes.LastKey : 0) + Box64.Rows - 1) >> 6;
            return tile < QueryTiles ? tile : QueryTiles;
        }

        /// <summary>One warp: asks for the tiles of all heads, tile after tile, as soon as there is room; its lanes write the numbers of the queries.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Produce(in GradientTiles<THead> tiles, int firstKey, int firstTile, int steps, uint lane)
        {
            int keyValueHead = Grid.IdxY, batch = Grid.IdxZ, head = 0, first = firstTile * Box64.Rows;
            ulong queries = GlobalAddress(QueryMap), gradients = GlobalAddress(OutputGradientMap);
            if (lane == 0) tiles.LoadOwn(GlobalAddress(KeyMap), GlobalAddress(ValueMap), keyValueHead, firstKey, batch);
            for (int step = 0; step < steps; step++)
            {
                int ofAll = (keyValueHead * Sizes.HeadsPerKeyValueHead) + head, query = first + (int)lane;
                long row = Sizes.StatisticsOffset(batch, ofAll), half = Shifts.Length / 2;

                // Queries behind the last one weigh nothing: 2^-∞.
                float shift = float.PositiveInfinity, shiftBelow = float.PositiveInfinity, dot = 0f, dotBelow = 0f;
                if (query < Sizes.QueryLength)
                {
                    shift = Shifts[row + query];
                    dot = Shifts[half + row + query];
                }

                if (query + 32 < Sizes.QueryLength)
                {
                    shiftBelow = Shifts[row + query + 32];
                    dotBelow = Shifts[half + row + query + 32];
                }

                uint numbers = tiles.Numbers(step) + (lane * 4);
                BarrierWait(tiles.Empty(step), GradientTiles<THead>.Phase(step) ^ 1);
                StoreShared(numbers, shift);
                StoreShared(numbers + (32 * 4), shiftBelow);
                StoreShared(numbers + DotOffset, dot);
                StoreShared(numbers + DotOffset + (32 * 4), dotBelow);
                WarpBarrier();
                if (lane == 0) tiles.Load(step, queries, gradients, ofAll, first, batch);
                head++;
                if (head == Sizes.HeadsPerKeyValueHead)
                {
                    head = 0;
                    first += Box64.Rows;
                }
            }
        }

        /// <summary>Two warpgroups: 64 keys each.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Consume(in GradientTiles<THead> tiles, int firstKey, int firstTile, int steps, uint thread)
        {
            // From one lane, so that the assembler knows it for the same in all: descriptors then stay in uniform registers.
            uint half = ShuffleFrom(thread >> 7, 0), lane = thread & 31;
            int first = firstKey + (int)(half * Box64.Rows), key = firstKey + (int)(((thread >> 5) * 16) + (lane >> 2)), heads = Sizes.HeadsPerKeyValueHead;

            // What only the other warpgroup's keys are seen by.
            int tile = FirstTile(first), begin = (tile - firstTile) * heads, full = (FirstFullTile(first + Box64.Rows) - firstTile) * heads, step = 0, head = 0;
            for (; step < begin; step++) tiles.Skip(step, lane);
            if (steps > 0) BarrierWait(tiles.OwnFull, 0);

            Operands own = new(tiles, half, (thread >> 5) & 3, lane);

            // Behind the branches: the assembler wants them to come from one place.
            Accumulator128 keyGradient = HeadSums.Zero<THead>(), valueGradient = HeadSums.Zero<THead>();
            for (; step < full; step++)
            {
                Step(tiles, own, step, step > begin, lane, key, (tile * Box64.Rows) + (int)((lane & 3) * 2), isEdge: true, ref keyGradient, ref valueGradient);
                head++;
                if (head == heads)
                {
                    head = 0;
                    tile++;
                }
            }

            // Between the loops the sums go to other registers.
            HeadSums.Wait<THead>(ref keyGradient);
            HeadSums.Wait<THead>(ref valueGradient);
            for (; step < steps; step++) Step(tiles, own, step, step > begin, lane, key, 0, isEdge: false, ref keyGradient, ref valueGradient);
            HeadSums.Wait<THead>(ref keyGradient);
            HeadSums.Wait<THead>(ref valueGradient);
            KeyGradientRows.Store<THead, TRules>(DKey, DValue, KeyCopy, ValueCopy, KeyMask, Sizes, ref keyGradient, ref valueGradient, key, lane);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Step(
            in GradientTiles<THead> tiles, in Operands own, int step, bool hasStepBefore, uint lane, int key, int query, bool isEdge,
            ref Accumulator128 keyGradient, ref Accumulator128 valueGradient)
        {
            ulong queries = Boxes.Descriptor(tiles.Scores(step)), gradients = Boxes.Descriptor(tiles.Weights(step));
            uint numbers = tiles.Numbers(step) + ((lane & 3) * 8);
            BarrierWait(tiles.Full(step), GradientTiles<THead>.Phase(step));
            Fence();
            Accumulator64 p = KeepsKeys ? Boxes.MultiplyTransposed<THead>(own.Key, queries) : Boxes.MultiplyTransposed<THead>(own.KeyTile, queries).Low;
            Commit();
            Accumulator64 dp = KeepsKeys ? Boxes.MultiplyTransposed<THead>(own.Value, gradients) : Boxes.MultiplyTransposed<THead>(own.ValueTile, gradients).Low;
            Commit();

            // p, transposed, and dvalue += pᵀ · doutput. With the scores, the products of the step before are there.
            p = Wait(p, 1);
            if (THead.Size <= 64)
            {
                HeadSums.Wait<THead>(ref valueGradient, 1);
                HeadSums.Wait<THead>(ref keyGradient, 1);
            }

            if (hasStepBefore && lane == 0) BarrierArrive(tiles.Empty(step - 1));
            TransposedExp<TRules> exp = new(Sizes.Scale, numbers);
            Accumulator64.ForEach(ref p, ref exp);
            HideEarlyQueries hide = new(key - Sizes.LastKey, query);
            if (isEdge) Accumulator64.ForEach(ref p, ref hide);
            HeadFragments weights = HeadSums.Pack(p);
            Fence();
            Boxes.Multiply<THead>(ref valueGradient, weights, gradients);
            HeadSums.Commit<THead>(ref valueGradient);

            // ds = p (dp - doutput · output), transposed, and dkey += dsᵀ · query
            dp = Wait(dp, 1);
            Accumulator64.ForEach(ref p, dp, new TransposedDifferentiate(numbers + DotOffset));
            HeadFragments differences = HeadSums.Pack(p);
            Fence();
            Boxes.Multiply<THead>(ref keyGradient, differences, queries);
            HeadSums.Commit<THead>(ref keyGradient);

            // Sums of wider heads leave no registers for the next scores beside what these products read.
            if (THead.Size <= 64) return;
            HeadSums.Wait<THead>(ref valueGradient);
            HeadSums.Wait<THead>(ref keyGradient);
        }

        /// <summary>Keys and values of a warpgroup: in registers, or where they lie.</summary>
        private readonly struct Operands
        {
            public readonly HeadFragments Key, Value;
            public readonly ulong KeyTile, ValueTile;

            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public Operands(in GradientTiles<THead> tiles, uint half, uint warp, uint lane)
            {
                KeyTile = Boxes.Descriptor(tiles.OwnScores(half));
                ValueTile = Boxes.Descriptor(tiles.OwnWeights(half));
                Key = default;
                Value = default;
                if (!KeepsKeys) return;
                Key = Boxes.LoadLeft<THead>(tiles.OwnScores(half), warp * 16, lane);
                Value = Boxes.LoadLeft<THead>(tiles.OwnWeights(half), warp * 16, lane);
            }
        }
    }
}
