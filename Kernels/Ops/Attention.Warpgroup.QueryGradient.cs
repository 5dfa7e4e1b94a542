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
    /// dquery of 128 queries, which a group owns, by wgmma for sm_90a: one warp asks the TMA unit for tiles of 64 keys and values, two warpgroups
    /// keep the gradients of 64 queries each in registers. dp is multiplied beside the exponentials, dquery beside the next scores.
    /// </summary>
    /// <param name="QueryMap">Tensor map of the query.</param>
    /// <param name="KeyMap">Tensor map of the key.</param>
    /// <param name="ValueMap">Tensor map of the value.</param>
    /// <param name="OutputGradientMap">Tensor map of the gradient of the output.</param>
    /// <param name="KeyMask">Which keys are not hidden; may be empty.</param>
    /// <param name="Shifts">The two numbers of each query, from <see cref="TensorCoreShiftKernel"/>.</param>
    /// <param name="DQuery">Gradient of the query.</param>
    /// <param name="Copy">DQuery as bfloat16; may be empty.</param>
    /// <param name="Sizes">The sizes.</param>
    internal readonly record struct WarpgroupQueryGradientKernel<[WarpgroupHeads] THead, [UnbiasedRules] TRules>(
        ArrayView<float> QueryMap, ArrayView<float> KeyMap, ArrayView<float> ValueMap, ArrayView<float> OutputGradientMap, ArrayView<int> KeyMask,
        ArrayView<float> Shifts, GpuTarget DQuery, ArrayView<float> Copy, AttentionSizes Sizes) : IGpuKernel
        where THead : struct, IHeadSize
        where TRules : struct, IScoreRules
    {
        /// <summary>Queries of a group.</summary>
        public const int Queries = GradientTiles<THead>.OwnRows;

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

            // The queries at the end see most keys where the causal rule holds: they start first.
            int firstQuery = (Grid.DimX - 1 - Grid.IdxX) * Queries, steps = Sizes.VisibleTiles(firstQuery + Queries);
            if (thread < 128)
            {
                ReleaseRegisters(24);
                if (thread < 32 && steps > 0) Produce(tiles, firstQuery, steps, (uint)thread);
            }
            else
            {
                TakeRegisters(240);
                Consume(tiles, firstQuery, steps, (uint)thread - 128);
            }
        }

        /// <summary>One warp: asks for tile after tile as soon as there is room; its lanes write the masks.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Produce(in GradientTiles<THead> tiles, int firstQuery, int steps, uint lane)
        {
            int head = Grid.IdxY, batch = Grid.IdxZ, keyValueHead = head / Sizes.HeadsPerKeyValueHead;
            ulong keys = GlobalAddress(KeyMap), values = GlobalAddress(ValueMap);
            if (lane == 0) tiles.LoadOwn(GlobalAddress(QueryMap), GlobalAddress(OutputGradientMap), head, firstQuery, batch);
            for (int step = 0; step < steps; step++)
            {
                int firstKey = step * Box64.Rows;
                BarrierWait(tiles.Empty(step), GradientTiles<THead>.Phase(step) ^ 1);
                if (TRules.HasKeyMask)
                {
                    long first = (long)batch * Sizes.KeyLength;
                    KeyMaskTile.Store(tiles.Numbers(step), KeyMask, first, firstKey, Sizes.KeyLength, lane);
                    KeyMaskTile.Store(tiles.Numbers(step), KeyMask, first, firstKey, Sizes.KeyLength, lane + 32);
                    WarpBarrier();
                }

                if (lane == 0) tiles.Load(step, keys, values, keyValueHead, firstKey, batch);
            }
        }

        /// <summary>Two warpgroups: 64 queries each.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Consume(in GradientTiles<THead> tiles, int firstQuery, int steps, uint thread)
        {
            // From one lane, so that the assembler knows it for the same in all: descriptors then stay in uniform registers.
            uint half = ShuffleFrom(thread >> 7, 0), lane = thread & 31;
            int first = firstQuery + (int)(half * Box64.Rows), row = firstQuery + (int)(((thread >> 5) * 16) + (lane >> 2));
            float shift = Number(0, row), shiftBelow = Number(0, row + 8), dot = Number(Shifts.Length / 2, row), dotBelow = Number(Shifts.Length / 2, row + 8);
            WeightsOfRows exp = new(Sizes.Scale, shift, shiftBelow);
            DifferentiateRows differentiate = new(dot, dotBelow);

            int visible = first < Sizes.QueryLength ? Sizes.VisibleTiles(first + Box64.Rows) : 0, full = Sizes.FullTiles(first), step = 0;
            full = full < visible ? full : visible;
            if (steps > 0) BarrierWait(tiles.OwnFull, 0);
            HeadFragments queries = Boxes.LoadLeft<THead>(tiles.OwnScores(half), ((thread >> 5) & 3) * 16, lane);
            HeadFragments gradients = Boxes.LoadLeft<THead>(tiles.OwnWeights(half), ((thread >> 5) & 3) * 16, lane);

            // Behind the branches: the assembler wants them to come from one place.
            Accumulator128 gradient = HeadSums.Zero<THead>();
            for (; step < full; step++) Step(tiles, queries, gradients, step, row, lane, exp, differentiate, isEdge: false, ref gradient);

            // Between the loops the sums go to other registers.
            HeadSums.Wait<THead>(ref gradient);
            for (; step < visible; step++) Step(tiles, queries, gradients, step, row, lane, exp, differentiate, isEdge: true, ref gradient);
            HeadSums.Wait<THead>(ref gradient);
            if (visible > 0 && lane == 0) BarrierArrive(tiles.Empty(visible - 1));

            // What only the other warpgroup's queries see.
            for (; step < steps; step++) tiles.Skip(step, lane);
            ulong stride = 2ul * Sizes.QueryStride<THead>(), target = GlobalAddress(DQuery.View) + (2 * Sizes.QueryOffset<THead>(Grid.IdxZ, Grid.IdxY)) + ((lane & 3) * 8);
            HeadTile.StoreRows<THead>(
                ref gradient, target + ((uint)row * stride), target + ((uint)(row + 8) * stride), Sizes.Scale, Sizes.Scale,
                row < Sizes.QueryLength, row + 8 < Sizes.QueryLength, DQuery.Accumulate != 0 ? 1 : 0);
            if (Copy.Length == 0) return;
            ulong copy = GlobalAddress(Copy) + ((target - GlobalAddress(DQuery.View)) >> 1);
            HeadTile.StoreCopies<THead>(
                ref gradient, copy + ((uint)row * (stride >> 1)), copy + ((uint)(row + 8) * (stride >> 1)), Sizes.Scale, Sizes.Scale,
                row < Sizes.QueryLength, row + 8 < Sizes.QueryLength);
        }

        /// <summary>A number of a query, or of the last one.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private float Number(long first, int query)
            => Shifts[first + Sizes.StatisticsOffset(Grid.IdxZ, Grid.IdxY) + (query < Sizes.QueryLength ? query : Sizes.QueryLength - 1)];

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Step(
            in GradientTiles<THead> tiles, in HeadFragments queries, in HeadFragments gradients, int step, int row, uint lane, WeightsOfRows exp, in DifferentiateRows differentiate, bool isEdge,
            ref Accumulator128 gradient)
        {
            ulong keys = Boxes.Descriptor(tiles.Scores(step)), values = Boxes.Descriptor(tiles.Weights(step));
            BarrierWait(tiles.Full(step), GradientTiles<THead>.Phase(step));
            Fence();
            Accumulator64 p = Boxes.MultiplyTransposed<THead>(queries, keys);
            Commit();
            Accumulator64 dp = Boxes.MultiplyTransposed<THead>(gradients, values);
            Commit();

            // With the scores, the product of the step before is there.
            p = Wait(p, 1);
            HeadSums.Wait<THead>(ref gradient, 1);
            if (step > 0 && lane == 0) BarrierArrive(tiles.Empty(step - 1));
            if (TRules.HasKeyMask) KeyMaskTile.AddTo(ref p, tiles.Numbers(step), lane);
            HideBehindLastKey hide = new((step * Box64.Rows) + (int)((lane & 3) * 2), Sizes.LastVisibleKey(row), Sizes.LastVisibleKey(row + 8));
            if (isEdge) Accumulator64.ForEach(ref p, ref hide);
            Accumulator64.ForEach(ref p, ref exp);

            // Over long ago: a branch, behind which the assembler must not move the exponentials, which are to run beside dp.
            BarrierWait(tiles.OwnFull, 0);

            // ds = p (dp - doutput · output), and dquery += ds · key
            dp = Wait(dp, 0);
            Accumulator64.ForEach(ref p, dp, differentiate);
            HeadFragments differences = HeadSums.Pack(p);
            Fence();
            Boxes.Multiply<THead>(ref gradient, differences, keys);
            HeadSums.Commit<THead>(ref gradient);
        }

        /// <summary>Scores become p where queries are rows.</summary>
        private readonly struct WeightsOfRows(float scale, float shift, float shiftBelow) : IColumnsStep
        {
            private readonly float _factor = scale * Log2OfE;

            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public void Apply(ref Float4 sums, int column)
            {
                sums.X = Exp2Approximate((sums.X * _factor) - shift);
                sums.Y = Exp2Approximate((sums.Y * _factor) - shift);
                sums.Z = Exp2Approximate((sums.Z * _factor) - shiftBelow);
                sums.W = Exp2Approximate((sums.W * _factor) - shiftBelow);
            }
        }

        /// <summary>p becomes ds = p (dp - doutput · output) where queries are rows.</summary>
        private readonly struct DifferentiateRows(float dot, float dotBelow) : IColumnsPairStep
        {
            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public void Apply(ref Float4 sums, Float4 others, int column)
            {
                sums.X *= others.X - dot;
                sums.Y *= others.Y - dot;
                sums.Z *= others.Z - dotBelow;
                sums.W *= others.W - dotBelow;
            }
        }
    }
}
