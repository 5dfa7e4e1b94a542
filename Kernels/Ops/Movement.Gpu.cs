using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <summary>Sides from which a transposition goes through shared memory.</summary>
    private const int SmallestTiledSide = 16;

    /// <inheritdoc/>
    public void CopyRows(DeviceBuffer source, StridedRows from, GradientTarget destination, StridedRows to, int rows, int length)
    {
        if (!destination.IsNeeded || rows == 0 || length == 0) return;
        Move(source, from.Start, [new(rows, from.Stride, to.Stride), new(length, 1, 1)], destination, to.Start);
    }

    /// <inheritdoc/>
    public void SumStridedRows(DeviceBuffer source, StridedRows from, GradientTarget destination, int rows, int length)
    {
        if (!destination.IsNeeded || length == 0) return;
        DeviceBuffer first = rows == 0 ? source : source.Slice(from.Start, source.Length - from.Start);
        Reduce<FirstOperand>(new TermBuffers(first), new Broadcast(1, rows, length), 1f, destination, from.Stride);
    }

    /// <inheritdoc/>
    public void Permute(DeviceBuffer x, GradientTarget y, PermuteArgs args)
    {
        if (!y.IsNeeded || x.Length == 0) return;
        MoveAxis[] axes = new MoveAxis[6];
        for (int i = axes.Length - 1, to = 1; i >= 0; to *= args.Sizes[i--]) axes[i] = new MoveAxis(args.Sizes[i], args.Strides[i], to);
        Move(x, 0, axes, y, 0);
    }

    /// <inheritdoc/>
    public void GatherRows(DeviceBuffer table, DeviceBuffer ids, DeviceBuffer y, int width, RowGroups groups)
    {
        int unit = width % Float4.Length == 0 && Float4.IsAligned(table) && Float4.IsAligned(y) ? Float4.Length : 1;
        LaunchElements(new GatherRowsKernel(Input(table), IntInput(ids), Output(y), width / unit, groups, unit), y.Length / unit);
    }

    /// <inheritdoc/>
    public (int Smallest, int Largest) IndexRange(DeviceBuffer ids)
    {
        if (ids.Length == 0) return (0, 0);
        int groups = Math.Min(64, GroupCount(ids.Length, IndexRangeKernel.GroupSize));
        DeviceBuffer ranges = Rent(2 * groups, ElementType.Int32);
        Launch(new IndexRangeKernel(IntInput(ids), IntOutput(ranges)), groups);
        int[] ends = new int[2 * groups];
        Download(ranges, ends);
        Return(ranges);
        return (ends[..groups].Min(), ends[groups..].Max());
    }

    /// <inheritdoc/>
    public void FirstIndexOf(DeviceBuffer ids, int columns, int value, DeviceBuffer position)
        => RankAlong<EqualityRank>(IntInput(ids), new Broadcast(position.Length, columns, 1), value, IntOutput(position), default);

    /// <inheritdoc/>
    public void ArgMaxIndex(DeviceBuffer ids, int columns, DeviceBuffer position)
        => RankAlong<IntegerRank>(IntInput(ids), new Broadcast(position.Length, columns, 1), 0, IntOutput(position), default);

    /// <summary>destination[to] = source[from] over all indices of the axes (outermost first), or += when the target accumulates.</summary>
    private void Move(DeviceBuffer source, int fromStart, ReadOnlySpan<MoveAxis> axes, GradientTarget destination, int toStart)
    {
        List<MoveAxis> merged = MoveAxes.Merge(axes);
        long length = merged.Aggregate(1L, (product, axis) => product * axis.Size);
        if (length == 0) return;
        DeviceBuffer from = source.Slice(fromStart, source.Length - fromStart);
        DeviceBuffer to = destination.Buffer.Slice(toStart, destination.Buffer.Length - toStart);
        int readAlong = merged.FindIndex(axis => axis.From == 1);
        if (readAlong > 0 && merged[0].To == 1 && Math.Min(merged[0].Size, merged[readAlong].Size) >= SmallestTiledSide)
        {
            MoveAxis columns = merged[0], rows = merged[readAlong];
            MoveAxes rest = MoveAxes.From([.. merged.Where((_, i) => i != 0 && i != readAlong)]);
            int tiles = checked((int)(GroupCount(columns.Size, TransposeKernel.Tile) * (long)GroupCount(rows.Size, TransposeKernel.Tile) * (length / ((long)columns.Size * rows.Size))));
            Launch(new TransposeKernel(Input(from), columns, rows, rest, Target(destination with { Buffer = to })), tiles);
            return;
        }

        int unit = Float4.IsAligned(from) && Float4.IsAligned(to) && CanMoveQuads(merged) ? Float4.Length : 1;
        if (unit > 1)
        {
            for (int i = 0; i < merged.Count; i++)
                merged[i] = i == 0 ? merged[0] with { Size = merged[0].Size / unit } : new MoveAxis(merged[i].Size, merged[i].From / unit, merged[i].To / unit);
        }

        LaunchElements(new MoveKernel(Input(from), MoveAxes.From(merged), (int)(length / unit), unit, Target(destination with { Buffer = to })), length / unit);
    }

    private static bool CanMoveQuads(List<MoveAxis> merged)
        => merged.Count > 0 && merged[0] is { From: 1, To: 1 } && merged[0].Size % Float4.Length == 0
        && merged.Skip(1).All(axis => axis.From % Float4.Length == 0 && axis.To % Float4.Length == 0);

    /// <summary>Elements, or quads of them, from place to place; neighbouring threads write neighbours.</summary>
    internal readonly record struct MoveKernel(ArrayView<float> X, MoveAxes Axes, int Length, int Unit, GpuTarget Y) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            for (long i = Grid.GlobalLinearIndex; i < Length; i += Grid.DimX * GroupSize)
            {
                MovePlace place = Axes.Locate((int)i);
                if (Unit == 1) Y.Put(place.To, X[place.From]);
                else Float4.Put(Y, place.To, Float4.Load(X, place.From));
            }
        }
    }

    /// <summary>
    /// A movement that is contiguous along one axis in the source (rows) and along another one in the destination (columns): a group takes a
    /// tile of both through shared memory, so that it reads and writes neighbours.
    /// </summary>
    internal readonly record struct TransposeKernel(ArrayView<float> X, MoveAxis Columns, MoveAxis Rows, MoveAxes Rest, GpuTarget Y) : IGpuKernel
    {
        /// <summary>Side of a tile.</summary>
        public const int Tile = 32;

        /// <summary>One more than the side, so that a column of the tile lies in different banks.</summary>
        private const int Pitch = Tile + 1;

        public static int GroupSize => 256;

        public void Execute()
        {
            ArrayView<float> tile = SharedMemory.Allocate<float>(Tile * Pitch);
            int columnTiles = (Columns.Size + Tile - 1) / Tile, rowTiles = (Rows.Size + Tile - 1) / Tile;
            int group = Grid.IdxX, next = group / columnTiles;
            int firstColumn = (group - (next * columnTiles)) * Tile, firstRow = next % rowTiles * Tile;
            MovePlace place = Rest.Locate(next / rowTiles);
            int lane = Group.IdxX % Tile;
            for (int i = Group.IdxX / Tile; i < Tile; i += GroupSize / Tile)
            {
                int row = firstRow + lane, column = firstColumn + i;
                if (row < Rows.Size && column < Columns.Size) tile[(i * Pitch) + lane] = X[place.From + row + ((long)column * Columns.From)];
            }

            Group.Barrier();
            for (int i = Group.IdxX / Tile; i < Tile; i += GroupSize / Tile)
            {
                int row = firstRow + i, column = firstColumn + lane;
                if (row < Rows.Size && column < Columns.Size) Y.Put(place.To + column + ((long)row * Rows.To), tile[(lane * Pitch) + i]);
            }
        }
    }

    /// <summary>Rows of a table by number, a quad or an element for each thread; the width counts these units.</summary>
    internal readonly record struct GatherRowsKernel(ArrayView<float> Table, ArrayView<int> Ids, ArrayView<float> Y, int Width, RowGroups Groups, int Unit) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            for (long i = Grid.GlobalLinearIndex; i < Ids.Length * Width; i += Grid.DimX * GroupSize)
            {
                int id = (int)i / Width;
                long from = ((Ids[id] + Groups.FirstRow(id)) * Width) + ((int)i - (id * Width));
                if (Unit == 1) Y[i] = Table[from];
                else Y.Cast<Float4>()[i] = Float4.Load(Table, from);
            }
        }
    }

    /// <summary>Smallest and largest integer of what each group looks at: first all smallest, then all largest.</summary>
    internal readonly record struct IndexRangeKernel(ArrayView<int> Ids, ArrayView<int> Ranges) : IGpuKernel
    {
        public static int GroupSize => 256;

        public void Execute()
        {
            ArrayView<int> smallest = SharedMemory.Allocate<int>(256), largest = SharedMemory.Allocate<int>(256);
            int thread = Group.IdxX, low = Ids[0], high = low;
            for (long i = Grid.GlobalLinearIndex; i < Ids.Length; i += Grid.DimX * GroupSize)
            {
                low = Math.Min(low, Ids[i]);
                high = Math.Max(high, Ids[i]);
            }

            smallest[thread] = low;
            largest[thread] = high;
            Group.Barrier();
            for (int half = GroupSize / 2; half > 0; half /= 2)
            {
                if (thread < half)
                {
                    smallest[thread] = Math.Min(smallest[thread], smallest[thread + half]);
                    largest[thread] = Math.Max(largest[thread], largest[thread + half]);
                }

                Group.Barrier();
            }

            if (thread != 0) return;
            Ranges[Grid.IdxX] = smallest[0];
            Ranges[Grid.DimX + Grid.IdxX] = largest[0];
        }
    }
}
