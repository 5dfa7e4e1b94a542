using System.Numerics;

namespace MiniVlp.Kernels.Simd;

/// <summary>
/// A vector of floats as wide as one tier of the CPU. Kernels are written once over this interface; the JIT compiles them for
/// 16, 8, 4 and 1 floats. A comparison gives a mask that only <see cref="Select"/> reads.
/// </summary>
/// <typeparam name="TSelf">The implementing vector.</typeparam>
public unsafe interface ISimd<TSelf> :
    IAdditionOperators<TSelf, TSelf, TSelf>,
    ISubtractionOperators<TSelf, TSelf, TSelf>,
    IMultiplyOperators<TSelf, TSelf, TSelf>,
    IDivisionOperators<TSelf, TSelf, TSelf>,
    IUnaryNegationOperators<TSelf, TSelf>
    where TSelf : unmanaged, ISimd<TSelf>
{
    /// <summary>Number of floats in the vector.</summary>
    static abstract int Width { get; }

    /// <summary>All elements zero.</summary>
    static abstract TSelf Zero { get; }

    /// <summary>All elements equal to <paramref name="value"/>.</summary>
    static abstract TSelf Create(float value);

    /// <summary>All elements equal to the float at <paramref name="source"/>: one load, where <see cref="Create"/> may take a load and a shuffle.</summary>
    static abstract TSelf Broadcast(float* source);

    /// <summary>Reads <see cref="Width"/> floats.</summary>
    static abstract TSelf Load(float* source);

    /// <summary>Reads <see cref="Width"/> bfloat16 numbers: each is the upper half of a float.</summary>
    static abstract TSelf LoadBFloat16(ushort* source);

    /// <summary>Reads <see cref="Width"/> signed bytes as numbers.</summary>
    static abstract TSelf LoadSByte(sbyte* source);

    /// <summary>Writes <see cref="Width"/> floats.</summary>
    static abstract void Store(TSelf value, float* destination);

    /// <summary>
    /// Writes <see cref="Width"/> floats past the caches, to an address that is a multiple of the vector's size. Others see them after
    /// <see cref="NonTemporal.Fence"/>. Worth it only for whole cache lines that nobody reads soon.
    /// </summary>
    static abstract void StoreNonTemporal(TSelf value, float* destination);

    /// <summary>Reads the first <paramref name="count"/> floats (fewer than <see cref="Width"/>); the rest is zero.</summary>
    static abstract TSelf LoadPartial(float* source, int count);

    /// <summary>Writes the first <paramref name="count"/> floats and touches nothing behind them.</summary>
    static abstract void StorePartial(TSelf value, float* destination, int count);

    /// <summary>a · b + c, rounded once where the machine can.</summary>
    static abstract TSelf FusedMultiplyAdd(TSelf a, TSelf b, TSelf c);

    /// <summary>
    /// this = a · b + this, rounded once where the machine can. For sums in a loop: unlike with an assignment of <see cref="FusedMultiplyAdd"/>, the
    /// compiler then adds to the register of the sum, without moving it.
    /// </summary>
    void AddProduct(TSelf a, TSelf b);

    /// <summary>The smaller of each pair; <paramref name="b"/> where it is not a number.</summary>
    static abstract TSelf Min(TSelf a, TSelf b);

    /// <summary>The larger of each pair; <paramref name="b"/> where it is not a number.</summary>
    static abstract TSelf Max(TSelf a, TSelf b);

    /// <summary>Absolute values.</summary>
    static abstract TSelf Abs(TSelf a);

    /// <summary>Square roots.</summary>
    static abstract TSelf Sqrt(TSelf a);

    /// <summary>Rounded to the nearest integer, halves to even, for magnitudes up to 2²².</summary>
    static abstract TSelf Round(TSelf a);

    /// <summary>a · 2ⁿ for integral n with |n| ≤ 252 (n is held as floats).</summary>
    static abstract TSelf ScaleByPowerOf2(TSelf a, TSelf n);

    /// <summary>The eight lowest bits of each element become the exponent of a float: 2ⁿ for bits that hold n + 127, and 0 for bits of 0.</summary>
    static abstract TSelf LowBitsToExponent(TSelf a);

    /// <summary>Splits positive normal numbers into a = mantissa · 2^exponent with mantissa in [0.5, 1).</summary>
    static abstract void SplitExponent(TSelf a, out TSelf mantissa, out TSelf exponent);

    /// <summary>Mask of a &lt; b.</summary>
    static abstract TSelf LessThan(TSelf a, TSelf b);

    /// <summary>Mask of a = b.</summary>
    static abstract TSelf Equal(TSelf a, TSelf b);

    /// <summary>Where the mask is set <paramref name="ifTrue"/>, else <paramref name="ifFalse"/>.</summary>
    static abstract TSelf Select(TSelf mask, TSelf ifTrue, TSelf ifFalse);

    /// <summary>Sum over the elements, in an order that is fixed for the tier.</summary>
    static abstract float Sum(TSelf a);

    /// <summary>Largest element.</summary>
    static abstract float MaxElement(TSelf a);

    /// <summary>Writes the sums over the elements of four vectors, one behind the other.</summary>
    static abstract void StoreSums(TSelf a, TSelf b, TSelf c, TSelf d, float* destination);

    /// <summary>
    /// Transposes a block of <see cref="Width"/> columns: destination[j · destinationStride + i] = source[i · sourceStride + j]. Rows from
    /// <paramref name="rows"/> on count as zero and are not read. Width rows of Width floats are written, in ascending order.
    /// </summary>
    static abstract void Transpose(float* source, long sourceStride, int rows, float* destination, long destinationStride);
}
