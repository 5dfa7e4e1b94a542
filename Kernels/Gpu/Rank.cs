using System.Runtime.CompilerServices;

namespace MiniVlp.Kernels.Gpu;

/// <summary>An order of 32-bit elements, as a type: a number that is larger where the element counts as larger.</summary>
internal interface IRank
{
    static abstract uint Of(int bits, int parameter);
}

/// <summary>Floats by value; 0 and -0 are equal, NaN counts as the largest.</summary>
internal readonly struct FloatRank : IRank
{
    private const int InfinityBits = 0x7F800000;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Of(int bits, int parameter)
    {
        if ((bits & int.MaxValue) > InfinityBits) return uint.MaxValue;
        return bits == int.MinValue ? 0x80000000u : (uint)(bits ^ ((bits >> 31) | int.MinValue));
    }
}

/// <summary>Integers by value.</summary>
internal readonly struct IntegerRank : IRank
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Of(int bits, int parameter) => (uint)(bits ^ int.MinValue);
}

/// <summary>1 for integers that equal the parameter, 0 for all others.</summary>
internal readonly struct EqualityRank : IRank
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Of(int bits, int parameter) => bits == parameter ? 1u : 0u;
}
