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

/// <summary>
/// How an operand lies in memory, and how the threads of a group bring a tile of it to shared memory: <c>size</c> lines by 1024 / size steps of the
/// sum, four floats a thread. In shared memory the lines lie side by side, so that a thread reads four of them at once: element (step, line)
/// is float 4 · (step · size / 4 + (line / 4 ^ swizzle)) + line % 4, and the swizzle, <c>step / 4 · size / 32</c>, keeps writes off each other's banks.
/// </summary>
internal interface ITileLayout
{
    /// <summary>The four floats that a thread brings: of the tile that starts at a line and a step; zeros behind the last line and the last step.</summary>
    static abstract Float4 Load(in TileOperand operand, int size, int thread, int firstLine, int firstStep, int endStep);

    /// <summary>Puts them into the tile that starts at element <paramref name="start"/> of shared memory.</summary>
    static abstract void Put(ArrayView<Float4> shared, int start, int size, int thread, Float4 values);
}

/// <summary>The steps of a line lie side by side: the left operand as it is, the right one transposed, as the weight of a linear layer is.</summary>
internal readonly struct StepsInside<TAccess> : ITileLayout
    where TAccess : IFloat4Access
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Float4 Load(in TileOperand operand, int size, int thread, int firstLine, int firstStep, int endStep)
    {
        int quads = 256 / size, line = firstLine + (thread / quads), step = firstStep + (thread % quads * 4);
        return TAccess.Load(operand.View, operand.Offset + ((long)line * operand.Stride) + step, line < operand.Lines ? endStep - step : 0);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Put(ArrayView<Float4> shared, int start, int size, int thread, Float4 values)
    {
        ArrayView<float> floats = shared.Cast<float>();
        int quads = 256 / size, line = thread / quads, quad = thread % quads;
        int at = (4 * (start + (quad * size) + ((line / 4) ^ (quad * (size / 32))))) + (line % 4);
        floats[at] = values.X;
        floats[at + size] = values.Y;
        floats[at + (2 * size)] = values.Z;
        floats[at + (3 * size)] = values.W;
    }
}

/// <summary>The lines of a step lie side by side.</summary>
internal readonly struct LinesInside<TAccess> : ITileLayout
    where TAccess : IFloat4Access
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Float4 Load(in TileOperand operand, int size, int thread, int firstLine, int firstStep, int endStep)
    {
        int line = firstLine + (thread % (size / 4) * 4), step = firstStep + (thread / (size / 4));
        return TAccess.Load(operand.View, operand.Offset + ((long)step * operand.Stride) + line, step < endStep ? operand.Lines - line : 0);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Put(ArrayView<Float4> shared, int start, int size, int thread, Float4 values)
    {
        int line = thread % (size / 4), step = thread / (size / 4);
        shared[start + (step * (size / 4)) + (line ^ (step / 4 * (size / 32)))] = values;
    }
}
