using System.Runtime.CompilerServices;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

/// <summary>
/// Copies operands into panels: a panel holds <c>width</c> rows of the left (or columns of the right) operand, interleaved so that the
/// microkernel reads memory strictly forward. The last panel is filled up with zeros.
/// </summary>
internal static unsafe class MatMulPacking
{
    /// <summary>
    /// panel[p][k · width + i] = scale · source(start + p · width + i, firstDepth + k), where source(i, k) is source[i · stride + k] when
    /// <paramref name="depthIsContiguous"/>, else source[k · stride + i].
    /// </summary>
    public static void Pack<V>(
        float* source, long stride, bool depthIsContiguous, int start, int count, int firstDepth, int depth, int width, float scale, float* panels)
        where V : unmanaged, ISimd<V>
    {
        for (int first = 0; first < count; first += width)
        {
            int filled = Math.Min(width, count - first);
            if (depthIsContiguous) Interleave(source + ((start + first) * stride) + firstDepth, stride, filled, depth, width, scale, panels);
            else CopyRows<V>(source + (firstDepth * stride) + start + first, stride, filled, depth, width, scale, panels);
            panels += (long)width * depth;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Interleave(float* source, long stride, int filled, int depth, int width, float scale, float* panel)
    {
        for (int i = 0; i < width; i++)
        {
            float* row = source + (i * stride);
            for (int k = 0; k < depth; k++) panel[(k * width) + i] = i < filled ? row[k] * scale : 0f;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void CopyRows<V>(float* source, long stride, int filled, int depth, int width, float scale, float* panel)
        where V : unmanaged, ISimd<V>
    {
        for (int k = 0; k < depth; k++)
        {
            for (int i = 0; i < width; i++) panel[i] = i < filled ? source[i] * scale : 0f;
            source += stride;
            panel += width;
        }
    }
}
