using System.Numerics;

namespace MiniVlp.PtxSim.Instructions;

internal readonly struct Move<T> : IUnaryOperation<T, T>
{
    public static T Apply(T x) => x;
}

internal readonly struct Add<T> : IBinaryOperation<T, T, T>
    where T : IAdditionOperators<T, T, T>
{
    public static T Apply(T x, T y) => x + y;
}

internal readonly struct Subtract<T> : IBinaryOperation<T, T, T>
    where T : ISubtractionOperators<T, T, T>
{
    public static T Apply(T x, T y) => x - y;
}

internal readonly struct Multiply<T> : IBinaryOperation<T, T, T>
    where T : IMultiplyOperators<T, T, T>
{
    public static T Apply(T x, T y) => x * y;
}

/// <summary>IEEE division; of integers by 0 all bits, as the hardware gives.</summary>
internal readonly struct Divide<T> : IBinaryOperation<T, T, T>
    where T : INumber<T>
{
    public static T Apply(T x, T y)
    {
        if (typeof(T) == typeof(float) || typeof(T) == typeof(double)) return x / y;
        return T.IsZero(y) ? T.Zero - T.One : T.Zero - T.One < T.Zero && y == T.Zero - T.One ? T.Zero - x : x / y;
    }
}

internal readonly struct Remainder<T> : IBinaryOperation<T, T, T>
    where T : INumber<T>
{
    public static T Apply(T x, T y) => T.IsZero(y) ? x : T.Zero - T.One < T.Zero && y == T.Zero - T.One ? T.Zero : x % y;
}

/// <summary>The smaller one; of a number and a NaN the number.</summary>
internal readonly struct Minimum<T> : IBinaryOperation<T, T, T>
    where T : INumber<T>
{
    public static T Apply(T x, T y) => T.IsNaN(x) ? y : T.IsNaN(y) ? x : T.Min(x, y);
}

internal readonly struct Maximum<T> : IBinaryOperation<T, T, T>
    where T : INumber<T>
{
    public static T Apply(T x, T y) => T.IsNaN(x) ? y : T.IsNaN(y) ? x : T.Max(x, y);
}

internal readonly struct MultiplyWideSigned : IBinaryOperation<int, int, long>
{
    public static long Apply(int x, int y) => (long)x * y;
}

internal readonly struct MultiplyWideUnsigned : IBinaryOperation<uint, uint, ulong>
{
    public static ulong Apply(uint x, uint y) => (ulong)x * y;
}

internal readonly struct MultiplyAdd<T> : ITernaryOperation<T, T, T, T>
    where T : IMultiplyOperators<T, T, T>, IAdditionOperators<T, T, T>
{
    public static T Apply(T x, T y, T z) => (x * y) + z;
}

internal readonly struct FusedMultiplyAdd<T> : ITernaryOperation<T, T, T, T>
    where T : IFloatingPointIeee754<T>
{
    public static T Apply(T x, T y, T z) => T.FusedMultiplyAdd(x, y, z);
}

internal readonly struct And<T> : IBinaryOperation<T, T, T>
    where T : IBitwiseOperators<T, T, T>
{
    public static T Apply(T x, T y) => x & y;
}

internal readonly struct Or<T> : IBinaryOperation<T, T, T>
    where T : IBitwiseOperators<T, T, T>
{
    public static T Apply(T x, T y) => x | y;
}

internal readonly struct Xor<T> : IBinaryOperation<T, T, T>
    where T : IBitwiseOperators<T, T, T>
{
    public static T Apply(T x, T y) => x ^ y;
}

internal readonly struct ShiftLeft32 : IBinaryOperation<uint, uint, uint>
{
    public static uint Apply(uint x, uint y) => y > 31 ? 0 : x << (int)y;
}

internal readonly struct ShiftLeft64 : IBinaryOperation<ulong, uint, ulong>
{
    public static ulong Apply(ulong x, uint y) => y > 63 ? 0 : x << (int)y;
}

internal readonly struct ShiftRight32 : IBinaryOperation<uint, uint, uint>
{
    public static uint Apply(uint x, uint y) => y > 31 ? 0 : x >> (int)y;
}

internal readonly struct ShiftRight64 : IBinaryOperation<ulong, uint, ulong>
{
    public static ulong Apply(ulong x, uint y) => y > 63 ? 0 : x >> (int)y;
}

internal readonly struct ShiftRightSigned32 : IBinaryOperation<int, uint, int>
{
    public static int Apply(int x, uint y) => x >> (int)Math.Min(y, 31);
}

internal readonly struct ShiftRightSigned64 : IBinaryOperation<long, uint, long>
{
    public static long Apply(long x, uint y) => x >> (int)Math.Min(y, 63);
}

internal readonly struct Equal<T> : IComparison<T>
    where T : IEqualityOperators<T, T, bool>
{
    public static bool Apply(T x, T y) => x == y;
}

internal readonly struct NotEqual<T> : IComparison<T>
    where T : INumber<T>
{
    public static bool Apply(T x, T y) => x != y && !T.IsNaN(x) && !T.IsNaN(y);
}

internal readonly struct Less<T> : IComparison<T>
    where T : IComparisonOperators<T, T, bool>
{
    public static bool Apply(T x, T y) => x < y;
}

internal readonly struct LessOrEqual<T> : IComparison<T>
    where T : IComparisonOperators<T, T, bool>
{
    public static bool Apply(T x, T y) => x <= y;
}

internal readonly struct Greater<T> : IComparison<T>
    where T : IComparisonOperators<T, T, bool>
{
    public static bool Apply(T x, T y) => x > y;
}

internal readonly struct GreaterOrEqual<T> : IComparison<T>
    where T : IComparisonOperators<T, T, bool>
{
    public static bool Apply(T x, T y) => x >= y;
}

/// <summary>Neither is NaN.</summary>
internal readonly struct Ordered<T> : IComparison<T>
    where T : INumber<T>
{
    public static bool Apply(T x, T y) => !T.IsNaN(x) && !T.IsNaN(y);
}

/// <summary>The opposite of a comparison: ltu is "not ge".</summary>
internal readonly struct Not<T, TComparison> : IComparison<T>
    where TComparison : struct, IComparison<T>
{
    public static bool Apply(T x, T y) => !TComparison.Apply(x, y);
}
