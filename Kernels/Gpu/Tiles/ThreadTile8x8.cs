using System.Runtime.CompilerServices;
using ILGPU;

namespace MiniVlp.Kernels.Gpu;

/// <summary>8 x 8 sums a thread: a tile of 128 x 128, in which each number from shared memory is used 64 times.</summary>
internal struct ThreadTile8x8 : IThreadTile<ThreadTile8x8>
{
    public Float8 Row0;
    public Float8 Row1;
    public Float8 Row2;
    public Float8 Row3;
    public Float8 Row4;
    public Float8 Row5;
    public Float8 Row6;
    public Float8 Row7;

    public static int Size => 128;

    public static int Parts => 4;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void MultiplyAdd(ref ThreadTile8x8 sums, ArrayView<Float4> shared, int left, int right, int threadRow, int threadColumn)
    {
        for (int quad = 0; quad < 2; quad++)
        {
            int row = left + (128 * quad) + ((2 * threadRow) ^ (4 * quad)), column = right + (128 * quad) + (threadColumn ^ (4 * quad));
            Step(ref sums, shared, row, column);
            Step(ref sums, shared, row + 32, column + 32);
            Step(ref sums, shared, row + 64, column + 64);
            Step(ref sums, shared, row + 96, column + 96);
        }
    }

    /// <summary>A part has two rows of each thread.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void PutPart(in ThreadTile8x8 sums, ArrayView<Float4> shared, int part, int threadRow, int threadColumn)
    {
        int at = (64 * threadRow) + threadColumn;
        if (part == 0) Put(shared, at, sums.Row0, sums.Row1);
        else if (part == 1) Put(shared, at, sums.Row2, sums.Row3);
        else if (part == 2) Put(shared, at, sums.Row4, sums.Row5);
        else Put(shared, at, sums.Row6, sums.Row7);
    }

    public static int RowOfPart(int part, int row) => (row / 2 * 8) + (2 * part) + (row % 2);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Put(ArrayView<Float4> shared, int at, in Float8 first, in Float8 second)
    {
        shared[at] = first.Low;
        shared[at + 16] = first.High;
        shared[at + 32] = second.Low;
        shared[at + 48] = second.High;
    }

    /// <summary>One step of the sum: eight neighbouring rows times two quads of columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Step(ref ThreadTile8x8 sums, ArrayView<Float4> shared, int row, int column)
    {
        Float4 upper = shared[row], lower = shared[row + 1], low = shared[column], high = shared[column + 16];
        sums.Row0.AddProduct(upper.X, low, high);
        sums.Row1.AddProduct(upper.Y, low, high);
        sums.Row2.AddProduct(upper.Z, low, high);
        sums.Row3.AddProduct(upper.W, low, high);
        sums.Row4.AddProduct(lower.X, low, high);
        sums.Row5.AddProduct(lower.Y, low, high);
        sums.Row6.AddProduct(lower.Z, low, high);
        sums.Row7.AddProduct(lower.W, low, high);
    }

    /// <summary>One row of a thread: four columns from 4 · threadColumn on, and four from 64 + 4 · threadColumn on.</summary>
    internal struct Float8
    {
        public Float4 Low;
        public Float4 High;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void AddProduct(float factor, Float4 low, Float4 high)
        {
            Low.AddProduct(factor, low);
            High.AddProduct(factor, high);
        }
    }
}
