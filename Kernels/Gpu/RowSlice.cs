using System.Runtime.CompilerServices;
using ILGPU;

namespace MiniVlp.Kernels.Gpu;

/// <summary>
/// What the threads of one row hold of it together: sixteen elements each, so up to 4096 at once. A wider row has several parts, of which
/// kernels keep the first one in registers and read the others again.
/// </summary>
/// <param name="Lane">This thread among those of the row.</param>
/// <param name="Count">Threads of the row.</param>
/// <param name="First">First element of the part.</param>
/// <param name="Left">Elements from there to the end of the row; none where there is no such row.</param>
internal readonly record struct RowPart(int Lane, int Count, int First, int Left)
{
    /// <summary>Whether the row has not ended.</summary>
    public bool Exists => Left > 0;

    /// <summary>The part behind this one.</summary>
    public RowPart Next
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => new(Lane, Count, First + (RowSlice.Length * Count), Left - (RowSlice.Length * Count));
    }

    /// <summary>The first part of this thread's row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowPart Of(RowLanes lanes, int width) => new(lanes.Lane, lanes.Count, 0, lanes.Row < lanes.Rows ? width : 0);
}

/// <summary>Which elements of a part a thread holds, and how they come from memory: four times four of them.</summary>
internal interface IRowLayout
{
    /// <summary>Whether rows are moved by 128-bit accesses.</summary>
    static abstract bool IsAligned { get; }

    /// <summary>Four elements of a row that starts at an element of the view.</summary>
    static abstract Float4 Load(ArrayView<float> view, long start, RowPart part, int quad, float missing);

    /// <summary>Writes the elements that exist.</summary>
    static abstract void Store(ArrayView<float> view, long start, RowPart part, int quad, Float4 values);

    /// <summary>Writes the elements that exist as bfloat16; where rows are <see cref="AlignedRows"/>.</summary>
    static abstract void StoreCopy(ArrayView<float> copy, long start, RowPart part, int quad, Float4 values);

    /// <summary>The same where elements exist, zeros elsewhere.</summary>
    static abstract Float4 Keep(Float4 values, RowPart part, int quad);
}

