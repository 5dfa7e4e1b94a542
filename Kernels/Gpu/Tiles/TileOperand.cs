using System.Runtime.CompilerServices;
using ILGPU;

namespace MiniVlp.Kernels.Gpu;

/// <summary>
/// One operand of a product: <see cref="Lines"/> lines (rows of the left operand, columns of the right one) along each of which a sum runs.
/// </summary>
/// <param name="View">The memory.</param>
/// <param name="Offset">Its first element in the view.</param>
/// <param name="Lines">Number of lines.</param>
/// <param name="Stride">Elements from one line to the next, or from one step of the sum to the next, whichever does not lie side by side.</param>
internal readonly record struct TileOperand(ArrayView<float> View, long Offset, int Lines, int Stride);

/// <summary>Where one thread is in an operand: the four floats that it brings of the next tile.</summary>
internal struct TileCursor
{
    /// <summary>The first of them in the view.</summary>
    public long At;

    /// <summary>Steps of the sum from there to the end; none are left when it is not positive.</summary>
    public int Steps;

    /// <summary>Lines from there to the last one, where lines lie side by side.</summary>
    public int Lines;
}

/// <summary>
/// How an operand lies in memory, and how the threads of a group bring tiles of it to shared memory: <c>size</c> lines by 1024 / size steps of the sum,
/// four floats a thread. In shared memory the lines lie side by side, so that a thread reads four of them at once: of the tile's 256 quads, lines
/// 4 l to 4 l + 3 of a step are number <c>step · size / 4 + (l ^ step / 4 · size / 32)</c>. The permutation keeps writes off each other's banks.
/// </summary>
internal interface ITileLayout
{
    /// <summary>Where this thread begins: in the tile from a line and a step on.</summary>
    static abstract TileCursor Start(in TileOperand operand, int size, int firstLine, int firstStep, int endStep);

    /// <summary>Four floats, zeros behind the last line and the last step; the cursor goes on to the next tile.</summary>
    static abstract Float4 Load(in TileOperand operand, int size, ref TileCursor cursor);

    /// <summary>Where in a tile in shared memory this thread puts its floats: the first of them.</summary>
    static abstract int Slot(int size);

    /// <summary>Puts them there.</summary>
    static abstract void Put(ArrayView<Float4> shared, int slot, int size, Float4 values);
}

/// <summary>The steps of a line lie side by side: the left operand as it is, the right one transposed, as the weight of a linear layer is.</summary>
internal readonly struct StepsInside<TAccess> : ITileLayout
    where TAccess : IFloat4Access
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TileCursor Start(in TileOperand operand, int size, int firstLine, int firstStep, int endStep)
    {
        int quads = 256 / size, line = firstLine + (Group.IdxX / quads), step = firstStep + (Group.IdxX % quads * 4);
        return new TileCursor { At = operand.Offset + ((long)line * operand.Stride) + step, Steps = line < operand.Lines ? endStep - step : 0 };
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Float4 Load(in TileOperand operand, int size, ref TileCursor cursor)
    {
        Float4 values = TAccess.Load(operand.View, cursor.At, cursor.Steps);
        cursor.At += 1024 / size;
        cursor.Steps -= 1024 / size;
        return values;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Slot(int size)
    {
        int quads = 256 / size, line = Group.IdxX / quads, quad = Group.IdxX % quads;
        return (4 * ((quad * size) + ((line / 4) ^ (quad * (size / 32))))) + (line % 4);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Put(ArrayView<Float4> shared, int slot, int size, Float4 values)
    {
        ArrayView<float> floats = shared.Cast<float>().SubView(slot, (3 * size) + 1);
        floats[0] = values.X;
        floats[size] = values.Y;
        floats[2 * size] = values.Z;
        floats[3 * size] = values.W;
    }
}

/// <summary>The lines of a step lie side by side.</summary>
internal readonly struct LinesInside<TAccess> : ITileLayout
    where TAccess : IFloat4Access
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TileCursor Start(in TileOperand operand, int size, int firstLine, int firstStep, int endStep)
    {
        int line = firstLine + (Group.IdxX % (size / 4) * 4), step = firstStep + (Group.IdxX / (size / 4));
        return new TileCursor { At = operand.Offset + ((long)step * operand.Stride) + line, Steps = endStep - step, Lines = operand.Lines - line };
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Float4 Load(in TileOperand operand, int size, ref TileCursor cursor)
    {
        Float4 values = TAccess.Load(operand.View, cursor.At, cursor.Steps > 0 ? cursor.Lines : 0);
        cursor.At += (long)operand.Stride * (1024 / size);
        cursor.Steps -= 1024 / size;
        return values;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Slot(int size)
    {
        int quad = Group.IdxX % (size / 4), step = Group.IdxX / (size / 4);
        return 4 * ((step * (size / 4)) + (quad ^ (step / 4 * (size / 32))));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Put(ArrayView<Float4> shared, int slot, int size, Float4 values) => shared[slot >> 2] = values;
}
