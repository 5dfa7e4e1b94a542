using System.Numerics;
using MiniVlp.PtxSim.Machine;
using Xunit;

namespace MiniVlp.PtxSim.Tests;

/// <summary>Each instruction on random and on special values against C#.</summary>
public sealed class InstructionTests
{
    private const int Count = 4 * 256;

    /// <summary>
    /// Name, kinds of result and operands (h 16 bits, r 32, d 64, f float, e double, p predicate), and what it is: a function of the bits of
    /// up to three operands.
    /// </summary>
    private static readonly Dictionary<string, (string Kinds, Func<ulong, ulong, ulong, ulong> Expected)> Cases = new(StringComparer.Ordinal)
    {
        ["add.s32"] = ("rrr", (x, y, _) => (uint)((int)x + (int)y)),
        ["add.u64"] = ("ddd", (x, y, _) => x + y),
        ["add.u16"] = ("hhh", (x, y, _) => (ushort)((ushort)x + (ushort)y)),
        ["add.f32"] = ("fff", (x, y, _) => B(F(x) + F(y))),
        ["add.rn.f64"] = ("eee", (x, y, _) => B(D(x) + D(y))),
        ["sub.s32"] = ("rrr", (x, y, _) => (uint)x - (uint)y),
        ["sub.s64"] = ("ddd", (x, y, _) => x - y),
        ["sub.f32"] = ("fff", (x, y, _) => B(F(x) - F(y))),
        ["sub.f64"] = ("eee", (x, y, _) => B(D(x) - D(y))),
        ["mul.lo.s32"] = ("rrr", (x, y, _) => (uint)x * (uint)y),
        ["mul.lo.u64"] = ("ddd", (x, y, _) => x * y),
        ["mul.hi.s32"] = ("rrr", (x, y, _) => (uint)(((long)(int)x * (int)y) >> 32)),
        ["mul.hi.u32"] = ("rrr", (x, y, _) => ((ulong)(uint)x * (uint)y) >> 32),
        ["mul.hi.u64"] = ("ddd", (x, y, _) => (ulong)(((UInt128)x * y) >> 64)),
        ["mul.hi.s64"] = ("ddd", (x, y, _) => (ulong)(((Int128)(long)x * (long)y) >> 64)),
        ["mul.wide.s32"] = ("drr", (x, y, _) => (ulong)((long)(int)x * (int)y)),
        ["mul.wide.u32"] = ("drr", (x, y, _) => (ulong)(uint)x * (uint)y),
        ["mul.wide.u16"] = ("rhh", (x, y, _) => (uint)((ushort)x * (ushort)y)),
        ["mul.f32"] = ("fff", (x, y, _) => B(F(x) * F(y))),
        ["mul.f64"] = ("eee", (x, y, _) => B(D(x) * D(y))),
        ["mul.ftz.f32"] = ("fff", (x, y, _) => B(Flush(Flush(F(x)) * Flush(F(y))))),
        ["mad.lo.s32"] = ("rrrr", (x, y, z) => ((uint)x * (uint)y) + (uint)z),
        ["mad.lo.u64"] = ("dddd", (x, y, z) => (x * y) + z),
        ["mad.wide.s32"] = ("drrd", (x, y, z) => (ulong)((long)(int)x * (int)y) + z),
        ["fma.rn.f32"] = ("ffff", (x, y, z) => B(MathF.FusedMultiplyAdd(F(x), F(y), F(z)))),
        ["fma.rn.f64"] = ("eeee", (x, y, z) => B(Math.FusedMultiplyAdd(D(x), D(y), D(z)))),
        ["div.s32"] = ("rrr", (x, y, _) => (int)y == 0 ? uint.MaxValue : (uint)((long)(int)x / (int)y)),
        ["div.u32"] = ("rrr", (x, y, _) => (uint)y == 0 ? uint.MaxValue : (uint)x / (uint)y),
        ["div.s64"] = ("ddd", (x, y, _) => y == 0 ? ulong.MaxValue : (ulong)((Int128)(long)x / (long)y)),
        ["div.u64"] = ("ddd", (x, y, _) => y == 0 ? ulong.MaxValue : x / y),
        ["div.rn.f32"] = ("fff", (x, y, _) => B(F(x) / F(y))),
        ["div.rn.f64"] = ("eee", (x, y, _) => B(D(x) / D(y))),
        ["rem.s32"] = ("rrr", (x, y, _) => (int)y == 0 ? (uint)x : (uint)((long)(int)x % (int)y)),
        ["rem.u64"] = ("ddd", (x, y, _) => y == 0 ? x : x % y),
        ["min.s32"] = ("rrr", (x, y, _) => (uint)Math.Min((int)x, (int)y)),
        ["max.u32"] = ("rrr", (x, y, _) => Math.Max((uint)x, (uint)y)),
        ["min.s64"] = ("ddd", (x, y, _) => (ulong)Math.Min((long)x, (long)y)),
        ["max.s16"] = ("hhh", (x, y, _) => (ushort)Math.Max((short)x, (short)y)),
        ["min.f32"] = ("fff", (x, y, _) => float.IsNaN(F(x)) ? y : float.IsNaN(F(y)) ? x : B(MathF.Min(F(x), F(y)))),
        ["max.f32"] = ("fff", (x, y, _) => float.IsNaN(F(x)) ? y : float.IsNaN(F(y)) ? x : B(MathF.Max(F(x), F(y)))),
        ["max.f64"] = ("eee", (x, y, _) => double.IsNaN(D(x)) ? y : double.IsNaN(D(y)) ? x : B(Math.Max(D(x), D(y)))),
        ["neg.s32"] = ("rr", (x, _, _) => (uint)-(int)x),
        ["neg.f32"] = ("ff", (x, _, _) => x ^ 0x80000000),
        ["neg.f64"] = ("ee", (x, _, _) => x ^ 0x8000_0000_0000_0000),
        ["abs.s64"] = ("dd", (x, _, _) => (long)x < 0 ? 0 - x : x),
        ["abs.f32"] = ("ff", (x, _, _) => x & 0x7fffffff),
        ["and.b32"] = ("rrr", (x, y, _) => x & y),
        ["or.b64"] = ("ddd", (x, y, _) => x | y),
        ["xor.b32"] = ("rrr", (x, y, _) => x ^ y),
        ["not.b32"] = ("rr", (x, _, _) => (uint)~x),
        ["not.b16"] = ("hh", (x, _, _) => (ushort)~x),
        ["shl.b32"] = ("rrr", (x, y, _) => (uint)y > 31 ? 0 : (uint)x << (int)y),
        ["shl.b64"] = ("ddr", (x, y, _) => (uint)y > 63 ? 0 : x << (int)y),
        ["shr.s32"] = ("rrr", (x, y, _) => (uint)((int)x >> (int)Math.Min((uint)y, 31))),
        ["shr.u32"] = ("rrr", (x, y, _) => (uint)y > 31 ? 0 : (uint)x >> (int)y),
        ["shr.s64"] = ("ddr", (x, y, _) => (ulong)((long)x >> (int)Math.Min((uint)y, 63))),
        ["shf.l.wrap.b32"] = ("rrrr", (x, y, z) => (((y << 32) | (uint)x) << ((int)z & 31)) >> 32),
        ["bfe.u32"] = ("rrrr", (x, y, z) => Field(x, (int)y & 255, (int)z & 255, isSigned: false)),
        ["bfe.s32"] = ("rrrr", (x, y, z) => Field(x, (int)y & 255, (int)z & 255, isSigned: true)),
        ["prmt.b32"] = ("rrrr", Permuted),
        ["popc.b32"] = ("rr", (x, _, _) => (ulong)BitOperations.PopCount((uint)x)),
        ["popc.b64"] = ("rd", (x, _, _) => (ulong)BitOperations.PopCount(x)),
        ["clz.b32"] = ("rr", (x, _, _) => (ulong)BitOperations.LeadingZeroCount((uint)x)),
        ["clz.b64"] = ("rd", (x, _, _) => (ulong)BitOperations.LeadingZeroCount(x)),
        ["brev.b32"] = ("rr", (x, _, _) => Enumerable.Range(0, 32).Aggregate(0ul, (r, i) => r | ((x >> i & 1) << (31 - i)))),
        ["setp.lt.s32"] = ("prr", (x, y, _) => (int)x < (int)y ? 1ul : 0),
        ["setp.lo.u32"] = ("prr", (x, y, _) => (uint)x < (uint)y ? 1ul : 0),
        ["setp.ge.s64"] = ("pdd", (x, y, _) => (long)x >= (long)y ? 1ul : 0),
        ["setp.ne.u16"] = ("phh", (x, y, _) => (ushort)x != (ushort)y ? 1ul : 0),
        ["setp.lt.f32"] = ("pff", (x, y, _) => F(x) < F(y) ? 1ul : 0),
        ["setp.ne.f32"] = ("pff", (x, y, _) => F(x) < F(y) || F(x) > F(y) ? 1ul : 0),
        ["setp.equ.f32"] = ("pff", (x, y, _) => !(F(x) < F(y) || F(x) > F(y)) ? 1ul : 0),
        ["setp.leu.f64"] = ("pee", (x, y, _) => !(D(x) > D(y)) ? 1ul : 0),
        ["setp.num.f32"] = ("pff", (x, y, _) => !float.IsNaN(F(x)) && !float.IsNaN(F(y)) ? 1ul : 0),
        ["setp.nan.f32"] = ("pff", (x, y, _) => float.IsNaN(F(x)) || float.IsNaN(F(y)) ? 1ul : 0),
        ["cvt.u64.u32"] = ("dr", (x, _, _) => (uint)x),
        ["cvt.s64.s32"] = ("dr", (x, _, _) => (ulong)(int)x),
        ["cvt.u32.u64"] = ("rd", (x, _, _) => (uint)x),
        ["cvt.s32.s8"] = ("rr", (x, _, _) => (uint)(sbyte)x),
        ["cvt.u32.u16"] = ("rh", (x, _, _) => (ushort)x),
        ["cvt.rn.f32.s32"] = ("fr", (x, _, _) => B((float)(int)x)),
        ["cvt.rn.f32.u32"] = ("fr", (x, _, _) => B((float)(uint)x)),
        ["cvt.rn.f32.s64"] = ("fd", (x, _, _) => B((float)(long)x)),
        ["cvt.rn.f64.s32"] = ("er", (x, _, _) => B((double)(int)x)),
        ["cvt.f64.f32"] = ("ef", (x, _, _) => B((double)F(x))),
        ["cvt.rn.f32.f64"] = ("fe", (x, _, _) => B((float)D(x))),
        ["cvt.rzi.s32.f32"] = ("rf", (x, _, _) => (uint)Saturated(MathF.Truncate(F(x)), int.MinValue, int.MaxValue)),
        ["cvt.rni.s32.f32"] = ("rf", (x, _, _) => (uint)Saturated(MathF.Round(F(x), MidpointRounding.ToEven), int.MinValue, int.MaxValue)),
        ["cvt.rmi.f32.f32"] = ("ff", (x, _, _) => B(MathF.Floor(F(x)))),
        ["cvt.rpi.f32.f32"] = ("ff", (x, _, _) => B(MathF.Ceiling(F(x)))),
        ["cvt.rzi.u32.f64"] = ("re", (x, _, _) => (uint)Saturated(Math.Truncate(D(x)), 0, uint.MaxValue)),
        ["cvt.rn.f16.f32"] = ("hf", (x, _, _) => float.IsNaN(F(x)) ? Nan16 : BitConverter.HalfToUInt16Bits((Half)F(x))),
        ["cvt.f32.f16"] = ("fh", (x, _, _) => B((float)BitConverter.UInt16BitsToHalf((ushort)x))),
        ["cvt.rn.bf16x2.f32"] = ("rff", (x, y, _) => (Bfloat16(x) << 16) | Bfloat16(y)),
        ["cvt.rna.tf32.f32"] = ("rf", (x, _, _) => float.IsFinite(F(x)) ? ((uint)x + 0x1000) & 0xffffe000 : (uint)x),
        ["sqrt.rn.f32"] = ("ff", (x, _, _) => B(MathF.Sqrt(F(x)))),
        ["sqrt.rn.f64"] = ("ee", (x, _, _) => B(Math.Sqrt(D(x)))),
        ["rcp.rn.f32"] = ("ff", (x, _, _) => B(1 / F(x))),
        ["rcp.rn.f64"] = ("ee", (x, _, _) => B(1 / D(x))),
        ["ex2.approx.f32"] = ("ff", (x, _, _) => B((float)Math.Pow(2, F(x)))),
        ["lg2.approx.f32"] = ("ff", (x, _, _) => B((float)Math.Log2(F(x)))),
        ["rsqrt.approx.f32"] = ("ff", (x, _, _) => B((float)(1 / Math.Sqrt(F(x))))),
        ["tanh.approx.f32"] = ("ff", (x, _, _) => B((float)Math.Tanh(F(x)))),
    };

