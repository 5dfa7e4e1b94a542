using System.Runtime.CompilerServices;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

/// <summary>
/// One operand of a product seen along the summed axis: element (i, k) is source[i · Stride + k] when <paramref name="DepthIsContiguous"/>,
/// else source[k · Stride + i], where i is a row of the left or a column of the right operand.
/// </summary>
internal readonly unsafe record struct MatMulOperand(Pointer Source, long Stride, bool DepthIsContiguous)
{
    private const int PanelsAtOnce = 8, StepsAtOnce = 16;

    /// <summary>The operand without its first <paramref name="count"/> rows (or columns) and the first <paramref name="depth"/> steps of the sum.</summary>
    public MatMulOperand From(int count, int depth)
        => this with { Source = (float*)Source + (DepthIsContiguous ? (count * Stride) + depth : (depth * Stride) + count) };

    /// <summary>
    /// Copies <paramref name="count"/> rows (or columns) and <paramref name="depth"/> steps into panels of <paramref name="width"/> of them,
    /// interleaved so that the microkernel reads memory strictly forward: panels[p][k · width + i] = scale · element(p · width + i, k).
    /// The last panel is filled up with zeros.
    /// </summary>
    public void Pack<V>(int count, int depth, int width, float scale, float* panels)
        where V : unmanaged, ISimd<V>
    {
        if (DepthIsContiguous)
        {
            for (int first = 0; first < count; first += width)
                Interleave<V>((float*)Source + (first * Stride), Stride, Math.Min(width, count - first), depth, width, panels + ((long)first * depth));
        }
        else
        {
            // All panels but the last may read a little beyond themselves, since the next one lies there.
            int whole = (count - 1) / width;
            for (int panel = 0; panel < whole; panel += PanelsAtOnce)
                CopyRows<V>((float*)Source + (panel * width), Stride, Math.Min(PanelsAtOnce, whole - panel), depth, width, panels + ((long)panel * width * depth));
            int last = whole * width;
            CopyLastRows<V>((float*)Source + last, Stride, count - last, depth, width, panels + ((long)last * depth));
        }

        if (scale != 1f) Scale<V>(panels, (count + width - 1) / width * width * depth, scale);
    }

    /// <summary>Transposes blocks of V.Width x V.Width.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Interleave<V>(float* source, long stride, int filled, int depth, int width, float* panel)
        where V : unmanaged, ISimd<V>
    {
        float* block = stackalloc float[V.Width * V.Width];

        // A block that reaches beyond the panel spills into the next step, so it comes before the block that belongs there.
        for (int first = depth < V.Width ? -1 : (width - 1) / V.Width * V.Width; first >= 0; first -= V.Width)
        {
            int kept = Math.Min(V.Width, width - first);
            for (int step = 0; step < depth; step += V.Width)
            {
                // The last block begins early enough to be a whole one: some steps are then written twice.
                int k = Math.Min(step, depth - V.Width);
                float* place = panel + ((long)k * width) + first;
                if (kept == V.Width || k + V.Width < depth)
                {
                    V.Transpose(source + (first * stride) + k, stride, filled - first, place, width);
                }
                else
                {
                    V.Transpose(source + (first * stride) + k, stride, filled - first, block, V.Width);
                    for (int j = 0; j < V.Width; j++) V.StorePartial(V.Load(block + (j * V.Width)), place + ((long)j * width), kept);
                }
            }
        }

        for (int k = 0; k < (depth < V.Width ? depth : 0); k++)
        {
            for (int i = 0; i < width; i++) panel[((long)k * width) + i] = i < filled ? source[(i * stride) + k] : 0f;
        }
    }

    /// <summary>Several panels side by side, so that memory is read in long runs.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void CopyRows<V>(float* source, long stride, int panelCount, int depth, int width, float* panels)
        where V : unmanaged, ISimd<V>
    {
        // A few steps at a time, one panel after the other: panels are often a multiple of 4 KiB apart, and writing to all of them in turn
        // would push their lines out of the cache.
        long panelLength = (long)width * depth;
        for (int start = 0; start < depth; start += StepsAtOnce, source += StepsAtOnce * stride, panels += StepsAtOnce * width)
        {
            int steps = Math.Min(StepsAtOnce, depth - start);
            float* first = source, target = panels;
            for (int panel = 0; panel < panelCount; panel++, first += width, target += panelLength)
            {
                float* from = first, to = target;
                for (int k = 0; k < steps; k++, from += stride, to += width)
                {
                    for (int i = 0; i < width; i += V.Width)
                    {
                        // What is stored beyond the panel's width is overwritten by its next step.
                        int kept = width - i;
                        if (kept >= V.Width || start + k < depth - 1) V.Store(V.Load(from + i), to + i);
                        else V.StorePartial(V.LoadPartial(from + i, kept), to + i, kept);
                    }
                }
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void CopyLastRows<V>(float* source, long stride, int filled, int depth, int width, float* panel)
        where V : unmanaged, ISimd<V>
    {
        for (int first = 0; first < width; first += V.Width)
        {
            int kept = Math.Min(V.Width, width - first), present = Math.Min(kept, filled - first);
            float* from = source + first, to = panel + first;
            if (present == V.Width)
            {
                for (int k = 0; k < depth; k++, from += stride, to += width) V.Store(V.Load(from), to);
            }
            else
            {
                for (int k = 0; k < depth; k++, from += stride, to += width)
                {
                    V values = present > 0 ? V.LoadPartial(from, present) : V.Zero;
                    if (kept == V.Width) V.Store(values, to);
                    else V.StorePartial(values, to, kept);
                }
            }
        }
    }

    private static void Scale<V>(float* values, int count, float scale)
        where V : unmanaged, ISimd<V>
    {
        V factor = V.Create(scale);
        int i = 0;
        for (; i <= count - V.Width; i += V.Width) V.Store(V.Load(values + i) * factor, values + i);
        for (; i < count; i++) values[i] *= scale;
    }
}
