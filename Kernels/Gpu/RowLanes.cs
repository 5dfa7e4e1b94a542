using ILGPU;

namespace MiniVlp.Kernels.Gpu;

/// <summary>
/// How a kernel that works row by row divides its group of 256 threads: <paramref name="Count"/> neighbouring threads share one row, more of
/// them the wider it is, and lane i takes the elements i, i + count, … Threads behind the last row get none, but reach every barrier.
/// </summary>
/// <param name="Count">Threads of one row: 4, 16, 64 or 256.</param>
/// <param name="Rows">All rows.</param>
internal readonly record struct RowLanes(int Count, int Rows)
{
    /// <summary>Threads of a group.</summary>
    public const int GroupSize = 256;

    /// <summary>Groups to launch.</summary>
    public int Groups => (int)((((long)Rows * Count) + GroupSize - 1) / GroupSize);

    /// <summary>The row of this thread, in a kernel.</summary>
    public int Row => (int)((((long)Grid.IdxX * GroupSize) + Group.IdxX) / Count);

    /// <summary>The first element of this thread, in a kernel.</summary>
    public int Lane => Group.IdxX & (Count - 1);

    /// <summary>For rows of so many elements: at most four elements for each thread while rows are no wider than 1024.</summary>
    public static RowLanes For(int rows, int width) => new(width > 256 ? 256 : width > 64 ? 64 : width > 16 ? 16 : 4, rows);
}
