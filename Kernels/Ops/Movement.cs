using System.Runtime.CompilerServices;

namespace MiniVlp.Kernels;

/// <summary>Rows at equal distances in a buffer.</summary>
/// <param name="Start">First element of the first row.</param>
/// <param name="Stride">Elements from the start of one row to the start of the next; 0 repeats the same row.</param>
public readonly record struct StridedRows(int Start, int Stride);

/// <summary>Where the row numbers of a gather start counting: after every <paramref name="IdsPerGroup"/> ids, one group of rows further on.</summary>
/// <param name="IdsPerGroup">Ids that count from the same row.</param>
/// <param name="RowsPerGroup">Rows from the start of one group to the start of the next; 0 for one table that all ids share.</param>
public readonly record struct RowGroups(int IdsPerGroup, int RowsPerGroup)
{
    /// <summary>One table for all ids.</summary>
    public static RowGroups One => new(1, 0);

    internal long FirstRow(long id) => RowsPerGroup == 0 ? 0 : id / IdsPerGroup * RowsPerGroup;
}

/// <summary>Sizes and order of a <see cref="IBackend.Permute"/>; unused axes in front have size 1 and stride 0.</summary>
/// <param name="Sizes">Sizes of the result's axes.</param>
/// <param name="Strides">Elements in x from one index of each result axis to the next.</param>
public readonly record struct PermuteArgs(PermuteArgs.SixAxes Sizes, PermuteArgs.SixAxes Strides)
{
    /// <summary>Six numbers, outermost axis first.</summary>
    [InlineArray(6)]
    public struct SixAxes : IEquatable<SixAxes>
    {
        private int _first;

        /// <summary>Equal when all six numbers are.</summary>
        public static bool operator ==(SixAxes left, SixAxes right) => left.Equals(right);

        /// <summary>The opposite of ==.</summary>
        public static bool operator !=(SixAxes left, SixAxes right) => !left.Equals(right);

        /// <inheritdoc/>
        public readonly bool Equals(SixAxes other) => ((ReadOnlySpan<int>)this).SequenceEqual(other);

        /// <inheritdoc/>
        public override readonly bool Equals(object? obj) => obj is SixAxes other && Equals(other);

        /// <inheritdoc/>
        public override readonly int GetHashCode() => HashCode.Combine(this[0], this[3], this[4], this[5]);
    }
}

public partial interface IBackend
{
    /// <summary>Copies rows of <paramref name="length"/> elements: destination row i = source row i, or += when the target accumulates.</summary>
    void CopyRows(DeviceBuffer source, StridedRows from, GradientTarget destination, StridedRows to, int rows, int length);

    /// <summary>Sums rows: destination[j] = Σᵢ source row i [j], written or accumulated as the target says.</summary>
    void SumStridedRows(DeviceBuffer source, StridedRows from, GradientTarget destination, int rows, int length);

    /// <summary>y = x with its axes in another order; y is written or accumulated as the target says.</summary>
    void Permute(DeviceBuffer x, GradientTarget y, PermuteArgs args);

    /// <summary>y row i = table row (ids[i] + i / idsPerGroup · rowsPerGroup); rows have <paramref name="width"/> elements. Writes y.</summary>
    void GatherRows(DeviceBuffer table, DeviceBuffer ids, DeviceBuffer y, int width, RowGroups groups);

    /// <summary>
    /// dTable row (ids[i] + i / idsPerGroup · rowsPerGroup) += dy row i, in order of i; ids equal to <paramref name="ignoredId"/> contribute nothing.
    /// When the target does not accumulate, all other rows become zero.
    /// </summary>
    void ScatterAddRows(DeviceBuffer dy, DeviceBuffer ids, GradientTarget dTable, int width, RowGroups groups, int ignoredId);

    /// <summary>Smallest and largest of some integers; (0, 0) for none.</summary>
    (int Smallest, int Largest) IndexRange(DeviceBuffer ids);

    /// <summary>position[row] = first column where ids equals <paramref name="value"/>; 0 where it does not occur.</summary>
    void FirstIndexOf(DeviceBuffer ids, int columns, int value, DeviceBuffer position);

    /// <summary>position[row] = first column of the largest id.</summary>
    void ArgMaxIndex(DeviceBuffer ids, int columns, DeviceBuffer position);
}

