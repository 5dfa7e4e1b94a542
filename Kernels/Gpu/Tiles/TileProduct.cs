using System.Runtime.CompilerServices;
using ILGPU;

namespace MiniVlp.Kernels.Gpu;

/// <summary>Products of tiles by a group of 256 threads; every thread of the group calls these together.</summary>
internal static class TileProduct
{
    /// <summary>Elements of shared memory that a product of two operands passes through, and that a left operand of 64 steps by 64 lines takes.</summary>
    public const int Length = 1024;

    /// <summary>Elements of shared memory that the right operand of <see cref="AddStaged"/> passes through.</summary>
    public const int RightLength = 512;

    /// <summary>
    /// sums += left · right over the steps from <paramref name="step"/> to <paramref name="end"/>. The next tiles of both operands are on their way to
    /// registers while the present ones are multiplied from shared memory, which holds two of each, so that one barrier a tile is enough. Uses the first
    /// <see cref="Length"/> elements of shared memory, which no thread may be reading; none is when it returns.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Add<TTile, TLeft, TRight>(
        ref TTile sums, ArrayView<Float4> shared, in TileOperand left, int firstRow, in TileOperand right, int firstColumn, int step, int end)
        where TTile : struct, IThreadTile<TTile>
        where TLeft : struct, ITileLayout
        where TRight : struct, ITileLayout
    {
        int thread = Group.IdxX, stage = 0;
        TLeft.Put(shared, 0, TTile.Size, thread, TLeft.Load(left, TTile.Size, thread, firstRow, step, end));
        TRight.Put(shared, 512, TTile.Size, thread, TRight.Load(right, TTile.Size, thread, firstColumn, step, end));
        Group.Barrier();
        for (; step < end; step += 1024 / TTile.Size)
        {
            Float4 nextLeft = TLeft.Load(left, TTile.Size, thread, firstRow, step + (1024 / TTile.Size), end);
            Float4 nextRight = TRight.Load(right, TTile.Size, thread, firstColumn, step + (1024 / TTile.Size), end);
            TTile.MultiplyAdd(ref sums, shared, stage, stage + 512, thread / 16, thread % 16);
            stage ^= 256;
            TLeft.Put(shared, stage, TTile.Size, thread, nextLeft);
            TRight.Put(shared, stage + 512, TTile.Size, thread, nextRight);
            Group.Barrier();
        }
    }

    /// <summary>
    /// Puts a tile of 64 x 64 into the first <see cref="Length"/> elements of shared memory as the left operand of <see cref="AddStaged"/>: its rows are
    /// the lines, its columns the steps of the sum.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Stage(ArrayView<Float4> shared, in ThreadTile4x4 tile)
    {
        int column = Group.IdxX % 16, at = StagedQuad(4 * column, Group.IdxX / 16);
        shared[at] = new Float4 { X = tile.Row0.X, Y = tile.Row1.X, Z = tile.Row2.X, W = tile.Row3.X };
        shared[at + 16] = new Float4 { X = tile.Row0.Y, Y = tile.Row1.Y, Z = tile.Row2.Y, W = tile.Row3.Y };
        shared[at + 32] = new Float4 { X = tile.Row0.Z, Y = tile.Row1.Z, Z = tile.Row2.Z, W = tile.Row3.Z };
        shared[at + 48] = new Float4 { X = tile.Row0.W, Y = tile.Row1.W, Z = tile.Row2.W, W = tile.Row3.W };
    }

    /// <summary>
    /// Which element of shared memory holds four lines of one step of a staged tile: a permutation of the lines that differs between neighbouring quads
    /// of steps, so that threads side by side in a row of the tile write to different banks.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int StagedQuad(int step, int lineQuad) => (16 * step) + (lineQuad ^ (step / 4 % 4 * 2) ^ (step / 16 % 2));

    /// <summary>
    /// sums += staged tile · right over 64 steps of the right operand from <paramref name="firstStep"/> on. The <see cref="RightLength"/> elements behind
    /// the staged tile are used. The tile may be staged just before, and may be overwritten when this returns.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void AddStaged<TRight>(ref ThreadTile4x4 sums, ArrayView<Float4> shared, in TileOperand right, int firstColumn, int firstStep, int endStep)
        where TRight : struct, ITileLayout
    {
        int thread = Group.IdxX, stage = Length;
        TRight.Put(shared, stage, 64, thread, TRight.Load(right, 64, thread, firstColumn, firstStep, endStep));
        Group.Barrier();
        for (int block = 0; block < 4; block++)
        {
            int nextStep = firstStep + (16 * (block + 1));
            Float4 next = TRight.Load(right, 64, thread, firstColumn, nextStep, block < 3 ? endStep : nextStep);
            ThreadTile4x4.MultiplyAdd(ref sums, shared, 256 * block, stage, (thread / 16) ^ (block % 2), thread % 16);
            stage ^= 256;
            TRight.Put(shared, stage, 64, thread, next);
            Group.Barrier();
        }
    }
}
