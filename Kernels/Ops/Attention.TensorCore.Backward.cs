using System.Runtime.CompilerServices;
using ILGPU;
using MiniVlp.Kernels.Gpu;
using MiniVlp.Kernels.Gpu.Cuda;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsAmpere;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <summary>
    /// Two numbers for each query, so that the gradient kernels take one subtraction each: what p_ij = 2^(score · log₂e - shift) subtracts
    /// (with a bias only -log₂ of the inverse sum; +∞ for a query that sees no key, which makes p zero), and doutput · output. A warp takes a row.
    /// </summary>
    internal readonly record struct TensorCoreShiftKernel(
        ArrayView<float> Output, ArrayView<float> OutputGradient, ArrayView<float> Statistics, ArrayView<float> Shifts,
        int QueryLength, int Heads, int HeadSize, int HasBias) : IGpuKernel
    {
        public static int GroupSize => 256;

        public static CudaLevel Level => CudaLevel.Sm80;

        public void Execute()
        {
            long rows = Shifts.Length / 2, row = ((long)Grid.IdxX * (GroupSize / 32)) + (Group.IdxX >> 5);
            int lane = Group.IdxX & 31;
            if (row >= rows) return;
            long query = row % QueryLength, head = row / QueryLength % Heads, batch = row / QueryLength / Heads;
            long first = ((((batch * QueryLength) + query) * Heads) + head) * HeadSize;
            float dot = 0f;
            for (int i = lane; i < HeadSize; i += 32) dot += Output[first + i] * OutputGradient[first + i];
            dot = WarpSum(dot);
            if (lane != 0) return;
            float inverse = Statistics[rows + row];
            Shifts[row] = (HasBias != 0 ? 0f : Statistics[row] * Log2OfE) - Log2Approximate(inverse);
            Shifts[rows + row] = dot;
        }
    }

    /// <summary>
    /// dkey and dvalue of 64 keys, which a group owns, so that nothing is added by atomics: a warp keeps the gradients of 16 keys in registers
    /// while the queries of all heads that read them pass through shared memory. Scores are computed transposed (keys are rows), which makes the
    /// rounded p and ds left operands as they lie. Tiles on the causal diagonal come first and have their own loop.
    /// </summary>
    internal readonly record struct TensorCoreKeyGradientKernel<THead, TRules>(
        ArrayView<float> Query, ArrayView<float> Key, ArrayView<float> Value, ArrayView<float> OutputGradient, ArrayView<int> KeyMask, ArrayView<float> Bias,
        ArrayView<float> Statistics, ArrayView<float> Shifts, GpuTarget DKey, GpuTarget DValue, AttentionSizes Sizes) : IGpuKernel
        where THead : struct, IHeadSize
        where TRules : struct, IScoreRules
    {
        private const uint StatisticsBytes = 3 * HeadTile.Rows * 4;
        private const uint DotOffset = HeadTile.Rows * 4;

        public static int GroupSize => HeadTile.Threads;

        public static CudaLevel Level => CudaLevel.Sm80;

        /// <summary>Gradients of the widest heads fill the registers, and a few addresses do not fit beside them.</summary>
        public static bool IsHot => THead.Size <= 80;

        public static bool UsesTensorCores => true;

        /// <summary>Shared memory: keys and values, two tiles of queries and of gradients of the output, two tiles of three numbers a query.</summary>
        public static int DynamicSharedBytes => (6 * HeadTile.Rows * THead.Size * 2) + (2 * (int)StatisticsBytes);

        /// <summary>Whether keys and values stay in registers; of the widest heads they are read again, and tiles are taken by halves.</summary>
        private static bool KeepsKeys => THead.Size <= 64 || (THead.Size == 80 && !TRules.HasBias);

        public void Execute()
        {
            uint shared = DynamicSharedAddress(), thread = (uint)Group.IdxX, lane = thread & 31, warp = thread >> 5;
            int firstKey = Grid.IdxX * HeadTile.Rows, keyValueHead = Grid.IdxY, batch = Grid.IdxZ;
            ulong keyOffset = Sizes.KeyOffset<THead>(batch, keyValueHead);
            HeadTile.Copy<THead>(shared, GlobalAddress(Key) + keyOffset, Sizes.KeyStride<THead>(), firstKey, Sizes.KeyLength, thread);
            HeadTile.Copy<THead>(shared + HeadTile.Bytes<THead>(), GlobalAddress(Value) + keyOffset, Sizes.KeyStride<THead>(), firstKey, Sizes.KeyLength, thread);

            // Query i sees key j from j ≤ i + lastKey on.
            int tiles = (Sizes.QueryLength + HeadTile.Rows - 1) >> 6;
            int begin = FirstQuery(firstKey) >> 6, full = (FirstQuery(firstKey + HeadTile.Rows - 1) + HeadTile.Rows - 1) >> 6;
            full = full < tiles ? full : tiles;
            begin = begin < full ? begin : full;
            Cursor cursor = new(0, begin), next = new(0, begin);
            int heads = Sizes.HeadsPerKeyValueHead, edgeSteps = (full - begin) * heads, steps = (tiles - begin) * heads;
            if (edgeSteps == 0) next = cursor = new Cursor(0, full);
            if (steps > 0) Load(shared, thread, next, 0);
            CopyAsyncCommit();
            CopyAsyncWait(0);
            Barrier();

            Operands operands = new(shared, warp, lane);
            Accumulator128 keyGradient = default, valueGradient = default;
            int step = 0;
            for (; step < edgeSteps; step++) Step(shared, thread, operands, step, steps, begin, full, tiles, isEdge: true, ref cursor, ref next, ref keyGradient, ref valueGradient);
            for (; step < steps; step++) Step(shared, thread, operands, step, steps, begin, full, tiles, isEdge: false, ref cursor, ref next, ref keyGradient, ref valueGradient);
            Store(keyGradient, valueGradient, firstKey + (int)((warp * 16) + (lane >> 2)), lane);
        }

        private int FirstQuery(int key) => key > Sizes.LastKey ? key - Sizes.LastKey : 0;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static uint Stage(uint shared, int step) => shared + ((2 + ((uint)(step & 1) * 2)) * HeadTile.Bytes<THead>());

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static uint StatisticsTile(uint shared, int step) => shared + (6 * HeadTile.Bytes<THead>()) + ((uint)(step & 1) * StatisticsBytes);

        /// <summary>Starts to copy a tile of queries; its numbers come at once.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Load(uint shared, uint thread, Cursor at, int step)
        {
            int head = (Grid.IdxY * Sizes.HeadsPerKeyValueHead) + at.Head, first = at.Tile * HeadTile.Rows;
            ulong offset = Sizes.QueryOffset<THead>(Grid.IdxZ, head);
            HeadTile.Copy<THead>(Stage(shared, step), GlobalAddress(Query) + offset, Sizes.QueryStride<THead>(), first, Sizes.QueryLength, thread);
            HeadTile.Copy<THead>(Stage(shared, step) + HeadTile.Bytes<THead>(), GlobalAddress(OutputGradient) + offset, Sizes.QueryStride<THead>(), first, Sizes.QueryLength, thread);

            // Queries behind the last one weigh nothing: 2^-∞.
            int query = first + (int)(thread & (HeadTile.Rows - 1));
            long row = Sizes.StatisticsOffset(Grid.IdxZ, head) + (query < Sizes.QueryLength ? query : 0);
            bool isShift = thread < HeadTile.Rows;
            float value = Shifts[isShift ? row : (Shifts.Length / 2) + row], largest = 0f;
            if (query >= Sizes.QueryLength) value = isShift ? float.PositiveInfinity : 0f;
            StoreShared(StatisticsTile(shared, step) + (thread * 4), value);
            if (!TRules.HasBias || !isShift) return;
            if (query < Sizes.QueryLength) largest = Statistics[row];
            StoreShared(StatisticsTile(shared, step) + (((2 * HeadTile.Rows) + thread) * 4), largest);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Step(
            uint shared, uint thread, in Operands operands, int step, int steps, int begin, int full, int tiles, bool isEdge,
            ref Cursor cursor, ref Cursor next, ref Accumulator128 keyGradient, ref Accumulator128 valueGradient)
        {
            CopyAsyncWait(0);
            Barrier();
            if (step + 1 < steps)
            {
                next = next.Next(begin, full, tiles, Sizes.HeadsPerKeyValueHead);
                Load(shared, thread, next, step + 1);
            }

            CopyAsyncCommit();
            uint lane = thread & 31, queries = Stage(shared, step), gradients = queries + HeadTile.Bytes<THead>(), numbers = StatisticsTile(shared, step) + ((lane & 3) * 8);
            int key = (Grid.IdxX * HeadTile.Rows) + (int)(((thread >> 5) * 16) + (lane >> 2)), query = (cursor.Tile * HeadTile.Rows) + (int)((lane & 3) * 2);

            if (KeepsKeys)
            {
                // p, transposed, and dvalue += pᵀ · doutput
                Accumulator64 p = default, dp = default;
                HeadTile.MultiplyTransposed<THead>(ref p, operands.Key, HeadTile.RightLane<THead>(queries, lane));
                if (TRules.HasBias) AddBias(ref p, cursor, key, query);
                TransposedWeights.Exp<TRules>(ref p, Sizes.Scale, numbers);
                if (isEdge) TransposedWeights.Hide(ref p, key - Sizes.LastKey, query);
                HeadTile.Multiply<THead>(ref valueGradient, p, HeadTile.LeftLane<THead>(gradients, 0, lane));

                // ds = p (dp - doutput · output), transposed, and dkey += dsᵀ · query
                HeadTile.MultiplyTransposed<THead>(ref dp, operands.Value, HeadTile.RightLane<THead>(gradients, lane));
                TransposedWeights.Differentiate(ref p, dp, numbers + DotOffset);
                HeadTile.Multiply<THead>(ref keyGradient, p, HeadTile.LeftLane<THead>(queries, 0, lane));
            }
            else
            {
                const uint HalfNumbers = HeadTile.Rows / 2 * 4;
                uint half = HeadTile.Bytes<THead>() / 2;
                Half(operands, queries, gradients, numbers, key, query, lane, isEdge, cursor, ref keyGradient, ref valueGradient);

                // Without it the fragments of keys and values of the first half would be kept for the second, in registers that are not there.
                WarpBarrier();
                Half(operands, queries + half, gradients + half, numbers + HalfNumbers, key, query + (HeadTile.Rows / 2), lane, isEdge, cursor, ref keyGradient, ref valueGradient);
            }

            cursor = next;
        }

        /// <summary>The same for half a tile of queries, where registers are short.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Half(
            in Operands operands, uint queries, uint gradients, uint numbers, int key, int query, uint lane, bool isEdge, Cursor cursor,
            ref Accumulator128 keyGradient, ref Accumulator128 valueGradient)
        {
            Accumulator32 p = default, dp = default;
            HeadTile.MultiplyTransposed<THead>(ref p, operands.KeyRows, HeadTile.RightLane<THead>(queries, lane));
            if (TRules.HasBias) AddBias(ref p, cursor, key, query);
            TransposedWeights.Exp<TRules>(ref p, Sizes.Scale, numbers);
            if (isEdge) TransposedWeights.Hide(ref p, key - Sizes.LastKey, query);
            WarpBarrier();
            HeadTile.Multiply<THead>(ref valueGradient, p, HeadTile.LeftLane<THead>(gradients, 0, lane));
            WarpBarrier();
            HeadTile.MultiplyTransposed<THead>(ref dp, operands.ValueRows, HeadTile.RightLane<THead>(gradients, lane));
            TransposedWeights.Differentiate(ref p, dp, numbers + DotOffset);
            WarpBarrier();
            HeadTile.Multiply<THead>(ref keyGradient, p, HeadTile.LeftLane<THead>(queries, 0, lane));
        }

        /// <summary>scale · dot + bias: this thread holds two keys and two queries of each eight.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void AddBias(ref Accumulator64 scores, Cursor at, int key, int query)
        {
            ulong column = BiasColumn(at, key), below = BiasColumn(at, key + 8);
            AddBias(ref scores.C0, column, below, query);
            AddBias(ref scores.C1, column, below, query + 8);
            AddBias(ref scores.C2, column, below, query + 16);
            AddBias(ref scores.C3, column, below, query + 24);
            AddBias(ref scores.C4, column, below, query + 32);
            AddBias(ref scores.C5, column, below, query + 40);
            AddBias(ref scores.C6, column, below, query + 48);
            AddBias(ref scores.C7, column, below, query + 56);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void AddBias(ref Accumulator32 scores, Cursor at, int key, int query)
        {
            ulong column = BiasColumn(at, key), below = BiasColumn(at, key + 8);
            AddBias(ref scores.C0, column, below, query);
            AddBias(ref scores.C1, column, below, query + 8);
            AddBias(ref scores.C2, column, below, query + 16);
            AddBias(ref scores.C3, column, below, query + 24);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private ulong BiasColumn(Cursor at, int key)
        {
            int head = (Grid.IdxY * Sizes.HeadsPerKeyValueHead) + at.Head, last = Sizes.KeyLength - 1;
            return GlobalAddress(Bias) + ((ulong)(Sizes.BiasOffset(Grid.IdxZ, head) + (key < last ? key : last)) * 4);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void AddBias(ref Float4 score, ulong column, ulong columnBelow, int query)
        {
            int last = Sizes.QueryLength - 1;
            ulong first = (ulong)(uint)(query < last ? query : last) * (uint)Sizes.KeyLength * 4, second = (ulong)(uint)(query + 1 < last ? query + 1 : last) * (uint)Sizes.KeyLength * 4;
            score.X = (score.X * Sizes.Scale) + LoadConstantFloat(column + first);
            score.Y = (score.Y * Sizes.Scale) + LoadConstantFloat(column + second);
            score.Z = (score.Z * Sizes.Scale) + LoadConstantFloat(columnBelow + first);
            score.W = (score.W * Sizes.Scale) + LoadConstantFloat(columnBelow + second);
        }

        /// <summary>A hidden key has gathered what it must not get, in its own row alone: it gets zeros.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Store(in Accumulator128 keyGradient, in Accumulator128 valueGradient, int key, uint lane)
        {
            bool isRow = key < Sizes.KeyLength, isRowBelow = key + 8 < Sizes.KeyLength;
            ulong stride = 2ul * Sizes.KeyStride<THead>(), offset = (2 * Sizes.KeyOffset<THead>(Grid.IdxZ, Grid.IdxY)) + ((lane & 3) * 8);
            ulong row = offset + ((uint)key * stride), below = offset + ((uint)(key + 8) * stride);
            bool isHidden = false, isHiddenBelow = false;
            if (TRules.HasKeyMask && KeyMask.Length > 0)
            {
                long mask = (long)Grid.IdxZ * Sizes.KeyLength;
                isHidden = isRow && KeyMask[mask + key] == 0;
                isHiddenBelow = isRowBelow && KeyMask[mask + key + 8] == 0;
            }

            if (DKey.View.Length > 0)
            {
                Accumulator128 gradient = keyGradient;
                if (TRules.HasKeyMask) TransposedWeights.Clear<THead>(ref gradient, isHidden, isHiddenBelow);
                ulong target = GlobalAddress(DKey.View);
                HeadTile.StoreRows<THead>(gradient, target + row, target + below, Sizes.Scale, Sizes.Scale, isRow, isRowBelow, DKey.Accumulate != 0 ? 1 : 0);
            }

            if (DValue.View.Length > 0)
            {
                Accumulator128 gradient = valueGradient;
                if (TRules.HasKeyMask) TransposedWeights.Clear<THead>(ref gradient, isHidden, isHiddenBelow);
                ulong target = GlobalAddress(DValue.View);
                HeadTile.StoreRows<THead>(gradient, target + row, target + below, 1f, 1f, isRow, isRowBelow, DValue.Accumulate != 0 ? 1 : 0);
            }
        }

        /// <summary>A tile of queries of one of the heads: first those on the diagonal of all heads, then the others of all heads.</summary>
        private readonly record struct Cursor(int Head, int Tile)
        {
            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public Cursor Next(int begin, int full, int tiles, int heads)
            {
                bool isEdge = Tile < full;
                int tile = Tile + 1, head = Head;
                if (tile == (isEdge ? full : tiles))
                {
                    head++;
                    tile = isEdge ? begin : full;
                    if (head == heads && isEdge)
                    {
                        head = 0;
                        tile = full;
                    }
                }

                return new Cursor(head, tile);
            }
        }

        /// <summary>Keys and values of a warp: in registers, or where they lie.</summary>
        private readonly struct Operands
        {
            public readonly HeadFragments Key, Value;
            public readonly TileLane KeyRows, ValueRows;

            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public Operands(uint shared, uint warp, uint lane)
            {
                KeyRows = HeadTile.LeftLane<THead>(shared, warp * 16, lane);
                ValueRows = HeadTile.LeftLane<THead>(shared + HeadTile.Bytes<THead>(), warp * 16, lane);
                Key = default;
                Value = default;
                if (!KeepsKeys) return;
                Key = HeadTile.LoadLeft<THead>(KeyRows);
                Value = HeadTile.LoadLeft<THead>(ValueRows);
            }
        }
    }

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
                gradient, target + ((uint)row * stride), target + ((uint)(row + 8) * stride), Sizes.Scale, Sizes.Scale,
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
                BiasRows bias = new(Bias, Sizes.BiasOffset(Grid.IdxZ, Grid.IdxY), row, Sizes.QueryLength, Sizes.KeyLength);
                bias.AddTo(ref p, Sizes.Scale, column);
            }

            if (TRules.HasKeyMask) KeyMaskTile.AddTo(ref p, Mask(shared, tile), lane);
            if (isEdge) LastKeyRule.Hide(ref p, column, Sizes.LastVisibleKey(row), Sizes.LastVisibleKey(row + 8));
            RowWeights.Differentiate<TRules>(ref p, dp, numbers, below, Sizes.Scale);
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

        /// <summary>ds = p (dp - doutput · output) where queries are rows.</summary>
        private static class RowWeights
        {
            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public static void Differentiate<TScores>(ref Accumulator64 p, in Accumulator64 dp, QueryNumbers numbers, QueryNumbers below, float scale)
                where TScores : struct, IScoreRules
            {
                float factor = TScores.HasBias ? Log2OfE : scale * Log2OfE;
                Apply<TScores>(ref p.C0, dp.C0, numbers, below, factor);
                Apply<TScores>(ref p.C1, dp.C1, numbers, below, factor);
                Apply<TScores>(ref p.C2, dp.C2, numbers, below, factor);
                Apply<TScores>(ref p.C3, dp.C3, numbers, below, factor);
                Apply<TScores>(ref p.C4, dp.C4, numbers, below, factor);
                Apply<TScores>(ref p.C5, dp.C5, numbers, below, factor);
                Apply<TScores>(ref p.C6, dp.C6, numbers, below, factor);
                Apply<TScores>(ref p.C7, dp.C7, numbers, below, factor);
            }

            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            private static void Apply<TScores>(ref Float4 p, Float4 dp, QueryNumbers numbers, QueryNumbers below, float factor)
                where TScores : struct, IScoreRules
            {
                p.X = Weight<TScores>(p.X, numbers, factor) * (dp.X - numbers.Dot);
                p.Y = Weight<TScores>(p.Y, numbers, factor) * (dp.Y - numbers.Dot);
                p.Z = Weight<TScores>(p.Z, below, factor) * (dp.Z - below.Dot);
                p.W = Weight<TScores>(p.W, below, factor) * (dp.W - below.Dot);
            }

            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            private static float Weight<TScores>(float score, QueryNumbers numbers, float factor)
                where TScores : struct, IScoreRules
                => Exp2Approximate(((TScores.HasBias ? score - numbers.Largest : score) * factor) - numbers.Shift);
        }
    }

    /// <summary>p and ds where keys are rows: the numbers of the queries 2q and 2q + 1 of each eight lie in shared memory.</summary>
    private static class TransposedWeights
    {
        private const uint LargestOffset = 2 * HeadTile.Rows * 4;

        /// <summary>Scores become p.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Exp<TRules>(ref Accumulator64 scores, float scale, uint numbers)
            where TRules : struct, IScoreRules
        {
            float factor = TRules.HasBias ? Log2OfE : scale * Log2OfE;
            Exp<TRules>(ref scores.C0, factor, numbers);
            Exp<TRules>(ref scores.C1, factor, numbers + 32);
            Exp<TRules>(ref scores.C2, factor, numbers + 64);
            Exp<TRules>(ref scores.C3, factor, numbers + 96);
            Exp<TRules>(ref scores.C4, factor, numbers + 128);
            Exp<TRules>(ref scores.C5, factor, numbers + 160);
            Exp<TRules>(ref scores.C6, factor, numbers + 192);
            Exp<TRules>(ref scores.C7, factor, numbers + 224);
        }

        /// <summary>The same for 32 queries.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Exp<TRules>(ref Accumulator32 scores, float scale, uint numbers)
            where TRules : struct, IScoreRules
        {
            float factor = TRules.HasBias ? Log2OfE : scale * Log2OfE;
            Exp<TRules>(ref scores.C0, factor, numbers);
            Exp<TRules>(ref scores.C1, factor, numbers + 32);
            Exp<TRules>(ref scores.C2, factor, numbers + 64);
            Exp<TRules>(ref scores.C3, factor, numbers + 96);
        }

        /// <summary>p = 0 where a query comes before <paramref name="firstQuery"/> (upper row), or 8 further on (lower row).</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Hide(ref Accumulator64 p, int firstQuery, int query)
        {
            Hide(ref p.C0, firstQuery, query);
            Hide(ref p.C1, firstQuery, query + 8);
            Hide(ref p.C2, firstQuery, query + 16);
            Hide(ref p.C3, firstQuery, query + 24);
            Hide(ref p.C4, firstQuery, query + 32);
            Hide(ref p.C5, firstQuery, query + 40);
            Hide(ref p.C6, firstQuery, query + 48);
            Hide(ref p.C7, firstQuery, query + 56);
        }

        /// <summary>The same for 32 queries.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Hide(ref Accumulator32 p, int firstQuery, int query)
        {
            Hide(ref p.C0, firstQuery, query);
            Hide(ref p.C1, firstQuery, query + 8);
            Hide(ref p.C2, firstQuery, query + 16);
            Hide(ref p.C3, firstQuery, query + 24);
        }

        /// <summary>p becomes ds = p (dp - doutput · output).</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Differentiate(ref Accumulator64 p, in Accumulator64 dp, uint dots)
        {
            Differentiate(ref p.C0, dp.C0, dots);
            Differentiate(ref p.C1, dp.C1, dots + 32);
            Differentiate(ref p.C2, dp.C2, dots + 64);
            Differentiate(ref p.C3, dp.C3, dots + 96);
            Differentiate(ref p.C4, dp.C4, dots + 128);
            Differentiate(ref p.C5, dp.C5, dots + 160);
            Differentiate(ref p.C6, dp.C6, dots + 192);
            Differentiate(ref p.C7, dp.C7, dots + 224);
        }

        /// <summary>The same for 32 queries.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Differentiate(ref Accumulator32 p, in Accumulator32 dp, uint dots)
        {
            Differentiate(ref p.C0, dp.C0, dots);
            Differentiate(ref p.C1, dp.C1, dots + 32);
            Differentiate(ref p.C2, dp.C2, dots + 64);
            Differentiate(ref p.C3, dp.C3, dots + 96);
        }

        /// <summary>Zeros in the rows that are hidden, whatever they hold.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Clear<THead>(ref Accumulator128 rows, bool upper, bool lower)
            where THead : struct, IHeadSize
        {
            Clear(ref rows.Low.C0, upper, lower);
            Clear(ref rows.Low.C1, upper, lower);
            Clear(ref rows.Low.C2, upper, lower);
            Clear(ref rows.Low.C3, upper, lower);
            if (THead.Size > 32)
            {
                Clear(ref rows.Low.C4, upper, lower);
                Clear(ref rows.Low.C5, upper, lower);
                Clear(ref rows.Low.C6, upper, lower);
                Clear(ref rows.Low.C7, upper, lower);
            }

            if (THead.Size > 64)
            {
                Clear(ref rows.High.C0, upper, lower);
                Clear(ref rows.High.C1, upper, lower);
            }

            if (THead.Size > 80)
            {
                Clear(ref rows.High.C2, upper, lower);
                Clear(ref rows.High.C3, upper, lower);
                Clear(ref rows.High.C4, upper, lower);
                Clear(ref rows.High.C5, upper, lower);
                Clear(ref rows.High.C6, upper, lower);
                Clear(ref rows.High.C7, upper, lower);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void Exp<TRules>(ref Float4 c, float factor, uint numbers)
            where TRules : struct, IScoreRules
        {
            Float2 shift = LoadSharedFloat2(numbers);
            if (TRules.HasBias)
            {
                Float2 largest = LoadSharedFloat2(numbers + LargestOffset);
                c.X -= largest.X;
                c.Y -= largest.Y;
                c.Z -= largest.X;
                c.W -= largest.Y;
            }

            c.X = Exp2Approximate((c.X * factor) - shift.X);
            c.Y = Exp2Approximate((c.Y * factor) - shift.Y);
            c.Z = Exp2Approximate((c.Z * factor) - shift.X);
            c.W = Exp2Approximate((c.W * factor) - shift.Y);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void Hide(ref Float4 p, int firstQuery, int query)
        {
            p.X = query < firstQuery ? 0f : p.X;
            p.Y = query + 1 < firstQuery ? 0f : p.Y;
            p.Z = query < firstQuery + 8 ? 0f : p.Z;
            p.W = query + 1 < firstQuery + 8 ? 0f : p.W;
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void Differentiate(ref Float4 p, Float4 dp, uint dots)
        {
            Float2 dot = LoadSharedFloat2(dots);
            p.X *= dp.X - dot.X;
            p.Y *= dp.Y - dot.Y;
            p.Z *= dp.Z - dot.X;
            p.W *= dp.W - dot.Y;
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void Clear(ref Float4 c, bool upper, bool lower)
        {
            c.X = upper ? 0f : c.X;
            c.Y = upper ? 0f : c.Y;
            c.Z = lower ? 0f : c.Z;
            c.W = lower ? 0f : c.W;
        }
    }
}
