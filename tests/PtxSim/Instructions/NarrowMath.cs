namespace MiniVlp.PtxSim.Instructions;

/// <summary>Arithmetic on the bits of a register whose type is given by name: for what is rare, and for types of 8 and 16 bits.</summary>
internal static class NarrowMath
{
    public static float Float(ulong bits) => BitConverter.UInt32BitsToSingle((uint)bits);

    public static ulong Bits(float value) => BitConverter.SingleToUInt32Bits(value);

    public static double Double(ulong bits) => BitConverter.UInt64BitsToDouble(bits);

    public static ulong Bits(double value) => BitConverter.DoubleToUInt64Bits(value);

    public static float FromHalf(ulong bits) => (float)BitConverter.UInt16BitsToHalf((ushort)bits);

    public static ulong ToHalf(double value) => BitConverter.HalfToUInt16Bits((Half)value);

    /// <summary>The number that the upper 16 bits of a float are.</summary>
    public static float FromBfloat16(ulong bits) => BitConverter.UInt32BitsToSingle((uint)bits << 16);

    /// <summary>To bfloat16, to the nearest, ties to even; NaN is 7fff as on the hardware.</summary>
    public static ulong ToBfloat16(float value)
    {
        if (float.IsNaN(value)) return 0x7fff;
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    }

    /// <summary>Cuts a value to the bits of its type.</summary>
    public static ulong Truncate(string type, ulong x) => Text.PtxReader.SizeOf(type) switch { 1 => (byte)x, 2 => (ushort)x, 4 => (uint)x, _ => x };

    /// <summary>The value as a 64-bit integer: with its sign where the type has one.</summary>
    public static long Signed(string type, ulong x) => type switch
    {
        "s8" => (sbyte)x,
        "s16" => (short)x,
        "s32" => (int)x,
        _ => (long)Truncate(type, x),
    };

    public static ulong Binary(string operation, string type, ulong x, ulong y)
    {
        switch (type)
        {
            case "f32": return Bits((float)Floating(operation, Float(x), Float(y), isSingle: true));
            case "f64": return Bits(Floating(operation, Double(x), Double(y), isSingle: false));
            case "f16": return ToHalf(Floating(operation, FromHalf(x), FromHalf(y), isSingle: true));
            case "bf16": return ToBfloat16((float)Floating(operation, FromBfloat16(x), FromBfloat16(y), isSingle: true));
            case "f16x2": return Binary(operation, "f16", x & 0xffff, y & 0xffff) | (Binary(operation, "f16", x >> 16, y >> 16) << 16);
            case "bf16x2": return Binary(operation, "bf16", x & 0xffff, y & 0xffff) | (Binary(operation, "bf16", x >> 16, y >> 16) << 16);
        }

        long a = Signed(type, x), b = Signed(type, y);
        bool isSigned = type[0] == 's';
        return Truncate(type, operation switch
        {
            "add" => (ulong)(a + b),
            "sub" => (ulong)(a - b),
            "mul" => (ulong)(a * b),
            "div" => b == 0 ? ulong.MaxValue : isSigned ? (ulong)(a / b) : (ulong)a / (ulong)b,
            "rem" => b == 0 ? (ulong)a : isSigned ? (ulong)(a % b) : (ulong)a % (ulong)b,
            "min" => isSigned ? (ulong)Math.Min(a, b) : Math.Min((ulong)a, (ulong)b),
            "max" => isSigned ? (ulong)Math.Max(a, b) : Math.Max((ulong)a, (ulong)b),
            _ => throw new SimulationException($"{operation}.{type} is not modelled"),
        });
    }

    private static double Floating(string operation, double x, double y, bool isSingle)
    {
        double result = operation switch
        {
            "add" => x + y,
            "sub" => x - y,
            "mul" => x * y,
            "div" => x / y,
            "min" => double.IsNaN(x) ? y : double.IsNaN(y) ? x : Math.Min(x, y),
            "max" => double.IsNaN(x) ? y : double.IsNaN(y) ? x : Math.Max(x, y),
            _ => throw new SimulationException($"{operation} of floats is not modelled"),
        };
        // A double holds the exact sum, product or quotient of two floats well enough to round it right.
        return isSingle ? (float)result : result;
    }