    private const ulong Nan16 = 0x7e00;

    public static TheoryData<string> Names => [.. Cases.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public void Instruction_equals_CSharp(string name)
    {
        (string kinds, Func<ulong, ulong, ulong, ulong> expected) = Cases[name];
        ulong[][] operands = [Values(1, kinds, 1), Values(2, kinds, 2), Values(3, kinds, 3)];
        string sources = string.Join(", ", Enumerable.Range(1, kinds.Length - 1).Select(i => $"%{kinds[i]}{i}"));
        ulong[] actual = Run($"{name} %{kinds[0]}4, {sources};", kinds[0], operands);
        for (int i = 0; i < Count; i++)
        {
            ulong wanted = expected(operands[0][i], operands[1][i], operands[2][i]);
            if (!AreSame(kinds[0], wanted, actual[i])) Assert.Fail($"{name} of {operands[0][i]:x}, {operands[1][i]:x}, {operands[2][i]:x}: expected {wanted:x}, actual {actual[i]:x}");
        }
    }

    [Fact]
    public void Instructions_with_a_guard_change_only_the_lanes_that_it_names()
    {
        uint[] result = PtxProgram.Results("and.b32 %r2, %r0, 1; setp.eq.u32 %p1, %r2, 0; mov.u32 %r1, 7; @%p1 add.u32 %r1, %r1, %r0; @!%p1 mul.lo.u32 %r1, %r1, 3;", 64);
        for (uint i = 0; i < 64; i++) Assert.Equal(i % 2 == 0 ? 7 + i : 21, result[i]);
    }

    [Fact]
    public void Predicates_combine()
    {
        uint[] result = PtxProgram.Results(
            """
            setp.lt.u32 %p1, %r0, 10;
            setp.ge.and.u32 %p2|%p3, %r0, 5, %p1;
            setp.eq.or.u32 %p4, %r0, 20, !%p1;
            xor.pred %p5, %p2, %p4;
            not.pred %p6, %p5;
            selp.u32 %r2, 1, 0, %p2; selp.u32 %r3, 2, 0, %p3; selp.u32 %r4, 4, 0, %p4; selp.u32 %r5, 8, 0, %p6;
            add.u32 %r1, %r2, %r3; add.u32 %r1, %r1, %r4; add.u32 %r1, %r1, %r5;
            """,
            32);
        for (int i = 0; i < 32; i++)
        {
            bool p1 = i < 10, p2 = i >= 5 && p1, p3 = i < 5 && p1, p4 = i == 20 || !p1;
            Assert.Equal((p2 ? 1u : 0) + (p3 ? 2u : 0) + (p4 ? 4u : 0) + (p2 == p4 ? 8u : 0), result[i]);
        }
    }

    [Fact]
    public void Vectors_go_through_moves_loads_and_stores()
    {
        using GlobalMemory memory = new();
        uint[] words = [.. Enumerable.Range(0, 128).Select(i => (uint)(i * 2654435761))];
        ulong from = memory.Upload<uint>(words), to = memory.Allocate(512);
        SimulatedKernel kernel = PtxProgram.Kernel(
            """
            mul.wide.u32 %d4, %r0, 16; add.s64 %d5, %d0, %d4; add.s64 %d6, %d1, %d4;
            ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%d5];
            mov.b64 %d7, {%r1, %r2}; mov.b64 {%r5, %r6}, %d7; mov.b32 {%h1, %h2}, %r3; mov.b32 %r7, {%h2, %h1};
            st.global.v2.u32 [%d6], {%r6, %r5}; st.global.u16 [%d6+8], %r7; st.global.u16 [%d6+10], %h1; st.global.u32 [%d6+12], %r4;
            """,
            2);
        kernel.Run(memory, 32, [from, to]);
        uint[] result = memory.Download<uint>(to, 128);
        for (int i = 0; i < 128; i += 4)
        {
            Assert.Equal(words[i + 1], result[i]);
            Assert.Equal(words[i], result[i + 1]);
            Assert.Equal((words[i + 2] >> 16) | (words[i + 2] << 16), result[i + 2]);
            Assert.Equal(words[i + 3], result[i + 3]);
        }
    }

    [Fact]
    public void An_instruction_that_is_not_modelled_is_refused_with_its_line()
    {
        SimulationException exception = Assert.Throws<SimulationException>(() => PtxProgram.Kernel("dp4a.s32.s32 %r1, %r2, %r3, %r4;", 0));
        Assert.Contains("dp4a is not modelled", exception.Message, StringComparison.Ordinal);
        Assert.Contains("line ", exception.Message, StringComparison.Ordinal);
    }

    private static ulong[] Run(string instruction, char kind, ulong[][] operands)
    {
        string result = kind switch
        {
            'r' => "cvt.u64.u32 %d20, %r4;",
            'f' => "mov.b32 %r20, %f4; cvt.u64.u32 %d20, %r20;",
            'h' => "cvt.u32.u16 %r20, %h4; cvt.u64.u32 %d20, %r20;",
            'p' => "selp.u32 %r20, 1, 0, %p4; cvt.u64.u32 %d20, %r20;",
            'e' => "mov.b64 %d20, %e4;",
            _ => "mov.b64 %d20, %d4;",
        };
        IEnumerable<string> loads = Enumerable.Range(1, 3).Select(i => $"add.s64 %d11, %d{i - 1}, %d10; ld.global.u64 %d{20 + i}, [%d11]; cvt.u32.u64 %r{i}, %d{20 + i}; cvt.u16.u64 %h{i}, %d{20 + i}; mov.b32 %f{i}, %r{i}; mov.b64 %e{i}, %d{20 + i};");
        string views = "mov.b64 %d1, %d21; mov.b64 %d2, %d22; mov.b64 %d12, %d3; mov.b64 %d3, %d23;";
        SimulatedKernel kernel = PtxProgram.Kernel(
            $"mov.u32 %r30, %ctaid.x; mad.lo.u32 %r31, %r30, 256, %r0; mul.wide.u32 %d10, %r31, 8;\n{string.Join('\n', loads)}\n{views}\n{instruction}\n{result} add.s64 %d12, %d12, %d10; st.global.u64 [%d12], %d20;",
            4);
        using GlobalMemory memory = new();
        ulong to = memory.Allocate(Count * 8);
        kernel.Run(memory, 256, [memory.Upload<ulong>(operands[0]), memory.Upload<ulong>(operands[1]), memory.Upload<ulong>(operands[2]), to], Count / 256);
        return memory.Download<ulong>(to, Count);
    }

    /// <summary>Operands: special values of the kind, small numbers, and any bits.</summary>
    private static ulong[] Values(int seed, string kinds, int operand)
    {
        Random random = new(seed);
        char kind = operand < kinds.Length ? kinds[operand] : 'd';
        ulong[] special = kind switch
        {
            'f' => [.. new[] { 0f, -0f, 1f, -1f, 0.5f, 2.5f, float.NaN, float.PositiveInfinity, float.NegativeInfinity, float.MaxValue, float.Epsilon, 3e9f, -3e9f, 1e-40f }.Select(B)],
            'e' => [.. new[] { 0.0, -0.0, 1, -1, 0.5, 2.5, double.NaN, double.PositiveInfinity, double.NegativeInfinity, double.MaxValue, double.Epsilon, 5e9, -5e9 }.Select(B)],
            _ => [0, 1, ulong.MaxValue, 0x7fffffff, 0x80000000, 0x7fff, 0x8000, 0x7fff_ffff_ffff_ffff, 0x8000_0000_0000_0000, 31, 32, 63, 64],
        };
        ulong[] values = new ulong[Count];
        for (int i = 0; i < Count; i++)
        {
            values[i] = (i % 4) switch
            {
                0 => special[random.Next(special.Length)],
                1 when kind == 'f' => B((float)(random.NextDouble() * 20) - 10),
                1 when kind == 'e' => B((random.NextDouble() * 20) - 10),
                1 => (ulong)random.Next(64),
                _ => (ulong)random.NextInt64(long.MinValue, long.MaxValue),
            };
            values[i] = kind switch { 'r' or 'f' => (uint)values[i], 'h' => (ushort)values[i], _ => values[i] };
        }

        return values;
    }

    private static bool AreSame(char kind, ulong x, ulong y) => x == y || kind switch
    {
        'f' => float.IsNaN(F(x)) && float.IsNaN(F(y)),
        'e' => double.IsNaN(D(x)) && double.IsNaN(D(y)),
        'h' => (x & 0x7c00) == 0x7c00 && (x & 0x3ff) != 0 && (y & 0x7c00) == 0x7c00 && (y & 0x3ff) != 0,
        _ => false,
    };

    private static float F(ulong bits) => BitConverter.UInt32BitsToSingle((uint)bits);

    private static double D(ulong bits) => BitConverter.UInt64BitsToDouble(bits);

    private static ulong B(float value) => BitConverter.SingleToUInt32Bits(value);

    private static ulong B(double value) => BitConverter.DoubleToUInt64Bits(value);

    private static float Flush(float x) => float.IsSubnormal(x) ? MathF.CopySign(0, x) : x;

    private static long Saturated(double x, long low, long high) => double.IsNaN(x) ? 0 : x <= low ? low : x >= high ? high : (long)x;

    private static ulong Bfloat16(ulong bits)
    {
        if (float.IsNaN(F(bits))) return 0x7fff;
        ulong low = bits & 0xffff, high = bits >> 16 & 0xffff;
        return low > 0x8000 || (low == 0x8000 && high % 2 == 1) ? high + 1 : high;
    }

    /// <summary>As the PTX manual writes bfe, bit by bit.</summary>
    private static ulong Field(ulong x, int start, int length, bool isSigned)
    {
        ulong sign = !isSigned || length == 0 ? 0 : x >> Math.Min(start + length - 1, 31) & 1, result = 0;
        for (int i = 0; i < 32; i++) result |= (i < length && start + i < 32 ? x >> (start + i) & 1 : sign) << i;
        return result;
    }

    private static ulong Permuted(ulong x, ulong y, ulong selector, int index)
    {
        int choice = (int)(selector >> (4 * index)) & 15;
        ulong value = (choice & 7) < 4 ? x >> (8 * (choice & 3)) & 255 : y >> (8 * (choice & 3)) & 255;
        return choice > 7 ? (value > 127 ? 255u : 0u) : value;
    }

    private static ulong Permuted(ulong x, ulong y, ulong selector)
        => Permuted(x, y, selector, 0) | (Permuted(x, y, selector, 1) << 8) | (Permuted(x, y, selector, 2) << 16) | (Permuted(x, y, selector, 3) << 24);
}
