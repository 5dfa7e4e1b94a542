using ILGPU;

namespace MiniVlp.Kernels.Gpu;

/// <summary>The operands of one tensor in a launch over several, and the first of the groups that work on it.</summary>
/// <typeparam name="T">Views and constants.</typeparam>
/// <param name="Operands">What its groups read and write.</param>
/// <param name="FirstGroup">The first group; larger than any where the table has no tensor. 64 bits, so that no padding follows.</param>
internal readonly record struct Segment<T>(T Operands, long FirstGroup)
    where T : struct;

/// <summary>
/// Up to sixteen tensors of any lengths in one launch, handed over by value: each group of threads finds its tensor and its range of
/// <see cref="SegmentTable.ChunkSize"/> elements. CUDA takes 4 KiB of arguments, which bounds the size of <typeparamref name="T"/>.
/// </summary>
/// <typeparam name="T">Views and constants of one tensor.</typeparam>
internal struct SegmentTable<T>
    where T : struct
{
    private Segment<T> _segment0, _segment1, _segment2, _segment3, _segment4, _segment5, _segment6, _segment7;
    private Segment<T> _segment8, _segment9, _segment10, _segment11, _segment12, _segment13, _segment14, _segment15;
    private int _count;

    public SegmentTable()
    {
        this = default;
        for (int i = 0; i < SegmentTable.Capacity; i++) Set(i, new Segment<T>(default, long.MaxValue));
    }

    /// <summary>Groups to launch.</summary>
    public int Groups { get; private set; }

    /// <summary>Tensors in the table.</summary>
    public readonly int Count => _count;

    /// <summary>Adds a tensor of so many elements; one without elements takes no room.</summary>
    public void Add(T operands, int length)
    {
        if (length == 0) return;
        Set(_count++, new Segment<T>(operands, Groups));
        Groups = checked(Groups + ((length + SegmentTable.ChunkSize - 1) / SegmentTable.ChunkSize));
    }

    /// <summary>The tensor of a group, in a kernel.</summary>
    public readonly Segment<T> OfGroup(int group)
    {
        Segment<T> found = _segment0;
        if (group >= _segment1.FirstGroup) found = _segment1;
        if (group >= _segment2.FirstGroup) found = _segment2;
        if (group >= _segment3.FirstGroup) found = _segment3;
        if (group >= _segment4.FirstGroup) found = _segment4;
        if (group >= _segment5.FirstGroup) found = _segment5;
        if (group >= _segment6.FirstGroup) found = _segment6;
        if (group >= _segment7.FirstGroup) found = _segment7;
        if (group >= _segment8.FirstGroup) found = _segment8;
        if (group >= _segment9.FirstGroup) found = _segment9;
        if (group >= _segment10.FirstGroup) found = _segment10;
        if (group >= _segment11.FirstGroup) found = _segment11;
        if (group >= _segment12.FirstGroup) found = _segment12;
        if (group >= _segment13.FirstGroup) found = _segment13;
        if (group >= _segment14.FirstGroup) found = _segment14;
        if (group >= _segment15.FirstGroup) found = _segment15;
        return found;
    }

    private void Set(int index, in Segment<T> segment)
    {
        switch (index)
        {
            case 0: _segment0 = segment; break;
            case 1: _segment1 = segment; break;
            case 2: _segment2 = segment; break;
            case 3: _segment3 = segment; break;
            case 4: _segment4 = segment; break;
            case 5: _segment5 = segment; break;
            case 6: _segment6 = segment; break;
            case 7: _segment7 = segment; break;
            case 8: _segment8 = segment; break;
            case 9: _segment9 = segment; break;
            case 10: _segment10 = segment; break;
            case 11: _segment11 = segment; break;
            case 12: _segment12 = segment; break;
            case 13: _segment13 = segment; break;
            case 14: _segment14 = segment; break;
            default: _segment15 = segment; break;
        }
    }
}

/// <summary>Sizes that all tables share.</summary>
internal static class SegmentTable
{
    /// <summary>Tensors of one table.</summary>
    public const int Capacity = 16;

    /// <summary>Elements of one group of 256 threads.</summary>
    public const int ChunkSize = 4096;

    /// <summary>Tables of all segments in their order, filled one after the other.</summary>
    /// <param name="segments">What to divide among tables.</param>
    /// <param name="read">The operands of a segment, and its number of elements.</param>
    public static List<SegmentTable<T>> Of<TSegment, T>(ReadOnlySpan<TSegment> segments, Func<TSegment, (T Operands, int Length)> read)
        where T : struct
    {
        List<SegmentTable<T>> tables = [];
        SegmentTable<T> table = new();
        foreach (TSegment segment in segments)
        {
            (T operands, int length) = read(segment);
            table.Add(operands, length);
            if (table.Count < Capacity) continue;
            tables.Add(table);
            table = new();
        }

        if (table.Count > 0) tables.Add(table);
        return tables;
    }

    /// <summary>First element of this thread, in a kernel; it steps on by 256.</summary>
    public static int Start(long firstGroup) => ((Grid.IdxX - (int)firstGroup) * ChunkSize) + Group.IdxX;

    /// <summary>End of the elements of this group, in a kernel.</summary>
    public static int End(long firstGroup, long length) => (int)Math.Min(length, (Grid.IdxX - firstGroup + 1) * ChunkSize);
}