public sealed unsafe partial class CpuBackend
{
    /// <inheritdoc/>
    public void CopyRows(DeviceBuffer source, StridedRows from, GradientTarget destination, StridedRows to, int rows, int length)
    {
        if (!destination.IsNeeded || rows == 0 || length == 0) return;
        int perChunk = Math.Max(1, ElementwiseGrain / length);
        Run(new CopyRowsKernel(Floats(source), from, Floats(destination.Buffer), to, rows, length, perChunk, destination.Accumulate), ChunkCount(rows, perChunk));
    }

    /// <inheritdoc/>
    public void SumStridedRows(DeviceBuffer source, StridedRows from, GradientTarget destination, int rows, int length)
    {
        if (!destination.IsNeeded) return;
        Run(new SumStridedRowsKernel(Floats(source), from, Floats(destination.Buffer), rows, length, destination.Accumulate), ChunkCount(length, SumColumnsPerChunk));
    }

    /// <inheritdoc/>
    public void Permute(DeviceBuffer x, GradientTarget y, PermuteArgs args)
    {
        if (!y.IsNeeded || x.Length == 0) return;
        int columns = args.Sizes[5], rows = x.Length / columns, perChunk = Math.Max(1, ElementwiseGrain / columns);
        Run(new PermuteKernel(Floats(x), Floats(y.Buffer), args, rows, perChunk, y.Accumulate), ChunkCount(rows, perChunk));
    }

    /// <inheritdoc/>
    public void GatherRows(DeviceBuffer table, DeviceBuffer ids, DeviceBuffer y, int width, RowGroups groups)
    {
        int perChunk = Math.Max(1, ElementwiseGrain / Math.Max(1, width));
        Run(new GatherRowsKernel(Floats(table), (float*)Ints(ids), Floats(y), ids.Length, width, groups, perChunk), ChunkCount(ids.Length, perChunk));
    }

    /// <inheritdoc/>
    public void ScatterAddRows(DeviceBuffer dy, DeviceBuffer ids, GradientTarget dTable, int width, RowGroups groups, int ignoredId)
    {
        if (!dTable.IsNeeded || width == 0) return;
        int rows = dTable.Buffer.Length / width;
        int perChunk = Math.Max(64, ElementwiseGrain / width);
        Run(new ScatterAddRowsKernel(Floats(dy), (float*)Ints(ids), Floats(dTable.Buffer), ids.Length, rows, width, groups, ignoredId, perChunk, dTable.Accumulate), ChunkCount(rows, perChunk));
    }

    /// <inheritdoc/>
    public (int Smallest, int Largest) IndexRange(DeviceBuffer ids)
    {
        int* values = Ints(ids);
        if (ids.Length == 0) return (0, 0);
        int smallest = values[0], largest = values[0];
        for (int i = 1; i < ids.Length; i++)
        {
            smallest = Math.Min(smallest, values[i]);
            largest = Math.Max(largest, values[i]);
        }

        return (smallest, largest);
    }

    /// <inheritdoc/>
    public void FirstIndexOf(DeviceBuffer ids, int columns, int value, DeviceBuffer position)
    {
        for (int row = 0; row < position.Length; row++)
            Ints(position)[row] = Math.Max(0, new ReadOnlySpan<int>(Ints(ids) + (row * columns), columns).IndexOf(value));
    }

    /// <inheritdoc/>
    public void ArgMaxIndex(DeviceBuffer ids, int columns, DeviceBuffer position)
    {
        for (int row = 0; row < position.Length; row++)
        {
            int* values = Ints(ids) + (row * columns);
            int best = 0;
            for (int i = 1; i < columns; i++)
                if (values[i] > values[best]) best = i;
            Ints(position)[row] = best;
        }
    }

    /// <summary>Columns that one chunk of <see cref="SumStridedRows"/> sums.</summary>
    private const int SumColumnsPerChunk = 1024;

    private static void AddOrCopy<V>(float* source, float* destination, int length, bool accumulate)
        where V : unmanaged, Simd.ISimd<V>
    {
        if (!accumulate)
        {
            Buffer.MemoryCopy(source, destination, (long)length * sizeof(float), (long)length * sizeof(float));
            return;
        }

        int i = 0;
        for (; i <= length - V.Width; i += V.Width) V.Store(V.Load(destination + i) + V.Load(source + i), destination + i);
        for (; i < length; i++) destination[i] += source[i];
    }

