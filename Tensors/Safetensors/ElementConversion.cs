using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;

namespace MiniVlp.Tensors.Safetensors;

/// <summary>Element types of a file to and from float32 and int32, vectorised for F16 and BF16; bytes need not be aligned.</summary>
internal static class ElementConversion
{
    private static readonly float TwoTo112 = MathF.ScaleB(1, 112);

    /// <summary>F32, F64, F16 or BF16 bytes to float32; false for another type. F64 is rounded to nearest even, the others are exact.</summary>
    public static bool TryToFloat32(SafetensorsDtype dtype, ReadOnlySpan<byte> source, Span<float> destination)
    {
        switch (dtype)
        {
            case SafetensorsDtype.F32:
                source.CopyTo(MemoryMarshal.AsBytes(destination));
                return true;
            case SafetensorsDtype.F16:
                HalfToSingle(MemoryMarshal.Cast<byte, ushort>(source), destination);
                return true;
            case SafetensorsDtype.BF16:
                BFloat16ToSingle(MemoryMarshal.Cast<byte, ushort>(source), destination);
                return true;
            case SafetensorsDtype.F64:
                for (int i = 0; i < destination.Length; i++)
                {
                    destination[i] = (float)BinaryPrimitives.ReadDoubleLittleEndian(source[(i * sizeof(double))..]);
                }

                return true;
            default:
                return false;
        }
    }

    /// <summary>Float32 to F32, F16 or BF16 bytes, rounded to nearest even; false for another type.</summary>
    public static bool TryFromFloat32(SafetensorsDtype dtype, ReadOnlySpan<float> source, Span<byte> destination)
    {
        switch (dtype)
        {
            case SafetensorsDtype.F32:
                MemoryMarshal.AsBytes(source).CopyTo(destination);
                return true;
            case SafetensorsDtype.F16:
                Span<Half> halves = MemoryMarshal.Cast<byte, Half>(destination);
                for (int i = 0; i < source.Length; i++)
                {
                    halves[i] = (Half)source[i];
                }

                return true;
            case SafetensorsDtype.BF16:
                SingleToBFloat16(source, MemoryMarshal.Cast<byte, ushort>(destination));
                return true;
            default:
                return false;
        }
    }

    /// <summary>
    /// Integer or BOOL bytes to int32; false for a floating-point type. <paramref name="outOfRange"/> is the first element that does not fit
    /// (BOOL: is neither 0 nor 1), or -1.
    /// </summary>
    public static bool TryToInt32(SafetensorsDtype dtype, ReadOnlySpan<byte> source, Span<int> destination, out int outOfRange)
    {
        outOfRange = dtype switch
        {
            SafetensorsDtype.I32 => Widen<int>(source, destination),
            SafetensorsDtype.I64 => Narrow<long>(source, destination, int.MinValue, int.MaxValue),
            SafetensorsDtype.U64 => Narrow<ulong>(source, destination, 0, int.MaxValue),
            SafetensorsDtype.U32 => Narrow<uint>(source, destination, 0, int.MaxValue),
            SafetensorsDtype.I16 => Widen<short>(source, destination),
            SafetensorsDtype.U16 => Widen<ushort>(source, destination),
            SafetensorsDtype.I8 => Widen<sbyte>(source, destination),
            SafetensorsDtype.U8 => Widen<byte>(source, destination),
            SafetensorsDtype.Bool => Narrow<byte>(source, destination, 0, 1),
            _ => int.MinValue,
        };
        return outOfRange != int.MinValue;
    }

    /// <summary>Int32 to I32, I64, U8 or BOOL bytes; false for another type. <paramref name="outOfRange"/> as in <see cref="TryToInt32"/>.</summary>
    public static bool TryFromInt32(SafetensorsDtype dtype, ReadOnlySpan<int> source, Span<byte> destination, out int outOfRange)
    {
        outOfRange = -1;
        switch (dtype)
        {
            case SafetensorsDtype.I32:
                MemoryMarshal.AsBytes(source).CopyTo(destination);
                return true;
            case SafetensorsDtype.I64:
                Span<long> longs = MemoryMarshal.Cast<byte, long>(destination);
                for (int i = 0; i < source.Length; i++)
                {
                    longs[i] = source[i];
                }

                return true;
            case SafetensorsDtype.U8 or SafetensorsDtype.Bool:
                outOfRange = source.IndexOfAnyExceptInRange(0, dtype == SafetensorsDtype.Bool ? 1 : byte.MaxValue);
                for (int i = 0; i < source.Length && outOfRange < 0; i++)
                {
                    destination[i] = (byte)source[i];
                }

                return true;
            default:
                return false;
        }
    }

