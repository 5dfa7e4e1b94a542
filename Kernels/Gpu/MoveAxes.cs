using System.Runtime.CompilerServices;

namespace MiniVlp.Kernels.Gpu;

/// <summary>One axis of a movement of elements.</summary>
/// <param name="Size">Indices along the axis.</param>
/// <param name="From">Elements from one index to the next in the source; 0 repeats.</param>
/// <param name="To">Elements from one index to the next in the destination.</param>
internal readonly record struct MoveAxis(int Size, int From, int To);

/// <summary>Up to six axes of a movement, innermost first; absent ones have size 1.</summary>
internal readonly record struct MoveAxes(MoveAxis A, MoveAxis B, MoveAxis C, MoveAxis D, MoveAxis E, MoveAxis F)
{
    /// <summary>Axes from a list, innermost first.</summary>
    public static MoveAxes From(IReadOnlyList<MoveAxis> axes) => new(At(axes, 0), At(axes, 1), At(axes, 2), At(axes, 3), At(axes, 4), At(axes, 5));

    /// <summary>
    /// As few axes as describe the same movement, innermost first, from axes that are outermost first: axes of size 1 go, and neighbours that
    /// lie behind each other on both sides become one.
    /// </summary>
    public static List<MoveAxis> Merge(ReadOnlySpan<MoveAxis> axes)
    {
        List<MoveAxis> merged = [];
        for (int i = axes.Length - 1; i >= 0; i--)
        {
            MoveAxis axis = axes[i];
            if (axis.Size == 1) continue;
            if (merged.Count > 0 && merged[^1] is var inner && axis.From == inner.Size * inner.From && axis.To == inner.Size * inner.To)
                merged[^1] = inner with { Size = inner.Size * axis.Size };
            else merged.Add(axis);
        }

        return merged;
    }

    /// <summary>Where element <paramref name="index"/> lies, in the order of the axes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public MovePlace Locate(int index)
    {
        uint rest = (uint)index;
        int from = 0, to = 0;
        Step(A, ref rest, ref from, ref to);
        if (rest != 0) Step(B, ref rest, ref from, ref to);
        if (rest != 0) Step(C, ref rest, ref from, ref to);
        if (rest != 0) Step(D, ref rest, ref from, ref to);
        if (rest != 0) Step(E, ref rest, ref from, ref to);
        if (rest != 0) Step(F, ref rest, ref from, ref to);
        return new MovePlace(from, to);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Step(MoveAxis axis, ref uint rest, ref int from, ref int to)
    {
        uint next = rest / (uint)axis.Size;
        int index = (int)(rest - (next * (uint)axis.Size));
        from += index * axis.From;
        to += index * axis.To;
        rest = next;
    }

    private static MoveAxis At(IReadOnlyList<MoveAxis> axes, int axis) => axis < axes.Count ? axes[axis] : new MoveAxis(1, 0, 0);
}

/// <summary>An element in the source and in the destination.</summary>
internal readonly record struct MovePlace(int From, int To);
