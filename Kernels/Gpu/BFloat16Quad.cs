using System.Runtime.CompilerServices;
using ILGPU;
using ILGPU.Algorithms;

namespace MiniVlp.Kernels.Gpu;

/// <summary>Four elements as bfloat16, in kernels for every device: the first of each two in the lower half of a word.</summary>
/// <param name="Low">The first two.</param>
/// <param name="High">The last two.</param>
internal readonly record struct BFloat16Quad(uint Low, uint High)
{
    /// <summary>Rounds elements 4 · <paramref name="quad"/> to 4 · quad + 3 to nearest even and writes them; NaN stays NaN.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(ArrayView<float> copy, long quad, Float4 values)
        => copy.Cast<BFloat16Quad>()[quad] = new BFloat16Quad(Round(values.X) | (Round(values.Y) << 16), Round(values.Z) | (Round(values.W) << 16));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Round(float x)
    {
        uint bits = Interop.FloatAsInt(x);
        return XMath.IsNaN(x) ? 0x7FFF : (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
    }
}
