using System.Runtime.InteropServices;
using CsCheck;
using MiniVlp.Tensors.Safetensors;
using Xunit;

namespace MiniVlp.Engine.Tests.Safetensors;

public sealed class ElementConversionTests
{
    private static readonly ushort[] AllBits = [.. Enumerable.Range(0, 65536).Select(bits => (ushort)bits)];

    // Vector bodies and scalar tails are both passed: every pattern stands once at each place of a vector and once in a tail.
    private static float[] ToFloat32(SafetensorsDtype dtype, ReadOnlySpan<ushort> source)
    {
        float[] result = new float[source.Length];
        Assert.True(ElementConversion.TryToFloat32(dtype, MemoryMarshal.AsBytes(source), result));
        return result;
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(7)]
    public void Every_half_becomes_the_float32_of_the_same_value(int skip)
    {
        float[] values = ToFloat32(SafetensorsDtype.F16, AllBits.AsSpan(skip, 65536 - skip - 3));
        for (int i = 0; i < values.Length; i++)
        {
            float expected = (float)BitConverter.UInt16BitsToHalf(AllBits[i + skip]);
            Assert.True(BitConverter.SingleToInt32Bits(expected) == BitConverter.SingleToInt32Bits(values[i]) || (float.IsNaN(expected) && float.IsNaN(values[i])));
        }

        for (int bits = 0; bits < 65536; bits += 13)
        {
            float expected = (float)BitConverter.UInt16BitsToHalf((ushort)bits);
            Assert.Equal(expected, ToFloat32(SafetensorsDtype.F16, [(ushort)bits])[0]);
        }
    }

    [Fact]
    public void Every_bfloat16_becomes_a_float32_and_comes_back()
    {
        float[] values = ToFloat32(SafetensorsDtype.BF16, AllBits.AsSpan(0, 65533));
        byte[] back = new byte[values.Length * 2];
        Assert.True(ElementConversion.TryFromFloat32(SafetensorsDtype.BF16, values, back));
        ReadOnlySpan<ushort> bits = MemoryMarshal.Cast<byte, ushort>(back);
        for (int i = 0; i < values.Length; i++)
        {
            Assert.Equal((uint)i << 16, BitConverter.SingleToUInt32Bits(values[i]));
            Assert.Equal(float.IsNaN(values[i]) ? i | 0x40 : i, bits[i]);
        }
    }

    [Fact]
    public void Float32_rounds_to_the_nearest_bfloat16_and_ties_to_even()
    {
        Gen.UInt.Select(BitConverter.UInt32BitsToSingle).Array[1, 70].Sample(values =>
        {
            byte[] bytes = new byte[values.Length * 2];
            Assert.True(ElementConversion.TryFromFloat32(SafetensorsDtype.BF16, values, bytes));
            for (int i = 0; i < values.Length; i++)
            {
                Assert.Equal(NearestBFloat16(values[i]), BitConverter.ToUInt16(bytes, 2 * i));
            }
        });
    }

    // By search in double precision: of the bfloat16 below and the one above, the nearer; between the two, the even one.
    private static ushort NearestBFloat16(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        if (float.IsNaN(value))
        {
            return (ushort)((bits >> 16) | 0x40);
        }

        ushort towardZero = (ushort)(bits >> 16);
        if ((bits & 0xFFFF) == 0)
        {
            return towardZero;
        }

        ushort away = (ushort)(towardZero + 1);
        double below = Math.Abs((double)value - Value(towardZero));
        double above = Math.Abs(Value(away) - (double)value);
        return below < above || (below == above && towardZero % 2 == 0) ? towardZero : away;

        // Infinity takes the place of the next power of two, as rounding sees it.
        static double Value(ushort upper) => (upper & 0x7FFF) == 0x7F80
            ? Math.ScaleB(upper > 0x7FFF ? -1 : 1, 128)
            : BitConverter.UInt32BitsToSingle((uint)upper << 16);
    }

    [Fact]
    public void Float32_rounds_to_half_as_the_runtime_does()
    {
        Gen.Float.Array[0, 40].Sample(values =>
        {
            byte[] bytes = new byte[values.Length * 2];
            Assert.True(ElementConversion.TryFromFloat32(SafetensorsDtype.F16, values, bytes));
            Assert.Equal(values.Select(value => BitConverter.HalfToUInt16Bits((Half)value)), MemoryMarshal.Cast<byte, ushort>(bytes).ToArray());
        });
    }

    [Fact]
    public void Float64_is_rounded_to_float32()
    {
        Gen.Double.Array[0, 20].Sample(values =>
        {
            float[] result = new float[values.Length];
            Assert.True(ElementConversion.TryToFloat32(SafetensorsDtype.F64, MemoryMarshal.AsBytes<double>(values), result));
            Assert.Equal(values.Select(value => (float)value), result);
        });
    }

    [Fact]
    public void Every_integer_type_is_read_within_the_range_of_int32()
    {
        Check<sbyte>(SafetensorsDtype.I8, Gen.SByte, value => value);
        Check<byte>(SafetensorsDtype.U8, Gen.Byte, value => value);
        Check<short>(SafetensorsDtype.I16, Gen.Short, value => value);
        Check<ushort>(SafetensorsDtype.U16, Gen.UShort, value => value);
        Check<int>(SafetensorsDtype.I32, Gen.Int, value => value);
        Check<uint>(SafetensorsDtype.U32, Gen.UInt, value => value);
        Check<long>(SafetensorsDtype.I64, Gen.OneOf(Gen.Int.Select(value => (long)value), Gen.Long), value => value);
        Check<ulong>(SafetensorsDtype.U64, Gen.OneOf(Gen.Byte.Select(value => (ulong)value), Gen.ULong), value => value);
        Check<byte>(SafetensorsDtype.Bool, Gen.Byte[0, 2], value => value <= 1 ? value : Int128.MaxValue);
    }

    private static void Check<T>(SafetensorsDtype dtype, Gen<T> element, Func<T, Int128> valueOf)
        where T : unmanaged
    {
        element.Array[0, 20].Sample(source =>
        {
            int[] result = new int[source.Length];
            Assert.True(ElementConversion.TryToInt32(dtype, MemoryMarshal.AsBytes<T>(source), result, out int outOfRange));
            Int128[] values = [.. source.Select(valueOf)];
            Assert.Equal(Array.FindIndex(values, value => value < int.MinValue || value > int.MaxValue), outOfRange);
            if (outOfRange < 0)
            {
                Assert.Equal(values, result.Select(value => (Int128)value));
            }
        });
    }

    [Fact]
    public void Types_of_the_other_kind_are_refused()
    {
        Assert.False(ElementConversion.TryToFloat32(SafetensorsDtype.I32, [], []));
        Assert.False(ElementConversion.TryFromFloat32(SafetensorsDtype.F64, [], []));
        Assert.False(ElementConversion.TryToInt32(SafetensorsDtype.F32, [], [], out _));
        Assert.False(ElementConversion.TryFromInt32(SafetensorsDtype.F32, [], [], out _));
    }
}
