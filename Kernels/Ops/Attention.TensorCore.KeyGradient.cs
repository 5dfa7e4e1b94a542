using System.Runtime.CompilerServices;
using ILGPU;
using MiniVlp.Kernels.Gpu;
using MiniVlp.Kernels.Gpu.Cuda;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsAmpere;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
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
            KeyGradientRows.Store<THead, TRules>(DKey, DValue, default, default, KeyMask, Sizes, ref keyGradient, ref valueGradient, firstKey + (int)((warp * 16) + (lane >> 2)), lane);
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
                AddBiasColumns bias = new(this, cursor, key, query);
                TransposedExp<TRules> exp = new(Sizes.Scale, numbers);
                HideEarlyQueries hide = new(key - Sizes.LastKey, query);
                if (TRules.HasBias) Accumulator64.ForEach(ref p, ref bias);
                Accumulator64.ForEach(ref p, ref exp);
                if (isEdge) Accumulator64.ForEach(ref p, ref hide);
                HeadTile.Multiply<THead>(ref valueGradient, p, HeadTile.LeftLane<THead>(gradients, 0, lane));

                // ds = p (dp - doutput · output), transposed, and dkey += dsᵀ · query
                HeadTile.MultiplyTransposed<THead>(ref dp, operands.Value, HeadTile.RightLane<THead>(gradients, lane));
                Accumulator64.ForEach(ref p, dp, new TransposedDifferentiate(numbers + DotOffset));
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
            AddBiasColumns bias = new(this, cursor, key, query);
            TransposedExp<TRules> exp = new(Sizes.Scale, numbers);
            HideEarlyQueries hide = new(key - Sizes.LastKey, query);
            if (TRules.HasBias) Accumulator32.ForEach(ref p, ref bias);
            Accumulator32.ForEach(ref p, ref exp);
            if (isEdge) Accumulator32.ForEach(ref p, ref hide);
            WarpBarrier();
            HeadTile.Multiply<THead>(ref valueGradient, p, HeadTile.LeftLane<THead>(gradients, 0, lane));
            WarpBarrier();
            HeadTile.MultiplyTransposed<THead>(ref dp, operands.ValueRows, HeadTile.RightLane<THead>(gradients, lane));
            Accumulator32.ForEach(ref p, dp, new TransposedDifferentiate(numbers + DotOffset));
            WarpBarrier();
            HeadTile.Multiply<THead>(ref keyGradient, p, HeadTile.LeftLane<THead>(queries, 0, lane));
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

        /// <summary>scale · dot + bias, transposed: a thread holds two keys, and two queries of each eight.</summary>
        private readonly struct AddBiasColumns : IColumnsStep
        {
            private readonly ulong _column, _below;
            private readonly float _scale;
            private readonly int _query, _last, _keys;

            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public AddBiasColumns(in TensorCoreKeyGradientKernel<THead, TRules> kernel, Cursor at, int key, int query)
            {
                int head = (Grid.IdxY * kernel.Sizes.HeadsPerKeyValueHead) + at.Head, lastKey = kernel.Sizes.KeyLength - 1;
                ulong bias = GlobalAddress(kernel.Bias) + ((ulong)kernel.Sizes.BiasOffset(Grid.IdxZ, head) * 4);
                _column = bias + ((ulong)(uint)(key < lastKey ? key : lastKey) * 4);
                _below = bias + ((ulong)(uint)(key + 8 < lastKey ? key + 8 : lastKey) * 4);
                _scale = kernel.Sizes.Scale;
                _query = query;
                _last = kernel.Sizes.QueryLength - 1;
                _keys = kernel.Sizes.KeyLength;
            }

            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public void Apply(ref Float4 sums, int column)
            {
                int query = _query + column;
                ulong first = (ulong)(uint)(query < _last ? query : _last) * (uint)_keys * 4, second = (ulong)(uint)(query + 1 < _last ? query + 1 : _last) * (uint)_keys * 4;
                sums.X = (sums.X * _scale) + LoadConstantFloat(_column + first);
                sums.Y = (sums.Y * _scale) + LoadConstantFloat(_column + second);
                sums.Z = (sums.Z * _scale) + LoadConstantFloat(_below + first);
                sums.W = (sums.W * _scale) + LoadConstantFloat(_below + second);
            }
        }
    }

    /// <summary>What becomes of the gradients of two keys of a thread.</summary>
    private static class KeyGradientRows
    {
        /// <summary>Writes the rows of a thread, as far as they exist. A hidden key has gathered what it must not get, in its own row alone: it gets zeros.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Store<THead, TRules>(
            in GpuTarget keyTarget, in GpuTarget valueTarget, ArrayView<float> keyCopy, ArrayView<float> valueCopy, ArrayView<int> keyMask, in AttentionSizes sizes,
            ref Accumulator128 keyGradient, ref Accumulator128 valueGradient, int key, uint lane)
            where THead : struct, IHeadSize
            where TRules : struct, IScoreRules
        {
            bool isRow = key < sizes.KeyLength, isRowBelow = key + 8 < sizes.KeyLength;
            ulong stride = 2ul * sizes.KeyStride<THead>(), offset = (2 * sizes.KeyOffset<THead>(Grid.IdxZ, Grid.IdxY)) + ((lane & 3) * 8);
            ulong row = offset + ((uint)key * stride), below = offset + ((uint)(key + 8) * stride);
            bool isHidden = false, isHiddenBelow = false;
            if (TRules.HasKeyMask && keyMask.Length > 0)
            {
                long mask = (long)Grid.IdxZ * sizes.KeyLength;
                isHidden = isRow && keyMask[mask + key] == 0;
                isHiddenBelow = isRowBelow && keyMask[mask + key + 8] == 0;
            }

            ClearRows clear = new(isHidden, isHiddenBelow);
            if (TRules.HasKeyMask) Accumulator128.ForEach<THead, ClearRows>(ref keyGradient, ref clear);
            if (TRules.HasKeyMask) Accumulator128.ForEach<THead, ClearRows>(ref valueGradient, ref clear);
            ulong keys = GlobalAddress(keyTarget.View), values = GlobalAddress(valueTarget.View);
            if (keyTarget.IsNeeded) HeadTile.StoreRows<THead>(ref keyGradient, keys + row, keys + below, sizes.Scale, sizes.Scale, isRow, isRowBelow, keyTarget.Accumulate != 0 ? 1 : 0);
            if (valueTarget.IsNeeded) HeadTile.StoreRows<THead>(ref valueGradient, values + row, values + below, 1f, 1f, isRow, isRowBelow, valueTarget.Accumulate != 0 ? 1 : 0);
            keys = GlobalAddress(keyCopy);
            values = GlobalAddress(valueCopy);
            row >>= 1;
            below >>= 1;
            if (keyCopy.Length > 0) HeadTile.StoreCopies<THead>(ref keyGradient, keys + row, keys + below, sizes.Scale, sizes.Scale, isRow, isRowBelow);
            if (valueCopy.Length > 0) HeadTile.StoreCopies<THead>(ref valueGradient, values + row, values + below, 1f, 1f, isRow, isRowBelow);
        }
    }

    /// <summary>Scores become p where keys are rows: the numbers of the queries 2q and 2q + 1 of each eight lie in shared memory.</summary>
    private readonly struct TransposedExp<TRules>(float scale, uint numbers) : IColumnsStep
        where TRules : struct, IScoreRules
    {
        private const uint LargestOffset = 2 * HeadTile.Rows * 4;
        private readonly float _factor = TRules.HasBias ? Log2OfE : scale * Log2OfE;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Apply(ref Float4 sums, int column)
        {
            uint place = numbers + ((uint)column * 4);
            Float2 shift = LoadSharedFloat2(place);
            if (TRules.HasBias)
            {
                Float2 largest = LoadSharedFloat2(place + LargestOffset);
                sums.X -= largest.X;
                sums.Y -= largest.Y;
                sums.Z -= largest.X;
                sums.W -= largest.Y;
            }

            sums.X = Exp2Approximate((sums.X * _factor) - shift.X);
            sums.Y = Exp2Approximate((sums.Y * _factor) - shift.Y);
            sums.Z = Exp2Approximate((sums.Z * _factor) - shift.X);
            sums.W = Exp2Approximate((sums.W * _factor) - shift.Y);
        }
    }

    /// <summary>p = 0 where a query comes before <paramref name="firstQuery"/> (upper row), or 8 further on (lower row).</summary>
    private readonly struct HideEarlyQueries(int firstQuery, int query) : IColumnsStep
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Apply(ref Float4 sums, int column)
        {
            int at = query + column;
            sums.X = at < firstQuery ? 0f : sums.X;
            sums.Y = at + 1 < firstQuery ? 0f : sums.Y;
            sums.Z = at < firstQuery + 8 ? 0f : sums.Z;
            sums.W = at + 1 < firstQuery + 8 ? 0f : sums.W;
        }
    }

    /// <summary>p becomes ds = p (dp - doutput · output) where keys are rows.</summary>
    private readonly struct TransposedDifferentiate(uint dots) : IColumnsPairStep
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Apply(ref Float4 sums, Float4 others, int column)
        {
            Float2 dot = LoadSharedFloat2(dots + ((uint)column * 4));
            sums.X *= others.X - dot.X;
            sums.Y *= others.Y - dot.Y;
            sums.Z *= others.Z - dot.X;
            sums.W *= others.W - dot.Y;
        }
    }

    /// <summary>Zeros in the rows that are hidden, whatever they hold.</summary>
    private readonly struct ClearRows(bool upper, bool lower) : IColumnsStep
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Apply(ref Float4 sums, int column)
        {
            sums.X = upper ? 0f : sums.X;
            sums.Y = upper ? 0f : sums.Y;
            sums.Z = lower ? 0f : sums.Z;
            sums.W = lower ? 0f : sums.W;
        }
    }
}
