using System.Runtime.CompilerServices;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

/// <summary>Functions along the middle axis of x [outer, repeat, inner] that are no plain sums: maxima, running sums, the k largest.</summary>
public partial interface IBackend
{
    /// <summary>y [outer, inner] = largest x over the middle axis and positions (int) = where it stands first. NaN counts as the largest. Writes both; y may be null.</summary>
    void MaxMiddle(DeviceBuffer x, Broadcast layout, DeviceBuffer y, DeviceBuffer positions);

    /// <summary>dx = dy at the positions of the maxima, 0 elsewhere, written or accumulated as the target says.</summary>
    void MaxMiddleBackward(DeviceBuffer positions, DeviceBuffer dy, Broadcast layout, GradientTarget dx);

    /// <summary>
    /// y[o, r, i] = Σ x[o, s, i] over s ≤ r (over s ≥ r when reversed), written or accumulated as the target says. The gradient is the other direction.
    /// </summary>
    void CumulativeSum(DeviceBuffer x, Broadcast layout, bool reversed, GradientTarget y);

    /// <summary>
    /// The k largest elements of each row of <paramref name="width"/>, largest first and the earlier first where equal: values and positions
    /// (int) [rows, k]. Writes both. NaN counts as the largest.
    /// </summary>
    void TopK(DeviceBuffer x, int width, int k, DeviceBuffer values, DeviceBuffer positions);

    /// <summary>dx[row, positions[row, j]] = dy[row, j], 0 elsewhere, written or accumulated as the target says.</summary>
    void TopKBackward(DeviceBuffer positions, DeviceBuffer dy, int width, int k, GradientTarget dx);
}

public sealed unsafe partial class CpuBackend
{
    /// <inheritdoc/>
    public void MaxMiddle(DeviceBuffer x, Broadcast layout, DeviceBuffer y, DeviceBuffer positions)
    {
        int perChunk = RowsPerChunk(layout.Repeat * layout.Inner);
        Run(new MaxKernel(Floats(x), layout, Floats(y), Floats(positions), perChunk), ChunkCount(layout.Outer, perChunk));
    }

    /// <inheritdoc/>
    public void MaxMiddleBackward(DeviceBuffer positions, DeviceBuffer dy, Broadcast layout, GradientTarget dx)
    {
        if (!dx.IsNeeded) return;
        int perChunk = RowsPerChunk(layout.Repeat * layout.Inner);
        Run(new MaxBackwardKernel(Floats(positions), Floats(dy), layout, Floats(dx.Buffer), perChunk, dx.Accumulate), ChunkCount(layout.Outer, perChunk));
    }

    /// <inheritdoc/>
    public void CumulativeSum(DeviceBuffer x, Broadcast layout, bool reversed, GradientTarget y)
    {
        if (!y.IsNeeded || layout.Inner == 0) return;
        int perChunk = RowsPerChunk(layout.Repeat * layout.Inner);
        Run(new CumulativeSumKernel(Floats(x), layout, reversed, Floats(y.Buffer), perChunk, y.Accumulate), ChunkCount(layout.Outer, perChunk));
    }

    /// <inheritdoc/>
    public void TopK(DeviceBuffer x, int width, int k, DeviceBuffer values, DeviceBuffer positions)
    {
        if (k == 0) return;
        int rows = values.Length / k, perChunk = RowsPerChunk(width);
        Run(new TopKKernel(Floats(x), rows, width, k, Floats(values), Floats(positions), perChunk), ChunkCount(rows, perChunk));
    }

    /// <inheritdoc/>
    public void TopKBackward(DeviceBuffer positions, DeviceBuffer dy, int width, int k, GradientTarget dx)
    {
        if (!dx.IsNeeded || width == 0) return;
        int rows = dx.Buffer.Length / width, perChunk = RowsPerChunk(width);
        Run(new TopKBackwardKernel(Floats(positions), Floats(dy), rows, width, k, Floats(dx.Buffer), perChunk, dx.Accumulate), ChunkCount(rows, perChunk));
    }

    private readonly record struct MaxKernel(Pointer X, Broadcast Layout, Pointer Y, Pointer Positions, int PerChunk) : ICpuKernel
    {
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int last = Math.Min(Layout.Outer, (chunk + 1) * PerChunk), inner = Layout.Inner, repeat = Layout.Repeat;
            float* largest = ThreadScratch.Get(inner);
            for (int outer = chunk * PerChunk; outer < last; outer++)
            {
                float* x = X + (outer * repeat * inner);
                int* positions = (int*)(Positions + (outer * inner));
                if (inner == 1)
                {
                    int place = FirstNaN<V>(x, repeat);
                    *largest = place >= 0 ? float.NaN : RowSums.Max<V>(x, repeat);
                    *positions = place >= 0 ? place : Math.Max(0, new ReadOnlySpan<float>(x, repeat).IndexOf(*largest));
                }
                else
                {
                    FindColumns(x, largest, positions);
                }

                if ((float*)Y is not null) new Span<float>(largest, inner).CopyTo(new Span<float>(Y + (outer * inner), inner));
            }
        }

        /// <summary>Where NaN stands first; -1 where there is none.</summary>
        private static int FirstNaN<V>(float* x, int count)
            where V : unmanaged, ISimd<V>
        {
            V one = V.Create(1f), found = V.Zero;
            int i = 0;
            for (; i <= count - V.Width; i += V.Width)
            {
                V value = V.Load(x + i);
                found += V.Select(V.Equal(value, value), V.Zero, one);
            }

            for (i = V.Sum(found) > 0f ? 0 : i; i < count; i++)
                if (float.IsNaN(x[i])) return i;
            return -1;
        }

