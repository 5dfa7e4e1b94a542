using System.Runtime.CompilerServices;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

/// <summary>How the elements of a right panel lie in memory; the microkernel turns them into float32 as it loads them.</summary>
internal unsafe interface IPanelElement
{
    /// <summary>Bytes of one element.</summary>
    static abstract int Bytes { get; }

    /// <summary>Reads a vector of elements.</summary>
    static abstract V Load<V>(byte* source)
        where V : unmanaged, ISimd<V>;
}

/// <summary>float32 as it is.</summary>
internal readonly unsafe struct Float32Element : IPanelElement
{
    public static int Bytes => 4;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Load<V>(byte* source)
        where V : unmanaged, ISimd<V>
        => V.Load((float*)source);
}

/// <summary>bfloat16: the upper half of a float32.</summary>
internal readonly unsafe struct BFloat16Element : IPanelElement
{
    public static int Bytes => 2;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Load<V>(byte* source)
        where V : unmanaged, ISimd<V>
        => V.LoadBFloat16((ushort*)source);
}

/// <summary>Signed bytes, as numbers; the scale of the column is applied to the sum.</summary>
internal readonly unsafe struct Int8Element : IPanelElement
{
    public static int Bytes => 1;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Load<V>(byte* source)
        where V : unmanaged, ISimd<V>
        => V.LoadSByte((sbyte*)source);
}

/// <summary>
/// Elements that come from memory and are read once: each load asks for what lies 4 KiB ahead, since the processor's own prefetching stops
/// at every page. For panels that are read again and again from a cache, asking costs more than it brings.
/// </summary>
internal readonly unsafe struct StreamedElement<TElement> : IPanelElement
    where TElement : struct, IPanelElement
{
    private const int Distance = 4096;

    public static int Bytes => TElement.Bytes;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Load<V>(byte* source)
        where V : unmanaged, ISimd<V>
    {
        Prefetch.Near((float*)(source + Distance));
        return TElement.Load<V>(source);
    }
}
