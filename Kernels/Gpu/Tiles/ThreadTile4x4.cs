using System.Runtime.CompilerServices;
using ILGPU;

namespace MiniVlp.Kernels.Gpu;

/// <summary>
/// What one thread of a group of 256 sums of a square tile of a product: 16 x 16 threads, each with so many rows and columns in registers.
/// </summary>
internal interface IThreadTile<TSelf>
    where TSelf : struct, IThreadTile<TSelf>
{
    /// <summary>Rows of the group's tile, and its columns. A tile of an operand holds 1024 / Size steps of the sum.</summary>
    static abstract int Size { get; }

    /// <summary>Times that the group passes 4096 sums through shared memory until all are out.</summary>
    static abstract int Parts { get; }

    /// <summary>Groups of a matrix product that must fit on one multiprocessor together; 0: the compiler decides.</summary>
    static abstract int GroupsPerMultiprocessor { get; }

    /// <summary>
    /// Adds the product of two operand tiles. In shared memory they start at <paramref name="left"/> and <paramref name="right"/>, up to
    /// <see cref="LeftSlot"/> and <see cref="RightSlot"/>, which are already added.
    /// </summary>
    static abstract void MultiplyAdd(ref TSelf sums, ArrayView<Float4> shared, int left, int right);

    /// <summary>Where in the first step of a left tile the rows of this thread are.</summary>
    static abstract int LeftSlot { get; }

    /// <summary>Where in the first step of a right tile the columns of this thread are.</summary>
    static abstract int RightSlot { get; }

    /// <summary>Writes a part of the sums to shared memory, row after row without gaps.</summary>
    static abstract void PutPart(in TSelf sums, ArrayView<Float4> shared, int part);

    /// <summary>Which row of the tile is row <paramref name="row"/> of a part.</summary>
    static abstract int RowOfPart(int part, int row);
}

/// <summary>4 x 4 sums a thread: a tile of 64 x 64, for products that are too small to fill a device with larger ones, and for attention.</summary>
internal struct ThreadTile4x4 : IThreadTile<ThreadTile4x4>
{
    public Float4 Row0;
    public Float4 Row1;
    public Float4 Row2;
    public Float4 Row3;

    public static int Size => 64;

    public static int Parts => 1;

    /// <summary>80 registers a thread. Left to itself the assembler tries for four groups, and spills where an activation follows.</summary>
    public static int GroupsPerMultiprocessor => 3;

    public static int LeftSlot => Group.IdxX >> 4;

    public static int RightSlot => Group.IdxX & 15;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void MultiplyAdd(ref ThreadTile4x4 sums, ArrayView<Float4> shared, int left, int right)
    {
        // Not unrolled: the kernels of attention have up to six products, and OpenCL compilers take their time for each.
        for (int quad = 0; quad < 4; quad++)
            FourSteps(ref sums, shared.SubView((left ^ (2 * quad)) + (64 * quad), 49), shared.SubView((right ^ (2 * quad)) + (64 * quad), 49));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void PutPart(in ThreadTile4x4 sums, ArrayView<Float4> shared, int part)
    {
        int at = (64 * LeftSlot) + RightSlot;
        shared[at] = sums.Row0;
        shared[at + 16] = sums.Row1;
        shared[at + 32] = sums.Row2;
        shared[at + 48] = sums.Row3;
    }

    public static int RowOfPart(int part, int row) => row;

    /// <summary>this += tile.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Add(in ThreadTile4x4 tile)
    {
        Row0.AddProduct(1f, tile.Row0);
        Row1.AddProduct(1f, tile.Row1);
        Row2.AddProduct(1f, tile.Row2);
        Row3.AddProduct(1f, tile.Row3);
    }

    /// <summary>Multiplies each row by its factor.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void ScaleRows(Float4 factors)
    {
        Row0.Scale(factors.X);
        Row1.Scale(factors.Y);
        Row2.Scale(factors.Z);
        Row3.Scale(factors.W);
    }

    /// <summary>Four steps of the sum, between which the permutation of the quads does not change.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void FourSteps(ref ThreadTile4x4 sums, ArrayView<Float4> left, ArrayView<Float4> right)
    {
        Step(ref sums, left[0], right[0]);
        Step(ref sums, left[16], right[16]);
        Step(ref sums, left[32], right[32]);
        Step(ref sums, left[48], right[48]);
    }

    /// <summary>One step of the sum: four rows times four columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Step(ref ThreadTile4x4 sums, Float4 rows, Float4 columns)
    {
        sums.Row0.AddProduct(rows.X, columns);
        sums.Row1.AddProduct(rows.Y, columns);
        sums.Row2.AddProduct(rows.Z, columns);
        sums.Row3.AddProduct(rows.W, columns);
    }
}
