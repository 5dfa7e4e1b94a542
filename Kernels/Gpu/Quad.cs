using System.Runtime.CompilerServices;
using ILGPU;

namespace MiniVlp.Kernels.Gpu;

/// <summary>Four neighbouring floats, read and written by one access of 128 bits: what keeps enough bytes on the way to fill the memory bus.</summary>
internal readonly record struct Quad(float X, float Y, float Z, float W)
{
    /// <summary>Floats in a quad.</summary>
    public const int Length = 4;

    /// <summary>Four times the same number.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Quad Of(float value) => new(value, value, value, value);

    /// <summary>Elements 4 · <paramref name="quad"/> to 4 · quad + 3 of a view that starts at a multiple of 16 bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Quad Load(ArrayView<float> view, long quad) => view.Cast<Quad>()[quad];

    /// <summary>Writes or adds four elements of a gradient.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Put(GpuTarget target, long quad, Quad value)
    {
        ArrayView<Quad> quads = target.View.Cast<Quad>();
        if (target.Accumulate != 0)
        {
            Quad sum = quads[quad];
            value = new Quad(sum.X + value.X, sum.Y + value.Y, sum.Z + value.Z, sum.W + value.W);
        }

        quads[quad] = value;
    }

    /// <summary>Whether a buffer, or none, starts where quads may start: the memory itself is aligned.</summary>
    public static bool IsAligned(DeviceBuffer buffer) => buffer.Offset % Length == 0;
}