    private static int Widen<T>(ReadOnlySpan<byte> source, Span<int> destination)
        where T : unmanaged, IBinaryInteger<T>
    {
        ReadOnlySpan<T> values = MemoryMarshal.Cast<byte, T>(source);
        for (int i = 0; i < destination.Length; i++)
        {
            destination[i] = int.CreateTruncating(values[i]);
        }

        return -1;
    }

    private static int Narrow<T>(ReadOnlySpan<byte> source, Span<int> destination, T smallest, T largest)
        where T : unmanaged, IBinaryInteger<T>
    {
        int outOfRange = MemoryMarshal.Cast<byte, T>(source).IndexOfAnyExceptInRange(smallest, largest);
        return outOfRange >= 0 ? outOfRange : Widen<T>(source, destination);
    }

    private static void BFloat16ToSingle(ReadOnlySpan<ushort> source, Span<float> destination)
    {
        int i = 0;
        for (; i <= source.Length - Vector<ushort>.Count; i += Vector<ushort>.Count)
        {
            Vector.Widen(new Vector<ushort>(source[i..]), out Vector<uint> low, out Vector<uint> high);
            (low << 16).As<uint, float>().CopyTo(destination[i..]);
            (high << 16).As<uint, float>().CopyTo(destination[(i + Vector<uint>.Count)..]);
        }

        for (; i < source.Length; i++)
        {
            destination[i] = BitConverter.UInt32BitsToSingle((uint)source[i] << 16);
        }
    }

    private static void SingleToBFloat16(ReadOnlySpan<float> source, Span<ushort> destination)
    {
        ReadOnlySpan<uint> bits = MemoryMarshal.Cast<float, uint>(source);
        int i = 0;
        for (; i <= bits.Length - Vector<ushort>.Count; i += Vector<ushort>.Count)
        {
            Vector<uint> low = RoundToUpperHalf(new Vector<uint>(bits[i..]));
            Vector<uint> high = RoundToUpperHalf(new Vector<uint>(bits[(i + Vector<uint>.Count)..]));
            Vector.Narrow(low, high).CopyTo(destination[i..]);
        }

        for (; i < bits.Length; i++)
        {
            destination[i] = (ushort)RoundToUpperHalf(new Vector<uint>(bits[i]))[0];
        }
    }

    // Adding 0x7FFF, and one more where the kept part is odd, carries exactly when round-half-to-even rounds up. A NaN must not
    // carry into infinity: it keeps its upper bits and becomes quiet.
    private static Vector<uint> RoundToUpperHalf(Vector<uint> bits)
    {
        Vector<uint> upper = bits >> 16;
        Vector<uint> rounded = (bits + new Vector<uint>(0x7FFF) + (upper & Vector<uint>.One)) >> 16;
        Vector<uint> isNaN = Vector.GreaterThan(bits & new Vector<uint>(0x7FFFFFFF), new Vector<uint>(0x7F800000));
        return Vector.ConditionalSelect(isNaN, upper | new Vector<uint>(0x40), rounded);
    }

    private static void HalfToSingle(ReadOnlySpan<ushort> source, Span<float> destination)
    {
        int i = 0;
        for (; i <= source.Length - Vector<ushort>.Count; i += Vector<ushort>.Count)
        {
            Vector.Widen(new Vector<ushort>(source[i..]), out Vector<uint> low, out Vector<uint> high);
            HalfBitsToSingle(low).CopyTo(destination[i..]);
            HalfBitsToSingle(high).CopyTo(destination[(i + Vector<uint>.Count)..]);
        }

        for (; i < source.Length; i++)
        {
            destination[i] = HalfBitsToSingle(new Vector<uint>(source[i]))[0];
        }
    }

    // Exponent and fraction moved into float32's place are the value times 2^-112 (the difference of the exponent biases 127 and 15);
    // the multiplication undoes that exactly, subnormals included. Infinity and NaN get the full float32 exponent back.
    private static Vector<float> HalfBitsToSingle(Vector<uint> half)
    {
        Vector<uint> magnitude = half & new Vector<uint>(0x7FFF);
        Vector<uint> scaled = ((magnitude << 13).As<uint, float>() * new Vector<float>(TwoTo112)).As<float, uint>();
        Vector<uint> special = Vector.GreaterThanOrEqual(magnitude, new Vector<uint>(0x7C00)) & new Vector<uint>(0x7F800000);
        return (((half & new Vector<uint>(0x8000)) << 16) | scaled | special).As<uint, float>();
    }
}