/// <summary>Neighbours, by 128-bit accesses: rows are multiples of four and start aligned.</summary>
internal readonly struct AlignedRows : IRowLayout
{
    public static bool IsAligned => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Float4 Load(ArrayView<float> view, long start, RowPart part, int quad, float missing)
        => Exists(part, quad) ? view.Cast<Float4>()[Place(start, part, quad)] : Float4.Of(missing);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(ArrayView<float> view, long start, RowPart part, int quad, Float4 values)
    {
        if (Exists(part, quad)) view.Cast<Float4>()[Place(start, part, quad)] = values;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreCopy(ArrayView<float> copy, long start, RowPart part, int quad, Float4 values)
    {
        if (Exists(part, quad)) BFloat16Quad.Store(copy, Place(start, part, quad), values);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Float4 Keep(Float4 values, RowPart part, int quad) => Exists(part, quad) ? values : default;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool Exists(RowPart part, int quad) => (part.Lane + (quad * part.Count)) * Float4.Length < part.Left;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static long Place(long start, RowPart part, int quad) => ((start + part.First) / Float4.Length) + part.Lane + (quad * part.Count);
}

/// <summary>Elements as many apart as the row has threads, one by one: so that neighbouring threads read neighbours wherever a row starts.</summary>
internal readonly struct RaggedRows : IRowLayout
{
    public static bool IsAligned => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Float4 Load(ArrayView<float> view, long start, RowPart part, int quad, float missing)
    {
        int i = Index(part, quad);
        long place = start + part.First + i;
        Float4 values = Float4.Of(missing);
        if (i < part.Left) values.X = view[place];
        if (i + part.Count < part.Left) values.Y = view[place + part.Count];
        if (i + (2 * part.Count) < part.Left) values.Z = view[place + (2 * part.Count)];
        if (i + (3 * part.Count) < part.Left) values.W = view[place + (3 * part.Count)];
        return values;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(ArrayView<float> view, long start, RowPart part, int quad, Float4 values)
    {
        int i = Index(part, quad);
        long place = start + part.First + i;
        if (i < part.Left) view[place] = values.X;
        if (i + part.Count < part.Left) view[place + part.Count] = values.Y;
        if (i + (2 * part.Count) < part.Left) view[place + (2 * part.Count)] = values.Z;
        if (i + (3 * part.Count) < part.Left) view[place + (3 * part.Count)] = values.W;
    }

    /// <summary>Nothing: no copy is asked for here.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreCopy(ArrayView<float> copy, long start, RowPart part, int quad, Float4 values)
    {
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Float4 Keep(Float4 values, RowPart part, int quad)
    {
        int i = Index(part, quad);
        return new Float4(
            i < part.Left ? values.X : 0f,
            i + part.Count < part.Left ? values.Y : 0f,
            i + (2 * part.Count) < part.Left ? values.Z : 0f,
            i + (3 * part.Count) < part.Left ? values.W : 0f);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int Index(RowPart part, int quad) => part.Lane + (quad * Float4.Length * part.Count);
}

/// <summary>One thread's share of a <see cref="RowPart"/>, in registers.</summary>
internal struct RowSlice(Float4 a, Float4 b, Float4 c, Float4 d)
{
    /// <summary>Elements of one thread.</summary>
    public const int Length = 16;

    public Float4 A = a;
    public Float4 B = b;
    public Float4 C = c;
    public Float4 D = d;

    /// <summary>As few threads for each row as hold it at once, at least 4 and at most 256.</summary>
    public static RowLanes Lanes(int rows, int width) => RowLanes.For(rows, (int)(((long)width + Float4.Length - 1) / Float4.Length));

    /// <summary>Whether rows of these buffers, or vectors of their width, can be read as <see cref="AlignedRows"/>.</summary>
    public static bool IsAligned(int width, params ReadOnlySpan<DeviceBuffer> buffers) => Float4.CountIn(width, buffers) * Float4.Length == width;

    /// <summary>Reads one part of a row that starts at an element of the view; a number stands where the row has ended.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowSlice Load<TLayout>(ArrayView<float> view, long start, RowPart part, float missing = 0f)
        where TLayout : struct, IRowLayout
        => new(
            TLayout.Load(view, start, part, 0, missing),
            TLayout.Load(view, start, part, 1, missing),
            TLayout.Load(view, start, part, 2, missing),
            TLayout.Load(view, start, part, 3, missing));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowSlice operator +(RowSlice x, RowSlice y) => new(x.A + y.A, x.B + y.B, x.C + y.C, x.D + y.D);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowSlice operator *(RowSlice x, RowSlice y) => new(x.A * y.A, x.B * y.B, x.C * y.C, x.D * y.D);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowSlice operator -(RowSlice x, RowSlice y) => new(x.A - y.A, x.B - y.B, x.C - y.C, x.D - y.D);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowSlice operator *(RowSlice x, float factor) => x * Of(factor);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowSlice operator -(RowSlice x, float value) => x - Of(value);

    /// <summary>e^x of each element.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowSlice Exp(RowSlice x) => new(Exp(x.A), Exp(x.B), Exp(x.C), Exp(x.D));

    /// <summary>The same where the row has elements, zeros elsewhere.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly RowSlice Keep<TLayout>(RowPart part)
        where TLayout : struct, IRowLayout
        => new(TLayout.Keep(A, part, 0), TLayout.Keep(B, part, 1), TLayout.Keep(C, part, 2), TLayout.Keep(D, part, 3));

    /// <summary>Writes the part.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly void Store<TLayout>(ArrayView<float> view, long start, RowPart part)
        where TLayout : struct, IRowLayout
    {
        TLayout.Store(view, start, part, 0, A);
        TLayout.Store(view, start, part, 1, B);
        TLayout.Store(view, start, part, 2, C);
        TLayout.Store(view, start, part, 3, D);
    }

    /// <summary>Writes the part as bfloat16 where there is room for it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly void StoreCopy<TLayout>(ArrayView<float> copy, long start, RowPart part)
        where TLayout : struct, IRowLayout
    {
        if (copy.Length == 0) return;
        TLayout.StoreCopy(copy, start, part, 0, A);
        TLayout.StoreCopy(copy, start, part, 1, B);
        TLayout.StoreCopy(copy, start, part, 2, C);
        TLayout.StoreCopy(copy, start, part, 3, D);
    }

    /// <summary>Writes or adds the part of a gradient; all loads come before the first store, which no load could pass.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly void Put<TLayout>(GpuTarget target, long start, RowPart part)
        where TLayout : struct, IRowLayout
    {
        RowSlice values = this;
        if (target.Accumulate != 0) values = Load<TLayout>(target.View, start, part) + values;
        values.Store<TLayout>(target.View, start, part);
    }

    /// <summary>Σ x.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly float Sum() => (A.Sum() + B.Sum()) + (C.Sum() + D.Sum());

    /// <summary>Σ x · y.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly float Dot(RowSlice y) => (A.Dot(y.A) + B.Dot(y.B)) + (C.Dot(y.C) + D.Dot(y.D));

    /// <summary>The largest element.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly float Max() => MathF.Max(MathF.Max(A.Max(), B.Max()), MathF.Max(C.Max(), D.Max()));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static RowSlice Of(float value) => new(Float4.Of(value), Float4.Of(value), Float4.Of(value), Float4.Of(value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Float4 Exp(Float4 x) => new(GpuMath.Exp(x.X), GpuMath.Exp(x.Y), GpuMath.Exp(x.Z), GpuMath.Exp(x.W));
}
