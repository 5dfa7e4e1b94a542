using System.Numerics;
using System.Runtime.CompilerServices;
using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <summary>Keys that one pass of <see cref="TopK"/> sorts in global memory: 256 MiB of them.</summary>
    private const int MaxSortedKeys = 1 << 25;

    /// <inheritdoc/>
    /// <remarks>
    /// Few elements are selected: a group finds the smallest digits that they all have, eight bits at a time, and sorts what is left in shared
    /// memory. More elements than fit there come from sorting whole rows.
    /// </remarks>
    public void TopK(DeviceBuffer x, int width, int k, DeviceBuffer values, DeviceBuffer positions)
    {
        if (k == 0) return;
        int rows = values.Length / k;
        if (k <= SortTile)
        {
            Launch(new TopKKernel(Input(x), width, k, Output(values), IntOutput(positions)), rows);
            return;
        }

        int length = checked((int)BitOperations.RoundUpToPowerOf2((uint)width)), perPass = Math.Max(1, MaxSortedKeys / length);
        for (int row = 0; row < rows; row += perPass)
        {
            int count = Math.Min(perPass, rows - row);
            DeviceBuffer keys = Rent(checked(2 * count * length));
            LaunchElements(new TopKKeysKernel(Input(x.Slice(row * width, count * width)), width, length, KeyOutput(keys)), (long)count * length);
            SortKeys(keys, count, length);
            LaunchElements(
                new TopKOfSortedKernel(
                    KeyInput(keys), Input(x.Slice(row * width, count * width)), width, length, k, Output(values.Slice(row * k, count * k)), IntOutput(positions.Slice(row * k, count * k))),
                (long)count * k);
            Return(keys);
        }
    }

    /// <summary>A number that sorts ascending as (value descending, position ascending).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong TopKKey(float value, int position)
        => ((ulong)~FloatRank.Of(BitConverter.SingleToInt32Bits(value), 0) << 32) | (uint)position;

    /// <summary>The k largest of one row for each group; k keys fit into shared memory.</summary>
    internal readonly record struct TopKKernel(ArrayView<float> X, int Width, int K, ArrayView<float> Values, ArrayView<int> Positions) : IGpuKernel
    {
        private const int Digits = 256;

        public static int GroupSize => 256;

        public void Execute()
        {
            ArrayView<ulong> keys = SharedMemory.Allocate<ulong>(SortTile);
            ArrayView<int> counts = SharedMemory.Allocate<int>(Digits), state = SharedMemory.Allocate<int>(3);
            int thread = Group.IdxX, length = PowerOfTwoFrom(Math.Min(Width, SortTile));
            ArrayView<float> x = X.SubView((long)Grid.IdxX * Width, Width);
            ulong prefix = ulong.MaxValue;
            int shift = 0;
            if (Width > SortTile)
            {
                length = PowerOfTwoFrom(K);
                FindPrefix(x, counts, state, out prefix, out shift);
            }

            for (int i = thread; i < length; i += GroupSize) keys[i] = ulong.MaxValue;
            if (thread == 0) state[0] = 0;
            Group.Barrier();
            for (int i = thread; i < Width; i += GroupSize)
            {
                ulong key = TopKKey(x[i], i);
                if (key >> shift <= prefix) keys[Atomic.Add(ref state[0], 1)] = key;
            }

            Group.Barrier();
            for (int size = 2; size <= length; size *= 2)
            {
                for (int stride = size / 2; stride > 0; stride /= 2)
                {
                    for (int pair = thread; pair < length / 2; pair += GroupSize) OrderPair(keys, pair, size, stride, 0);
                    Group.Barrier();
                }
            }

            for (int i = thread; i < K; i += GroupSize)
            {
                int position = (int)(uint)keys[i];
                Positions[((long)Grid.IdxX * K) + i] = position;
                Values[((long)Grid.IdxX * K) + i] = x[position];
            }
        }

        /// <summary>The leading digits of the k-th key, as many as it takes that exactly k keys have these or smaller ones.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void FindPrefix(ArrayView<float> x, ArrayView<int> counts, ArrayView<int> state, out ulong prefix, out int shift)
        {
            int thread = Group.IdxX, wanted = K, isExact = 0;
            prefix = 0;
            shift = 64;
            while (shift > 0 && isExact == 0)
            {
                shift -= 8;
                counts[thread] = 0;
                Group.Barrier();
                for (int i = thread; i < Width; i += GroupSize)
                {
                    ulong digits = TopKKey(x[i], i) >> shift;
                    if (digits >> 8 == prefix) Atomic.Add(ref counts[(int)(digits & 255)], 1);
                }

                Group.Barrier();
                int own = counts[thread];
                for (int distance = 1; distance < Digits; distance *= 2)
                {
                    int left = thread >= distance ? counts[thread - distance] : 0;
                    GroupBarrier.AfterReads();
                    counts[thread] += left;
                    Group.Barrier();
                }

                int upTo = counts[thread];
                if (upTo - own < wanted && upTo >= wanted)
                {
                    state[0] = thread;
                    state[1] = wanted - (upTo - own);
                    state[2] = upTo == wanted ? 1 : 0;
                }

                Group.Barrier();
                prefix = (prefix << 8) | (uint)state[0];
                wanted = state[1];
                isExact = state[2];
            }

            Group.Barrier();
        }

        private static int PowerOfTwoFrom(int size)
        {
            int power = 1;
            while (power < size) power *= 2;
            return power;
        }
    }

    internal readonly record struct TopKKeysKernel(ArrayView<float> X, int Width, int Length, ArrayView<ulong> Keys) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            for (long i = Grid.GlobalLinearIndex; i < Keys.Length; i += Grid.DimX * GroupSize)
            {
                int row = (int)i / Length, position = (int)i - (row * Length);
                Keys[i] = position < Width ? TopKKey(X[((long)row * Width) + position], position) : ulong.MaxValue;
            }
        }
    }

    internal readonly record struct TopKOfSortedKernel(
        ArrayView<ulong> Keys, ArrayView<float> X, int Width, int Length, int K, ArrayView<float> Values, ArrayView<int> Positions) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            for (long i = Grid.GlobalLinearIndex; i < Values.Length; i += Grid.DimX * GroupSize)
            {
                int row = (int)i / K, position = (int)(uint)Keys[((long)row * Length) + ((int)i - (row * K))];
                Positions[i] = position;
                Values[i] = X[((long)row * Width) + position];
            }
        }
    }
}
