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

    public static int GroupsPerMultiprocessor => 0;

    public static int LeftSlot => Group.IdxX >> 4 << 1;

    public static int RightSlot => Group.IdxX & 15;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void MultiplyAdd(ref ThreadTile8x8 sums, ArrayView<Float4> shared, int left, int right)
    {
        FourSteps(ref sums, shared.SubView(left, 98), shared.SubView(right, 113));
        FourSteps(ref sums, shared.SubView((left ^ 4) + 128, 98), shared.SubView((right ^ 4) + 128, 113));
    }

    /// <summary>A part has two rows of each thread.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void PutPart(in ThreadTile8x8 sums, ArrayView<Float4> shared, int part)
    {
        int at = (32 * LeftSlot) + RightSlot;
        if (part == 0) Put(shared, at, sums.Row0, sums.Row1);
        else if (part == 1) Put(shared, at, sums.Row2, sums.Row3);
        else if (part == 2) Put(shared, at, sums.Row4, sums.Row5);
        else Put(shared, at, sums.Row6, sums.Row7);
    }

    public static int RowOfPart(int part, int row) => (row >> 1 << 3) + (2 * part) + (row & 1);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Put(ArrayView<Float4> shared, int at, in Float8 first, in Float8 second)
    {
        shared[at] = first.Low;
        shared[at + 16] = first.High;
        shared[at + 32] = second.Low;
        shared[at + 48] = second.High;
    }

    /// <summary>Four steps of the sum, between which the permutation of the quads does not change.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void FourSteps(ref ThreadTile8x8 sums, ArrayView<Float4> left, ArrayView<Float4> right)
    {
        Step(ref sums, left[0], left[1], right[0], right[16]);
        Step(ref sums, left[32], left[33], right[32], right[48]);
        Step(ref sums, left[64], left[65], right[64], right[80]);
        Step(ref sums, left[96], left[97], right[96], right[112]);
    }

    /// <summary>One step of the sum: eight neighbouring rows times two quads of columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Step(ref ThreadTile8x8 sums, Float4 upper, Float4 lower, Float4 low, Float4 high)
    {
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
