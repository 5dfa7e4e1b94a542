using System.Numerics;
using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <inheritdoc/>
    /// <remarks>
    /// Without atomics: keys (row, i) are sorted, so that the contributions of a row stand side by side in order of i. A group adds a tile of
    /// them; rows that lie in one tile are complete, sums of rows that go on in further tiles are added afterwards in the order of the tiles.
    /// </remarks>
    public void ScatterAddRows(DeviceBuffer dy, DeviceBuffer ids, GradientTarget dTable, int width, RowGroups groups, int ignoredId)
    {
        if (!dTable.IsNeeded || width == 0) return;
        if (!dTable.Accumulate) Fill(dTable.Buffer, 0f);
        int count = ids.Length, rows = dTable.Buffer.Length / width;
        if (count == 0) return;
        if (groups is { IdsPerGroup: 1, RowsPerGroup: > 0 })
        {
            LaunchElements(new ScatterToOwnRowKernel(Input(dy), IntInput(ids), Output(dTable.Buffer), width, groups.RowsPerGroup, ignoredId), (long)count * width);
            return;
        }

        int sortLength = (int)BitOperations.RoundUpToPowerOf2((uint)count), tiles = GroupCount(count, SumScatteredKernel.Tile);
        DeviceBuffer keys = Rent(checked(2 * sortLength)), partials = Rent(checked(2 * tiles * width));
        LaunchElements(new ScatterKeysKernel(IntInput(ids), KeyOutput(keys), sortLength, groups, ignoredId), sortLength);
        SortKeys(keys, 1, sortLength);
        int columnGroups = GroupCount(width, SumScatteredKernel.GroupSize);
        Launch(new SumScatteredKernel(Input(dy), KeyInput(keys), count, width, rows, Output(dTable.Buffer), Output(partials)), tiles, columnGroups);
        if (tiles > 1) Launch(new SumSpanningKernel(KeyInput(keys), Input(partials), count, width, rows, Output(dTable.Buffer)), tiles - 1, columnGroups);
        Return(partials);
        Return(keys);
    }

    /// <summary>Ids that count rows of their own never meet.</summary>
    internal readonly record struct ScatterToOwnRowKernel(
        ArrayView<float> DY, ArrayView<int> Ids, ArrayView<float> DTable, int Width, int RowsPerGroup, int IgnoredId) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            for (long i = Grid.GlobalLinearIndex; i < Ids.Length * Width; i += Grid.DimX * GroupSize)
            {
                int id = (int)i / Width;
                if (Ids[id] != IgnoredId) DTable[((Ids[id] + ((long)id * RowsPerGroup)) * Width) + ((int)i - (id * Width))] += DY[i];
            }
        }
    }

    /// <summary>The row of an id above its position; what contributes nothing comes last.</summary>
    internal readonly record struct ScatterKeysKernel(ArrayView<int> Ids, ArrayView<ulong> Keys, int Length, RowGroups Groups, int IgnoredId) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            for (long i = Grid.GlobalLinearIndex; i < Length; i += Grid.DimX * GroupSize)
            {
                ulong key = ulong.MaxValue;
                if (i < Ids.Length && Ids[i] != IgnoredId) key = ((ulong)(Ids[i] + Groups.FirstRow(i)) << 32) | (ulong)i;
                Keys[i] = key;
            }
        }
    }

    /// <summary>Sums of the rows in one tile of sorted keys; a thread owns a column.</summary>
    internal readonly record struct SumScatteredKernel(
        ArrayView<float> DY, ArrayView<ulong> Keys, int Count, int Width, int Rows, ArrayView<float> DTable, ArrayView<float> Partials) : IGpuKernel
    {
        /// <summary>Sorted keys of one group.</summary>
        public const int Tile = 64;

        public static int GroupSize => 256;

        public void Execute()
        {
            int column = (Grid.IdxY * GroupSize) + Group.IdxX, tile = Grid.IdxX, first = tile * Tile, last = Math.Min(Count, first + Tile);
            if (column >= Width) return;
            uint row = Row(Keys, first);
            int startsHere = first == 0 || Row(Keys, first - 1) != row ? 1 : 0;
            float sum = 0f;
            for (int i = first; i < last; i++)
            {
                ulong key = Keys[i];
                uint next = (uint)(key >> 32);
                if (next != row)
                {
                    Put(row, column, sum, (2 * tile) + startsHere, startsHere);
                    row = next;
                    sum = 0f;
                    startsHere = 1;
                }

                if (next < (uint)Rows) sum += DY[((long)(uint)key * Width) + column];
            }

            int isComplete = startsHere != 0 && (last == Count || Row(Keys, last) != row) ? 1 : 0;
            Put(row, column, sum, (2 * tile) + startsHere, isComplete);
        }

        /// <summary>The row of a sorted key.</summary>
        public static uint Row(ArrayView<ulong> keys, int index) => (uint)(keys[index] >> 32);

        private void Put(uint row, int column, float sum, int partial, int isComplete)
        {
            if (row >= (uint)Rows) return;
            if (isComplete != 0) DTable[((long)row * Width) + column] += sum;
            else Partials[((long)partial * Width) + column] = sum;
        }
    }

    /// <summary>For every tile whose last row goes on in the next tile and began in this one: the sum over all tiles that it reaches into.</summary>
    internal readonly record struct SumSpanningKernel(
        ArrayView<ulong> Keys, ArrayView<float> Partials, int Count, int Width, int Rows, ArrayView<float> DTable) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            int column = (Grid.IdxY * GroupSize) + Group.IdxX, tile = Grid.IdxX, first = tile * SumScatteredKernel.Tile, next = first + SumScatteredKernel.Tile;
            if (column >= Width) return;
            uint row = SumScatteredKernel.Row(Keys, next - 1);
            if (row >= (uint)Rows || SumScatteredKernel.Row(Keys, next) != row) return;
            if (first > 0 && SumScatteredKernel.Row(Keys, first - 1) == row) return;
            float sum = Partials[(((2L * tile) + 1) * Width) + column];
            for (tile++; next < Count && SumScatteredKernel.Row(Keys, next) == row; tile++, next += SumScatteredKernel.Tile)
                sum += Partials[(2L * tile * Width) + column];
            DTable[((long)row * Width) + column] += sum;
        }
    }
}
