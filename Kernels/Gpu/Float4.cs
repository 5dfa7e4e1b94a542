using System.Runtime.CompilerServices;
using ILGPU;

namespace MiniVlp.Kernels.Gpu;

/// <summary>Four floats that a GPU moves by one 128-bit instruction.</summary>
internal struct Float4
{
    public float X;
    public float Y;
    public float Z;
    public float W;

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
