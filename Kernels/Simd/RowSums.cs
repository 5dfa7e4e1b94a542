using System.Runtime.CompilerServices;

namespace MiniVlp.Kernels.Simd;

/// <summary>Sums and maxima over neighbouring floats, four vectors at a time, in an order that is fixed for the tier.</summary>
internal static unsafe class RowSums
{
    /// <summary>Σ x.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum<V>(float* x, int count)
        where V : unmanaged, ISimd<V>
    {
        V a = V.Zero, b = V.Zero, c = V.Zero, d = V.Zero;
        int i = 0;
        for (; i <= count - (4 * V.Width); i += 4 * V.Width)
        {
            a += V.Load(x + i);
            b += V.Load(x + i + V.Width);
            c += V.Load(x + i + (2 * V.Width));
            d += V.Load(x + i + (3 * V.Width));
        }

        for (; i <= count - V.Width; i += V.Width) a += V.Load(x + i);
        float sum = V.Sum((a + b) + (c + d));
        for (; i < count; i++) sum += x[i];
        return sum;
    }

    /// <summary>Σ (x - center).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float SumOfDifferences<V>(float* x, float center, int count)
        where V : unmanaged, ISimd<V>
    {
        V a = V.Zero, b = V.Zero, centers = V.Create(center);
        int i = 0;
        for (; i <= count - (2 * V.Width); i += 2 * V.Width)
        {
            a += V.Load(x + i) - centers;
            b += V.Load(x + i + V.Width) - centers;
        }

        for (; i <= count - V.Width; i += V.Width) a += V.Load(x + i) - centers;
        float sum = V.Sum(a + b);
        for (; i < count; i++) sum += x[i] - center;
        return sum;
    }

    /// <summary>Σ (x - center)².</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float SumOfSquares<V>(float* x, float center, int count)
        where V : unmanaged, ISimd<V>
    {
        V a = V.Zero, b = V.Zero, centers = V.Create(center);
        int i = 0;
        for (; i <= count - (2 * V.Width); i += 2 * V.Width)
        {
            V first = V.Load(x + i) - centers, second = V.Load(x + i + V.Width) - centers;
            a.AddProduct(first, first);
            b.AddProduct(second, second);
        }

        for (; i <= count - V.Width; i += V.Width)
        {
            V first = V.Load(x + i) - centers;
            a.AddProduct(first, first);
        }

        float sum = V.Sum(a + b);
        for (; i < count; i++) sum += (x[i] - center) * (x[i] - center);
        return sum;
    }

    /// <summary>Σ x · y.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Dot<V>(float* x, float* y, int count)
        where V : unmanaged, ISimd<V>
    {
        V a = V.Zero, b = V.Zero;
        int i = 0;
        for (; i <= count - (2 * V.Width); i += 2 * V.Width)
        {
            a.AddProduct(V.Load(x + i), V.Load(y + i));
            b.AddProduct(V.Load(x + i + V.Width), V.Load(y + i + V.Width));
        }

        for (; i <= count - V.Width; i += V.Width) a.AddProduct(V.Load(x + i), V.Load(y + i));
        float sum = V.Sum(a + b);
        for (; i < count; i++) sum += x[i] * y[i];
        return sum;
    }

    /// <summary>The largest element; -∞ for none.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Max<V>(float* x, int count)
        where V : unmanaged, ISimd<V>
    {
        V a = V.Create(float.NegativeInfinity), b = a;
        int i = 0;
        for (; i <= count - (2 * V.Width); i += 2 * V.Width)
        {
            a = V.Max(a, V.Load(x + i));
            b = V.Max(b, V.Load(x + i + V.Width));
        }

        for (; i <= count - V.Width; i += V.Width) a = V.Max(a, V.Load(x + i));
        float max = V.MaxElement(V.Max(a, b));
        for (; i < count; i++) max = x[i] > max ? x[i] : max;
        return max;
    }

    /// <summary>Σ e^(x - shift), where no x is above the shift; the next row is asked for meanwhile.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float SumOfExponentials<V>(float* x, float shift, int count)
        where V : unmanaged, ISimd<V>
    {
        V a = V.Zero, shifts = V.Create(shift);
        int i = 0;
        for (; i <= count - V.Width; i += V.Width)
        {
            Prefetch.Far(x + count + i);
            a += SimdMath.ExpNonPositive(V.Load(x + i) - shifts);
        }

        float sum = V.Sum(a);
        for (; i < count; i++) sum += SimdMath.ExpNonPositive(new SimdScalar(x[i] - shift)).Value;
        return sum;
    }
}
