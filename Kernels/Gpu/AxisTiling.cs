using System.Numerics;
using ILGPU;

namespace MiniVlp.Kernels.Gpu;

/// <summary>
/// How a group of 256 threads covers x [outer, repeat, inner] when it works along the middle axis: neighbouring threads take neighbouring
/// columns (so that they read neighbouring memory), then come lanes that share the middle axis, then several outer indices if there is room.
/// It depends on the sizes alone, and so does every order of summation that follows from it.
/// </summary>
/// <param name="Columns">Inner indices of one group; a power of two.</param>
/// <param name="Lanes">Threads that share one middle axis; a power of two.</param>
internal readonly record struct AxisTiling(int Columns, int Lanes)
{
    /// <summary>Threads of a group.</summary>
    public const int GroupSize = 256;

    private const int MaxColumns = 32;

    /// <summary>Outer indices of one group.</summary>
    public int Outers => GroupSize / (Columns * Lanes);

    public static AxisTiling For(Broadcast layout)
    {
        int columns = Math.Min(MaxColumns, PowerOfTwoFrom(layout.Inner));
        return new AxisTiling(columns, Math.Min(GroupSize / columns, PowerOfTwoFrom(layout.Repeat)));
    }

    /// <summary>Groups that cover all outer and inner indices.</summary>
    public int GroupCount(Broadcast layout) => checked(ColumnTiles(layout) * (int)(((long)layout.Outer + Outers - 1) / Outers));

    /// <summary>Groups side by side along the inner axis.</summary>
    public int ColumnTiles(Broadcast layout) => (layout.Inner + Columns - 1) / Columns;

    /// <summary>The place of the running thread; see <see cref="AxisPlace"/>.</summary>
    public AxisPlace Here(Broadcast layout)
    {
        int tiles = ColumnTiles(layout), group = Grid.IdxX, thread = Group.IdxX, row = thread / Columns;
        int outer = (group / tiles * Outers) + (row / Lanes);
        return new AxisPlace(outer, row % Lanes, (group % tiles * Columns) + (thread % Columns));
    }

    private static int PowerOfTwoFrom(int size) => (int)Math.Min(GroupSize, BitOperations.RoundUpToPowerOf2((uint)Math.Max(1, size)));
}

/// <summary>What one thread of an <see cref="AxisTiling"/> works on.</summary>
/// <param name="Outer">Its outer index.</param>
/// <param name="Lane">Its number among the threads that share the middle axis.</param>
/// <param name="Column">Its inner index.</param>
internal readonly record struct AxisPlace(int Outer, int Lane, int Column)
{
    /// <summary>Whether outer and inner index exist; groups at the edge have threads without work.</summary>
    public bool IsInside(Broadcast layout) => Outer < layout.Outer && Column < layout.Inner;

    /// <summary>Index of the element of the small operand that belongs here.</summary>
    public int SmallIndex(Broadcast layout) => (Outer * layout.Inner) + Column;
}