    public static ulong MultiplyHigh(string type, ulong x, ulong y) => type switch
    {
        "u32" => (ulong)(uint)x * (uint)y >> 32,
        "s32" => (uint)((long)(int)x * (int)y >> 32),
        "u64" => Math.BigMul(x, y, out _),
        "s64" => (ulong)Math.BigMul((long)x, (long)y, out _),
        "u16" => (ulong)((ushort)x * (ushort)y >> 16) & 0xffff,
        "s16" => (ushort)((short)x * (short)y >> 16),
        _ => throw new SimulationException($"mul.hi.{type} is not modelled"),
    };

    public static ulong FusedMultiplyAdd(string type, ulong x, ulong y, ulong z) => type switch
    {
        "f32" => Bits(MathF.FusedMultiplyAdd(Float(x), Float(y), Float(z))),
        "f64" => Bits(Math.FusedMultiplyAdd(Double(x), Double(y), Double(z))),
        "f16" => ToHalf(Math.FusedMultiplyAdd(FromHalf(x), FromHalf(y), FromHalf(z))),
        "bf16" => ToBfloat16(MathF.FusedMultiplyAdd(FromBfloat16(x), FromBfloat16(y), FromBfloat16(z))),
        "f16x2" or "bf16x2" => FusedMultiplyAdd(type[..^2], x & 0xffff, y & 0xffff, z & 0xffff) | (FusedMultiplyAdd(type[..^2], x >> 16, y >> 16, z >> 16) << 16),
        _ => throw new SimulationException($"fma.{type} is not modelled"),
    };

    public static ulong Negate(string type, ulong x) => type switch
    {
        "f32" => x ^ 0x80000000,
        "f64" => x ^ 0x8000_0000_0000_0000,
        "f16" or "bf16" => x ^ 0x8000,
        "f16x2" or "bf16x2" => x ^ 0x80008000,
        _ => Truncate(type, (ulong)-(long)x),
    };

    public static ulong Absolute(string type, ulong x) => type switch
    {
        "f32" => x & 0x7fffffff,
        "f64" => x & 0x7fff_ffff_ffff_ffff,
        "f16" or "bf16" => x & 0x7fff,
        "f16x2" or "bf16x2" => x & 0x7fff7fff,
        _ => Truncate(type, Signed(type, x) < 0 ? (ulong)-Signed(type, x) : x),
    };

    public static ulong ExtractBits(string type, ulong x, int start, int length)
    {
        int bits = Text.PtxReader.SizeOf(type) * 8;
        bool isSigned = type[0] == 's';
        if (length == 0) return 0;
        ulong sign = isSigned ? x >> Math.Min(Math.Min(start + length, bits) - 1, bits - 1) & 1 : 0;
        ulong field = start >= bits ? 0 : Truncate(type, x) >> start;
        int valid = Math.Min(length, Math.Max(bits - start, 0));
        if (valid < 64) field &= (1ul << valid) - 1;
        if (sign != 0 && valid < 64) field |= ulong.MaxValue << valid;
        return Truncate(type, field);
    }

    public static ulong Permute(ulong x, ulong y, ulong selector)
    {
        ulong bytes = (uint)x | (y << 32);
        ulong result = 0;
        for (int i = 0; i < 4; i++)
        {
            int choice = (int)(selector >> (4 * i)) & 15;
            ulong value = bytes >> ((choice & 7) * 8) & 255;
            if ((choice & 8) != 0) value = (value & 128) != 0 ? 255u : 0u;
            result |= value << (8 * i);
        }

        return result;
    }

    public static ulong ReverseBits(ulong x, int bits)
    {
        ulong result = 0;
        for (int i = 0; i < bits; i++) result |= (x >> i & 1) << (bits - 1 - i);
        return result;
    }

    public static ulong Lookup(ulong x, ulong y, ulong z, int table)
    {
        uint result = 0;
        for (int i = 0; i < 32; i++) result |= (uint)(table >> (int)(((x >> i & 1) << 2) | ((y >> i & 1) << 1) | (z >> i & 1)) & 1) << i;
        return result;
    }

