using System.Runtime.CompilerServices;
using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

/// <summary>Sorting by Batcher's bitonic network (1968): the same comparisons for any data, so nothing depends on the order of threads.</summary>
public sealed partial class GpuBackend
{
    /// <summary>Keys that a group sorts in shared memory.</summary>
    private const int SortTile = 1024;

    /// <summary>64-bit keys in a buffer of twice as many elements.</summary>
    private static ArrayView<ulong> KeyInput(DeviceBuffer keys) => Input(keys).Cast<ulong>();

    /// <summary>64-bit keys that a kernel writes.</summary>
    private static ArrayView<ulong> KeyOutput(DeviceBuffer keys) => Output(keys).Cast<ulong>();

    /// <summary>Sorts rows of so many keys each, a power of two, ascending.</summary>
    private void SortKeys(DeviceBuffer keys, int rows, int length)
    {
        ArrayView<ulong> view = KeyOutput(keys);
        int tile = Math.Min(length, SortTile), groups = checked((int)((long)rows * length / tile));
        Launch(new SortTileKernel(view, length, tile, 2, tile), groups);
        for (int size = 2 * tile; size <= length; size *= 2)
        {
            for (int stride = size / 2; stride >= tile; stride /= 2) LaunchElements(new SortStepKernel(view, length, size, stride), (long)rows * length / 2);
            Launch(new SortTileKernel(view, length, tile, size, size), groups);
        }
    }

    /// <summary>Compares and exchanges the keys of one pair; runs of <paramref name="size"/> keys alternate in direction.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void OrderPair(ArrayView<ulong> keys, long pair, int size, int stride, long firstPlace)
    {
        long left = (2 * pair) - (pair & (stride - 1)), right = left + stride;
        ulong a = keys[left], b = keys[right];
        bool isAscending = ((firstPlace + left) & size) == 0;
        if (isAscending ? a <= b : a >= b) return;
        keys[left] = b;
        keys[right] = a;
    }

    /// <summary>The part of the network that stays inside tiles, for sizes from first to last.</summary>
    internal readonly record struct SortTileKernel(ArrayView<ulong> Keys, int Length, int Tile, int FirstSize, int LastSize) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            ArrayView<ulong> keys = SharedMemory.Allocate<ulong>(SortTile);
            long start = (long)Grid.IdxX * Tile, place = start & (Length - 1);
            for (int i = Group.IdxX; i < Tile; i += GroupSize) keys[i] = Keys[start + i];
            Group.Barrier();
            for (int size = FirstSize; size <= LastSize; size *= 2)
            {
                for (int stride = Math.Min(size, Tile) / 2; stride > 0; stride /= 2)
                {
                    for (int pair = Group.IdxX; pair < Tile / 2; pair += GroupSize) OrderPair(keys, pair, size, stride, place);
                    Group.Barrier();
                }
            }

            for (int i = Group.IdxX; i < Tile; i += GroupSize) Keys[start + i] = keys[i];
        }
    }

    /// <summary>One step of the network over distances that no tile holds.</summary>
    internal readonly record struct SortStepKernel(ArrayView<ulong> Keys, int Length, int Size, int Stride) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            for (long pair = Grid.GlobalLinearIndex; pair < Keys.Length / 2; pair += Grid.DimX * GroupSize)
            {
                long row = pair / (Length / 2) * Length;
                OrderPair(Keys.SubView(row, Length), pair - (row / 2), Size, Stride, 0);
            }
        }
    }
}
