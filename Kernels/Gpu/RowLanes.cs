using ILGPU;

namespace MiniVlp.Kernels.Gpu;

/// <summary>
/// How a kernel that works row by row divides its group of 256 threads: <see cref="Count"/> neighbouring threads share one row, more of
/// them the wider it is, and lane i takes the elements i, i + count, … Threads behind the last row get none, but reach every barrier.
/// </summary>
/// <param name="Shift">Logarithm of <see cref="Count"/> to base 2: a division would be hundreds of instructions.</param>
/// <param name="Rows">All rows.</param>
internal readonly record struct RowLanes(int Shift, int Rows)
{
    /// <summary>Threads of a group.</summary>
    public const int GroupSize = 256;

    /// <summary>Threads of one row: 4, 16, 64 or 256.</summary>
    public int Count => 1 << Shift;

    /// <summary>Groups to launch.</summary>
    public int Groups => (int)((((long)Rows * Count) + GroupSize - 1) / GroupSize);

    /// <summary>The row of this thread, in a kernel.</summary>
    public int Row => (int)((((long)Grid.IdxX * GroupSize) + Group.IdxX) >> Shift);

    /// <summary>The first element of this thread, in a kernel.</summary>
    public int Lane => Group.IdxX & (Count - 1);

    /// <summary>For rows of so many elements: at most four elements for each thread while rows are no wider than 1024.</summary>
    public static RowLanes For(int rows, int width) => new(width > 256 ? 8 : width > 64 ? 6 : width > 16 ? 4 : 2, rows);
}