        private void FindColumns(float* x, float* largest, int* positions)
        {
            int inner = Layout.Inner;
            new Span<float>(x, inner).CopyTo(new Span<float>(largest, inner));
            new Span<int>(positions, inner).Clear();
            for (int r = 1; r < Layout.Repeat; r++)
            {
                float* row = x + (r * inner);
                for (int i = 0; i < inner; i++)
                {
                    if (!(row[i] > largest[i]) && (!float.IsNaN(row[i]) || float.IsNaN(largest[i]))) continue;
                    largest[i] = row[i];
                    positions[i] = r;
                }
            }
        }
    }

    private readonly record struct MaxBackwardKernel(Pointer Positions, Pointer DY, Broadcast Layout, Pointer DX, int PerChunk, bool Accumulate) : ICpuKernel
    {
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int last = Math.Min(Layout.Outer, (chunk + 1) * PerChunk), inner = Layout.Inner;
            for (int outer = chunk * PerChunk; outer < last; outer++)
            {
                float* dx = DX + (outer * Layout.Repeat * inner), dy = DY + (outer * inner);
                int* positions = (int*)(Positions + (outer * inner));
                if (!Accumulate) new Span<float>(dx, Layout.Repeat * inner).Clear();
                for (int i = 0; i < inner; i++) dx[(positions[i] * inner) + i] += dy[i];
            }
        }
    }

    private readonly record struct CumulativeSumKernel(Pointer X, Broadcast Layout, bool Reversed, Pointer Y, int PerChunk, bool Accumulate) : ICpuKernel
    {
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int last = Math.Min(Layout.Outer, (chunk + 1) * PerChunk), inner = Layout.Inner;
            float* sums = ThreadScratch.Get(inner);
            for (int outer = chunk * PerChunk; outer < last; outer++)
            {
                new Span<float>(sums, inner).Clear();
                for (int step = 0; step < Layout.Repeat; step++)
                {
                    int row = (outer * Layout.Repeat) + (Reversed ? Layout.Repeat - 1 - step : step);
                    AddRow<V>(X + (row * inner), sums, Y + (row * inner), inner);
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void AddRow<V>(float* x, float* sums, float* y, int count)
            where V : unmanaged, ISimd<V>
        {
            int i = 0;
            for (; i <= count - V.Width; i += V.Width)
            {
                V sum = V.Load(sums + i) + V.Load(x + i);
                V.Store(sum, sums + i);
                V.Store(Accumulate ? V.Load(y + i) + sum : sum, y + i);
            }

            for (; i < count; i++)
            {
                sums[i] += x[i];
                y[i] = Accumulate ? y[i] + sums[i] : sums[i];
            }
        }
    }

    private readonly record struct TopKKernel(Pointer X, int Rows, int Width, int K, Pointer Values, Pointer Positions, int PerChunk) : ICpuKernel
    {
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int last = Math.Min(Rows, (chunk + 1) * PerChunk);
            ulong* keys = (ulong*)ThreadScratch.Get(2L * Width);
            for (int row = chunk * PerChunk; row < last; row++)
            {
                float* x = X + (row * Width);
                if (K * 8 < Width) SelectFew(x, keys);
                else SortAll(x, keys);
                for (int j = 0; j < K; j++)
                {
                    int position = (int)(uint)keys[j];
                    *(int*)(Positions + ((row * K) + j)) = position;
                    *(Values + ((row * K) + j)) = x[position];
                }
            }
        }

        private void SortAll(float* x, ulong* keys)
        {
            for (int i = 0; i < Width; i++) keys[i] = Key(x[i], i);
            new Span<ulong>(keys, Width).Sort();
        }

        /// <summary>Keeps the K best so far in order; most elements fail the first comparison.</summary>
        private void SelectFew(float* x, ulong* keys)
        {
            int count = 0;
            float worst = float.NaN;
            for (int i = 0; i < Width; i++)
            {
                if (x[i] <= worst) continue;
                ulong key = Key(x[i], i);
                if (count == K && key >= keys[K - 1]) continue;
                int place = count < K ? count++ : K - 1;
                for (; place > 0 && keys[place - 1] > key; place--) keys[place] = keys[place - 1];
                keys[place] = key;
                if (count == K) worst = x[(int)(uint)keys[K - 1]];
            }
        }

        /// <summary>A number that sorts ascending as (value descending, position ascending); NaN, of either sign, comes first.</summary>
        private static ulong Key(float value, int position)
        {
            if (float.IsNaN(value)) return (uint)position;
            int bits = BitConverter.SingleToInt32Bits(value + 0f);
            uint ascending = (uint)(bits ^ ((bits >> 31) | int.MinValue));
            return ((ulong)~ascending << 32) | (uint)position;
        }
    }

    private readonly record struct TopKBackwardKernel(
        Pointer Positions, Pointer DY, int Rows, int Width, int K, Pointer DX, int PerChunk, bool Accumulate) : ICpuKernel
    {
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int last = Math.Min(Rows, (chunk + 1) * PerChunk);
            for (int row = chunk * PerChunk; row < last; row++)
            {
                float* dx = DX + (row * Width), dy = DY + (row * K);
                int* positions = (int*)(Positions + (row * K));
                if (!Accumulate) new Span<float>(dx, Width).Clear();
                for (int j = 0; j < K; j++) dx[positions[j]] += dy[j];
            }
        }
    }
}
