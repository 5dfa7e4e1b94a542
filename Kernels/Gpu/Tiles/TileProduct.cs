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
        TileCursor leftCursor = TLeft.Start(left, TTile.Size, firstRow, step, end), rightCursor = TRight.Start(right, TTile.Size, firstColumn, step, end);
        int leftSlot = TLeft.Slot(TTile.Size), rightSlot = 2048 + TRight.Slot(TTile.Size);
        int leftAt = TTile.LeftSlot, rightAt = 512 + TTile.RightSlot;
        TLeft.Put(shared, leftSlot, TTile.Size, TLeft.Load(left, TTile.Size, ref leftCursor));
        TRight.Put(shared, rightSlot, TTile.Size, TRight.Load(right, TTile.Size, ref rightCursor));
        Group.Barrier();
        for (; step < end; step += 1024 / TTile.Size)
        {
            Float4 nextLeft = TLeft.Load(left, TTile.Size, ref leftCursor), nextRight = TRight.Load(right, TTile.Size, ref rightCursor);
            TTile.MultiplyAdd(ref sums, shared, leftAt, rightAt);
            leftSlot ^= 1024;
            rightSlot ^= 1024;
            leftAt ^= 256;
            rightAt ^= 256;
            TLeft.Put(shared, leftSlot, TTile.Size, nextLeft);
            TRight.Put(shared, rightSlot, TTile.Size, nextRight);
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
        int at = StagedQuad((Group.IdxX & 15) << 2, Group.IdxX >> 4);
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
    public static int StagedQuad(int step, int lineQuad) => (16 * step) + (lineQuad ^ ((step >> 1) & 6) ^ ((step >> 4) & 1));

    /// <summary>
    /// sums += staged tile · right over 64 steps of the right operand from <paramref name="firstStep"/> on. The <see cref="RightLength"/> elements behind
    /// the staged tile are used. The tile may be staged just before, and may be overwritten when this returns.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void AddStaged<TRight>(ref ThreadTile4x4 sums, ArrayView<Float4> shared, in TileOperand right, int firstColumn, int firstStep, int endStep)
        where TRight : struct, ITileLayout
    {
        TileCursor cursor = TRight.Start(right, 64, firstColumn, firstStep, endStep);
        int slot = (4 * Length) + TRight.Slot(64), leftAt = ThreadTile4x4.LeftSlot;
        int rightAt = Length + ThreadTile4x4.RightSlot;
        TRight.Put(shared, slot, 64, TRight.Load(right, 64, ref cursor));
        Group.Barrier();
        for (int block = 0; block < 4; block++)
        {
            Float4 next = TRight.Load(right, 64, ref cursor);
            ThreadTile4x4.MultiplyAdd(ref sums, shared, leftAt, rightAt);
            slot ^= 1024;
            leftAt = (leftAt + 256) ^ 1;
            rightAt ^= 256;
            TRight.Put(shared, slot, 64, next);
            Group.Barrier();
        }
    }
}
