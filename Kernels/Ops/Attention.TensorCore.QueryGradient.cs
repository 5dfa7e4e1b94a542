using System.Runtime.CompilerServices;
using ILGPU;
using MiniVlp.Kernels.Gpu;
using MiniVlp.Kernels.Gpu.Cuda;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsAmpere;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <summary>
    /// dquery of 64 queries, which a group owns: a warp keeps 16 of them, their output's gradient and dquery in registers while keys and values
    /// pass through shared memory.
    /// </summary>
    internal readonly record struct TensorCoreQueryGradientKernel<THead, TRules>(
        ArrayView<float> Query, ArrayView<float> Key, ArrayView<float> Value, ArrayView<float> OutputGradient, ArrayView<int> KeyMask, ArrayView<float> Bias,
        ArrayView<float> Statistics, ArrayView<float> Shifts, GpuTarget DQuery, AttentionSizes Sizes) : IGpuKernel
        where THead : struct, IHeadSize
        where TRules : struct, IScoreRules
    {
        public static int GroupSize => HeadTile.Threads;

        public static CudaLevel Level => CudaLevel.Sm80;

        public static bool IsHot => true;

        public static bool UsesTensorCores => true;

        /// <summary>Shared memory: queries and gradients of the output, two tiles of keys and values with their masks.</summary>
        public static int DynamicSharedBytes => (6 * HeadTile.Rows * THead.Size * 2) + (TRules.HasKeyMask ? 2 * (int)KeyMaskTile.Bytes : 0);

        /// <summary>Whether the gradient of the output stays in registers; where they are short it is read again for each tile.</summary>
        private static bool KeepsOutputGradient => THead.Size <= 64 || (THead.Size == 128 && !TRules.HasBias);

        public void Execute()
        {
            uint shared = DynamicSharedAddress(), thread = (uint)Group.IdxX, lane = thread & 31, warp = thread >> 5;
            int firstQuery = (Grid.DimX - 1 - Grid.IdxX) * HeadTile.Rows, head = Grid.IdxY, batch = Grid.IdxZ;
            ulong queryOffset = Sizes.QueryOffset<THead>(batch, head);
            HeadTile.Copy<THead>(shared, GlobalAddress(Query) + queryOffset, Sizes.QueryStride<THead>(), firstQuery, Sizes.QueryLength, thread);
            HeadTile.Copy<THead>(shared + HeadTile.Bytes<THead>(), GlobalAddress(OutputGradient) + queryOffset, Sizes.QueryStride<THead>(), firstQuery, Sizes.QueryLength, thread);
            ulong keyOffset = Sizes.KeyOffset<THead>(batch, head / Sizes.HeadsPerKeyValueHead);
            Load(shared, thread, keyOffset, 0);
            CopyAsyncCommit();
            int row = firstQuery + (int)((warp * 16) + (lane >> 2));
            QueryNumbers numbers = QueryNumbers.Load(this, row), below = QueryNumbers.Load(this, row + 8);
            CopyAsyncWait(0);
            Barrier();

            HeadFragments query = HeadTile.LoadLeft<THead>(HeadTile.LeftLane<THead>(shared, warp * 16, lane));
            TileLane outputGradientRows = HeadTile.LeftLane<THead>(shared + HeadTile.Bytes<THead>(), warp * 16, lane);
            HeadFragments outputGradient = KeepsOutputGradient ? HeadTile.LoadLeft<THead>(outputGradientRows) : default;
            Accumulator128 gradient = default;
            int full = Sizes.FullTiles(firstQuery), visible = Sizes.VisibleTiles(firstQuery + HeadTile.Rows), tile = 0;
            for (; tile < full; tile++) Step(shared, thread, keyOffset, query, outputGradient, outputGradientRows, numbers, below, tile, visible, row, isEdge: false, ref gradient);
            for (; tile < visible; tile++) Step(shared, thread, keyOffset, query, outputGradient, outputGradientRows, numbers, below, tile, visible, row, isEdge: true, ref gradient);

            ulong stride = 2ul * Sizes.QueryStride<THead>(), target = GlobalAddress(DQuery.View) + (2 * queryOffset) + ((lane & 3) * 8);
            HeadTile.StoreRows<THead>(
                ref gradient, target + ((uint)row * stride), target + ((uint)(row + 8) * stride), Sizes.Scale, Sizes.Scale,
                row < Sizes.QueryLength, row + 8 < Sizes.QueryLength, DQuery.Accumulate != 0 ? 1 : 0);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static uint Stage(uint shared, int tile) => shared + ((2 + ((uint)(tile & 1) * 2)) * HeadTile.Bytes<THead>());

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static uint Mask(uint shared, int tile) => shared + (6 * HeadTile.Bytes<THead>()) + ((uint)(tile & 1) * KeyMaskTile.Bytes);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Load(uint shared, uint thread, ulong offset, int tile)
        {
            int first = tile * HeadTile.Rows;
            HeadTile.Copy<THead>(Stage(shared, tile), GlobalAddress(Key) + offset, Sizes.KeyStride<THead>(), first, Sizes.KeyLength, thread);
            HeadTile.Copy<THead>(Stage(shared, tile) + HeadTile.Bytes<THead>(), GlobalAddress(Value) + offset, Sizes.KeyStride<THead>(), first, Sizes.KeyLength, thread);
            if (TRules.HasKeyMask) KeyMaskTile.Store(Mask(shared, tile), KeyMask, (long)Grid.IdxZ * Sizes.KeyLength, first, Sizes.KeyLength, thread);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Step(
            uint shared, uint thread, ulong keyOffset, in HeadFragments query, in HeadFragments outputGradient, TileLane outputGradientRows, QueryNumbers numbers, QueryNumbers below,
            int tile, int visible, int row, bool isEdge, ref Accumulator128 gradient)
        {
            CopyAsyncWait(0);
            Barrier();
            if (tile + 1 < visible) Load(shared, thread, keyOffset, tile + 1);
            CopyAsyncCommit();
            uint lane = thread & 31, keys = Stage(shared, tile), values = keys + HeadTile.Bytes<THead>();
            int column = (tile * HeadTile.Rows) + (int)((lane & 3) * 2);
            Accumulator64 p = default, dp = default;
            HeadTile.MultiplyTransposed<THead>(ref p, query, HeadTile.RightLane<THead>(keys, lane));
            if (KeepsOutputGradient) HeadTile.MultiplyTransposed<THead>(ref dp, outputGradient, HeadTile.RightLane<THead>(values, lane));
            else HeadTile.MultiplyTransposed<THead>(ref dp, outputGradientRows, HeadTile.RightLane<THead>(values, lane));
            if (TRules.HasBias)
            {
                AddBiasRows bias = new(Bias, Sizes.BiasOffset(Grid.IdxZ, Grid.IdxY), row, Sizes.QueryLength, Sizes.KeyLength, Sizes.Scale, column);
                Accumulator64.ForEach(ref p, ref bias);
            }

            if (TRules.HasKeyMask) KeyMaskTile.AddTo(ref p, Mask(shared, tile), lane);
            HideBehindLastKey hide = new(column, Sizes.LastVisibleKey(row), Sizes.LastVisibleKey(row + 8));
            if (isEdge) Accumulator64.ForEach(ref p, ref hide);
            Accumulator64.ForEach(ref p, dp, new DifferentiateRows(numbers, below, Sizes.Scale));
            HeadTile.Multiply<THead>(ref gradient, p, HeadTile.LeftLane<THead>(keys, 0, lane));
        }

        /// <summary>The largest score (with a bias), the shift, and doutput · output of one query.</summary>
        internal struct QueryNumbers
        {
            public float Largest, Shift, Dot;

            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public static QueryNumbers Load(in TensorCoreQueryGradientKernel<THead, TRules> kernel, int row)
            {
                int last = kernel.Sizes.QueryLength - 1;
                long index = kernel.Sizes.StatisticsOffset(Grid.IdxZ, Grid.IdxY) + (row < last ? row : last);
                QueryNumbers numbers;
                numbers.Largest = TRules.HasBias ? kernel.Statistics[index] : 0f;
                numbers.Shift = kernel.Shifts[index];
                numbers.Dot = kernel.Shifts[(kernel.Shifts.Length / 2) + index];
                return numbers;
            }
        }

        /// <summary>Scores become ds = p (dp - doutput · output) where queries are rows.</summary>
        private readonly struct DifferentiateRows(QueryNumbers numbers, QueryNumbers below, float scale) : IColumnsPairStep
        {
            private readonly float _factor = TRules.HasBias ? Log2OfE : scale * Log2OfE;

            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public void Apply(ref Float4 sums, Float4 others, int column)
            {
                sums.X = Weight(sums.X, numbers) * (others.X - numbers.Dot);
                sums.Y = Weight(sums.Y, numbers) * (others.Y - numbers.Dot);
                sums.Z = Weight(sums.Z, below) * (others.Z - below.Dot);
                sums.W = Weight(sums.W, below) * (others.W - below.Dot);
            }

            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            private float Weight(float score, QueryNumbers of) => Exp2Approximate(((TRules.HasBias ? score - of.Largest : score) * _factor) - of.Shift);
        }
    }
}