    /// <summary>Elementary functions; the approximate ones of the hardware are rounded correctly here.</summary>
    public static ulong Elementary(string name, string type, ulong x)
    {
        double value = type switch { "f32" => Float(x), "f64" => Double(x), "f16" => FromHalf(x), _ => FromBfloat16(x) };
        double result = name switch
        {
            "ex2" => Math.Pow(2, value),
            "lg2" => Math.Log2(value),
            "rcp" => 1 / value,
            "rsqrt" => 1 / Math.Sqrt(value),
            "sqrt" => Math.Sqrt(value),
            "sin" => Math.Sin(value),
            "cos" => Math.Cos(value),
            "tanh" => Math.Tanh(value),
            _ => throw new SimulationException($"{name} is not modelled"),
        };
        return type switch { "f32" => Bits((float)result), "f64" => Bits(result), "f16" => ToHalf(result), _ => ToBfloat16((float)result) };
    }

    /// <summary>cvt between any two types.</summary>
    public static ulong Convert(string to, string from, string rounding, bool saturates, ulong x)
    {
        bool fromFloat = IsFloat(from), toFloat = IsFloat(to);
        if (!fromFloat && !toFloat)
        {
            long integer = Signed(from, x);
            if (!saturates) return Truncate(to, (ulong)integer);
            return ToInteger(to, from[0] == 's' || integer >= 0 ? (Int128)integer : (Int128)(ulong)integer);
        }

        if (!fromFloat)
        {
            long integer = Signed(from, x);
            bool isUnsigned = from[0] != 's';
            return to switch
            {
                "f64" => Bits(isUnsigned ? (double)(ulong)integer : integer),
                "f32" => Bits(isUnsigned ? (float)(ulong)integer : integer),
                "f16" => ToHalf(isUnsigned ? (double)(ulong)integer : integer),
                _ => ToBfloat16(isUnsigned ? (float)(ulong)integer : integer),
            };
        }

        double value = from switch { "f32" => Float(x), "f64" => Double(x), "f16" => FromHalf(x), _ => FromBfloat16(x) };
        value = rounding switch
        {
            "rzi" => Math.Truncate(value),
            "rmi" => Math.Floor(value),
            "rpi" => Math.Ceiling(value),
            "rni" => Math.Round(value, MidpointRounding.ToEven),
            _ => value,
        };
        if (toFloat)
        {
            if (saturates) value = double.IsNaN(value) ? 0 : Math.Clamp(value, 0, 1);
            return to switch { "f32" => Bits(ToSingle(value, rounding)), "f64" => Bits(value), "f16" => ToHalf(value), _ => ToBfloat16((float)value) };
        }

        if (double.IsNaN(value)) return to is "s64" or "u64" ? 0x8000_0000_0000_0000 : 0;
        return ToInteger(to, double.IsInfinity(value) || Math.Abs(value) > 1e30 ? (value > 0 ? Int128.MaxValue : Int128.MinValue) : (Int128)value);
    }

    private static float ToSingle(double value, string rounding)
    {
        float nearest = (float)value;
        return rounding switch
        {
            "rz" when Math.Abs((double)nearest) > Math.Abs(value) => value > 0 ? MathF.BitDecrement(nearest) : MathF.BitIncrement(nearest),
            "rm" when nearest > value => MathF.BitDecrement(nearest),
            "rp" when nearest < value => MathF.BitIncrement(nearest),
            _ => nearest,
        };
    }

    private static ulong ToInteger(string type, Int128 value)
    {
        int bits = Text.PtxReader.SizeOf(type) * 8;
        Int128 low = type[0] == 's' ? -(Int128.One << (bits - 1)) : 0;
        Int128 high = type[0] == 's' ? (Int128.One << (bits - 1)) - 1 : (Int128.One << bits) - 1;
        return Truncate(type, (ulong)Int128.Clamp(value, low, high));
    }

    private static bool IsFloat(string type) => type is "f32" or "f64" or "f16" or "bf16";
}
