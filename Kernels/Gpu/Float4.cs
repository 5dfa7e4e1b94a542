using System.Runtime.CompilerServices;
using ILGPU;

namespace MiniVlp.Kernels.Gpu;

/// <summary>Four floats that a GPU moves by one 128-bit instruction.</summary>
internal struct Float4(float x, float y, float z, float w)
{
    /// <summary>Floats in one.</summary>
    public const int Length = 4;

    public float X = x;
    public float Y = y;
    public float Z = z;
    public float W = w;

    /// <summary>Four times the same number.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Float4 Of(float value) => new(value, value, value, value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Float4 operator +(Float4 x, Float4 y) => new(x.X + y.X, x.Y + y.Y, x.Z + y.Z, x.W + y.W);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Float4 operator -(Float4 x, Float4 y) => new(x.X - y.X, x.Y - y.Y, x.Z - y.Z, x.W - y.W);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Float4 operator *(Float4 x, Float4 y) => new(x.X * y.X, x.Y * y.Y, x.Z * y.Z, x.W * y.W);

    /// <summary>Elements 4 · <paramref name="quad"/> to 4 · quad + 3 of a view that starts at a multiple of 16 bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Float4 Load(ArrayView<float> view, long quad) => view.Cast<Float4>()[quad];

    /// <summary>Writes or adds four elements of a gradient.</summary>
    /// <returns>What is there now.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Float4 Put(GpuTarget target, long quad, Float4 value)
    {
        ArrayView<Float4> quads = target.View.Cast<Float4>();
        if (target.Accumulate != 0) value.AddProduct(1f, quads[quad]);
        quads[quad] = value;
        return value;
    }

    /// <summary>Whether a buffer, or none, starts where four floats may be moved at once: the memory itself is aligned.</summary>
    public static bool IsAligned(DeviceBuffer buffer) => buffer.Offset % Length == 0;

    /// <summary>How many quads of <paramref name="length"/> elements an element-wise kernel moves at once: none where a buffer is not aligned for it.</summary>
    public static int CountIn(int length, params ReadOnlySpan<DeviceBuffer> buffers)
    {
        foreach (DeviceBuffer buffer in buffers)
            if (!IsAligned(buffer)) return 0;
        return length / Length;
    }

    /// <summary>Σ x.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly float Sum() => (X + Y) + (Z + W);

    /// <summary>Σ x · y.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly float Dot(Float4 y) => MathF.FusedMultiplyAdd(X, y.X, Y * y.Y) + MathF.FusedMultiplyAdd(Z, y.Z, W * y.W);

    /// <summary>The largest of the four.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly float Max() => MathF.Max(MathF.Max(X, Y), MathF.Max(Z, W));

    /// <summary>this += factor · values.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void AddProduct(float factor, Float4 values)
    {
        X += factor * values.X;
        Y += factor * values.Y;
        Z += factor * values.Z;
        W += factor * values.W;
    }

    /// <summary>this *= factor.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Scale(float factor)
    {
        X *= factor;
        Y *= factor;
        Z *= factor;
        W *= factor;
    }
}

/// <summary>How four neighbouring floats come from memory.</summary>
internal interface IFloat4Access
{
    /// <summary>The four floats at an offset, of which only the first <paramref name="count"/> exist; zeros for the others.</summary>
    static abstract Float4 Load(ArrayView<float> view, long offset, int count);
}

/// <summary>One 128-bit load: offsets are multiples of 4 from an aligned start, and of four floats all exist or none.</summary>
internal readonly struct AlignedAccess : IFloat4Access
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Float4 Load(ArrayView<float> view, long offset, int count) => count > 0 ? view.Cast<Float4>()[offset >> 2] : default;
}

/// <summary>Four loads, for rows that start anywhere.</summary>
internal readonly struct ScalarAccess : IFloat4Access
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Float4 Load(ArrayView<float> view, long offset, int count)
    {
        Float4 values = default;
        if (count > 0) values.X = view[offset];
        if (count > 1) values.Y = view[offset + 1];
        if (count > 2) values.Z = view[offset + 2];
        if (count > 3) values.W = view[offset + 3];
        return values;
    }
}