    private readonly record struct CopyRowsKernel(
        Pointer Source, StridedRows From, Pointer Destination, StridedRows To, int Rows, int Length, int PerChunk, bool Accumulate) : ICpuKernel
    {
        public void Execute<V>(int chunk)
            where V : unmanaged, Simd.ISimd<V>
        {
            float* source = (float*)Source + From.Start, destination = (float*)Destination + To.Start;
            for (long row = chunk * PerChunk; row < Math.Min(Rows, (chunk + 1) * PerChunk); row++)
                AddOrCopy<V>(source + (row * From.Stride), destination + (row * To.Stride), Length, Accumulate);
        }
    }

    private readonly record struct SumStridedRowsKernel(Pointer Source, StridedRows From, Pointer Destination, int Rows, int Length, bool Accumulate) : ICpuKernel
    {
        public void Execute<V>(int chunk)
            where V : unmanaged, Simd.ISimd<V>
        {
            int start = chunk * SumColumnsPerChunk, length = Math.Min(SumColumnsPerChunk, Length - start);
            float* destination = (float*)Destination + start;
            if (!Accumulate) new Span<float>(destination, length).Clear();
            for (long row = 0; row < Rows; row++) AddOrCopy<V>((float*)Source + From.Start + start + (row * From.Stride), destination, length, accumulate: true);
        }
    }

    private readonly record struct PermuteKernel(Pointer X, Pointer Y, PermuteArgs Args, int Rows, int PerChunk, bool Accumulate) : ICpuKernel
    {
        /// <summary>Result rows that are written together when they are neighbours in x: a cache line of floats.</summary>
        private const int Together = 16;

        public void Execute<V>(int chunk)
            where V : unmanaged, Simd.ISimd<V>
        {
            PermuteArgs.SixAxes sizes = Args.Sizes, strides = Args.Strides;
            int columns = sizes[5], stride = strides[5], last = Math.Min(Rows, (chunk + 1) * PerChunk);
            for (int row = chunk * PerChunk; row < last;)
            {
                long offset = 0;
                int rest = row;
                for (int axis = 4; axis >= 0; axis--)
                {
                    offset += (long)(rest % sizes[axis]) * strides[axis];
                    rest /= sizes[axis];
                }

                float* x = (float*)X + offset, y = (float*)Y + ((long)row * columns);
                int count = 1;
                if (stride == 1)
                {
                    AddOrCopy<V>(x, y, columns, Accumulate);
                }
                else
                {
                    if (strides[4] == 1) count = Math.Min(Together, Math.Min(last - row, sizes[4] - (row % sizes[4])));
                    WriteRows(x, stride, y, columns, count);
                }

                row += count;
            }
        }

        private void WriteRows(float* x, long stride, float* y, int columns, int count)
        {
            for (int i = 0; i < columns; i++, x += stride)
            {
                float* to = y + i;
                if (Accumulate) for (int r = 0; r < count; r++, to += columns) *to += x[r];
                else for (int r = 0; r < count; r++, to += columns) *to = x[r];
            }
        }
    }

    private readonly record struct GatherRowsKernel(Pointer Table, Pointer Ids, Pointer Y, int Count, int Width, RowGroups Groups, int PerChunk) : ICpuKernel
    {
        public void Execute<V>(int chunk)
            where V : unmanaged, Simd.ISimd<V>
        {
            int* ids = (int*)(float*)Ids;
            for (long i = chunk * PerChunk; i < Math.Min(Count, (chunk + 1) * PerChunk); i++)
                AddOrCopy<V>((float*)Table + ((ids[i] + Groups.FirstRow(i)) * Width), (float*)Y + (i * Width), Width, accumulate: false);
        }
    }

    /// <summary>A chunk owns a range of table rows and looks through all ids, so that no two chunks write to one row.</summary>
    private readonly record struct ScatterAddRowsKernel(
        Pointer DY, Pointer Ids, Pointer DTable, int Count, int Rows, int Width, RowGroups Groups, int IgnoredId, int PerChunk, bool Accumulate) : ICpuKernel
    {
        public void Execute<V>(int chunk)
            where V : unmanaged, Simd.ISimd<V>
        {
            long first = (long)chunk * PerChunk, end = Math.Min(Rows, first + PerChunk);
            int* ids = (int*)(float*)Ids;
            if (!Accumulate) new Span<float>((float*)DTable + (first * Width), (int)(end - first) * Width).Clear();
            for (long i = 0; i < Count; i++)
            {
                long row = ids[i] + Groups.FirstRow(i);
                if (row < first || row >= end || ids[i] == IgnoredId) continue;
                AddOrCopy<V>((float*)DY + (i * Width), (float*)DTable + (row * Width), Width, accumulate: true);
            }
        }
    }
}
