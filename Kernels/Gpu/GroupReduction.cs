using System.Runtime.CompilerServices;
using ILGPU;

namespace MiniVlp.Kernels.Gpu;

/// <summary>An associative way to make one value of two.</summary>
internal interface IReduction<T>
    where T : unmanaged
{
    /// <summary>The two together; the first stands for elements of lower index.</summary>
    static abstract T Combine(T first, T second);
}

/// <summary>Two sums that are taken together.</summary>
/// <param name="First">The one.</param>
/// <param name="Second">The other.</param>
internal readonly record struct SumPair(float First, float Second);

/// <summary>SumReduction.</summary>
internal readonly struct SumReduction : IReduction<float>, IReduction<double>, IReduction<SumPair>, IReduction<Float4>
{
    public static float Combine(float first, float second) => first + second;

    public static double Combine(double first, double second) => first + second;

    public static SumPair Combine(SumPair first, SumPair second) => new(first.First + second.First, first.Second + second.Second);

    public static Float4 Combine(Float4 first, Float4 second) => first + second;
}

/// <summary>The larger of the two.</summary>
internal readonly struct MaxReduction : IReduction<float>
{
    public static float Combine(float first, float second) => MathF.Max(first, second);
}

/// <summary>
/// Reductions over the threads of a group, or over parts of it of equal size, through shared memory: a tree of four branches, so in an order
/// that depends on the size of the part alone. Every thread of the group must come here; every thread of a part gets the part's result.
/// </summary>
internal static class GroupReduction
{
    /// <summary>Combines the values of <paramref name="lanes"/> neighbouring threads.</summary>
    /// <param name="shared">One element for each thread of the group; free again afterwards.</param>
    /// <param name="value">What this thread has; what changes nothing (0, -∞) where it has nothing.</param>
    /// <param name="lanes">Threads of one part: 1, 4, 16, 64 or 256, a divisor of the group's size.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Reduce<T, TReduction>(ArrayView<T> shared, T value, int lanes)
        where T : unmanaged
        where TReduction : struct, IReduction<T>
    {
        int thread = Group.IdxX, lane = thread & (lanes - 1);
        shared[thread] = value;
        Group.Barrier();
        for (int part = lanes >> 2; part > 0; part >>= 2)
        {
            if (lane < part)
            {
                T low = TReduction.Combine(shared[thread], shared[thread + part]);
                shared[thread] = TReduction.Combine(low, TReduction.Combine(shared[thread + (2 * part)], shared[thread + (3 * part)]));
            }

            Group.Barrier();
        }

        T result = shared[thread - lane];
        GroupBarrier.AfterReads();
        return result;
    }

    /// <summary>
    /// Combines, in order, the values of threads that stand <paramref name="columns"/> apart, when a group of threads is a matrix with so many
    /// columns; threads of the first row get the result.
    /// </summary>
    /// <param name="shared">One element for each thread of the group; free again afterwards.</param>
    /// <param name="value">What this thread has.</param>
    /// <param name="columns">A divisor of the group's size.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T ReduceColumns<T, TReduction>(ArrayView<T> shared, T value, int columns)
        where T : unmanaged
        where TReduction : struct, IReduction<T>
    {
        shared[Group.IdxX] = value;
        Group.Barrier();
        T result = value;
        if (Group.IdxX < columns)
        {
            for (int i = Group.IdxX + columns; i < shared.Length; i += columns) result = TReduction.Combine(result, shared[i]);
        }

        Group.Barrier();
        return result;
    }

    /// <summary>Σ value over each part.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(ArrayView<float> shared, float value, int lanes) => Reduce<float, SumReduction>(shared, value, lanes);

    /// <summary>Σ value over each part, in double precision.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double Sum(ArrayView<double> shared, double value, int lanes) => Reduce<double, SumReduction>(shared, value, lanes);

    /// <summary>Two sums over each part.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static SumPair Sum(ArrayView<SumPair> shared, SumPair value, int lanes) => Reduce<SumPair, SumReduction>(shared, value, lanes);

    /// <summary>The largest value of each part.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Max(ArrayView<float> shared, float value, int lanes) => Reduce<float, MaxReduction>(shared, value, lanes);
}
