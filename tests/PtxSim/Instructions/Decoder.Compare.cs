using MiniVlp.PtxSim.Machine;
using MiniVlp.PtxSim.Text;

namespace MiniVlp.PtxSim.Instructions;

/// <content>setp, testp and cvt.</content>
internal sealed partial class Decoder
{
    private static readonly string[] ConversionTypes = ["f16", "f32", "f64", "bf16", "bf16x2", "f16x2", "tf32", "u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64"];

    private Instruction Compare(PtxStatement s)
    {
        string[] o = s.Operands;
        string comparison = s.Parts[1];
        string? combination = s.Parts.Skip(2).FirstOrDefault(part => part is "and" or "or" or "xor");
        string[] results = o[0].Split('|', StringSplitOptions.TrimEntries);
        if (combination is null && results.Length == 1) return CompareOf(s, comparison, Destination(o[0], 0), o[1], o[2]);

        int scratch = _registers.Find(SimulatedKernel.Sink)!.Value.Offset;
        Instruction compare = CompareOf(s, comparison, scratch, o[1], o[2]);
        bool isNegated = combination is not null && o[3].StartsWith('!');
        int with = combination is null ? -1 : Predicate(o[3].TrimStart('!'));
        int destination = Destination(results[0], 0), opposite = results.Length > 1 ? Destination(results[1], 0) : -1;
        return Combined(compare, scratch, combination, with, isNegated, destination, opposite);
    }

    private static unsafe ActionInstruction Combined(Instruction compare, int scratch, string? combination, int with, bool isNegated, int destination, int opposite) => new(Schedule.Plain, (warp, mask) =>
    {
        uint other = with < 0 ? 0 : *(uint*)(warp.Registers + with);
        if (isNegated) other = ~other;
        compare.Execute(warp, mask);
        uint bits = *(uint*)(warp.Registers + scratch);
        Put(warp, destination, mask, Combine(bits, other));
        if (opposite >= 0) Put(warp, opposite, mask, Combine(~bits, other));

        uint Combine(uint x, uint y) => combination switch { "and" => x & y, "or" => x | y, "xor" => x ^ y, _ => x };
    });

    private static unsafe void Put(Warp warp, int predicate, uint mask, uint bits)
    {
        uint* place = (uint*)(warp.Registers + predicate);
        *place = (*place & ~mask) | (bits & mask);
    }

    private Instruction CompareOf(PtxStatement s, string comparison, int destination, string first, string second)
    {
        int width = WidthOf(s.Type);
        int x = Source(first, width), y = Source(second, width);
        return s.Type switch
        {
            "f32" => FloatComparison<float>(comparison, destination, x, y),
            "f64" => FloatComparison<double>(comparison, destination, x, y),
            "s32" => IntegerComparison<int>(comparison, destination, x, y),
            "u32" or "b32" => IntegerComparison<uint>(comparison, destination, x, y),
            "s64" => IntegerComparison<long>(comparison, destination, x, y),
            "u64" or "b64" => IntegerComparison<ulong>(comparison, destination, x, y),
            _ => NarrowComparison(s.Type, comparison, destination, x, y),
        };
    }

    private static Instruction FloatComparison<T>(string comparison, int destination, int x, int y)
        where T : unmanaged, System.Numerics.INumber<T> => comparison switch
        {
            "eq" => new CompareInstruction<T, Equal<T>>(destination, x, y),
            "ne" => new CompareInstruction<T, NotEqual<T>>(destination, x, y),
            "lt" => new CompareInstruction<T, Less<T>>(destination, x, y),
            "le" => new CompareInstruction<T, LessOrEqual<T>>(destination, x, y),
            "gt" => new CompareInstruction<T, Greater<T>>(destination, x, y),
            "ge" => new CompareInstruction<T, GreaterOrEqual<T>>(destination, x, y),
            "equ" => new CompareInstruction<T, Not<T, NotEqual<T>>>(destination, x, y),
            "neu" => new CompareInstruction<T, Not<T, Equal<T>>>(destination, x, y),
            "ltu" => new CompareInstruction<T, Not<T, GreaterOrEqual<T>>>(destination, x, y),
            "leu" => new CompareInstruction<T, Not<T, Greater<T>>>(destination, x, y),
            "gtu" => new CompareInstruction<T, Not<T, LessOrEqual<T>>>(destination, x, y),
            "geu" => new CompareInstruction<T, Not<T, Less<T>>>(destination, x, y),
            "num" => new CompareInstruction<T, Ordered<T>>(destination, x, y),
            "nan" => new CompareInstruction<T, Not<T, Ordered<T>>>(destination, x, y),
            _ => throw NotModelled($"setp.{comparison}"),
        };

    private static Instruction IntegerComparison<T>(string comparison, int destination, int x, int y)
        where T : unmanaged, System.Numerics.INumber<T> => comparison switch
        {
            "eq" => new CompareInstruction<T, Equal<T>>(destination, x, y),
            "ne" => new CompareInstruction<T, NotEqual<T>>(destination, x, y),
            "lt" or "lo" => new CompareInstruction<T, Less<T>>(destination, x, y),
            "le" or "ls" => new CompareInstruction<T, LessOrEqual<T>>(destination, x, y),
            "gt" or "hi" => new CompareInstruction<T, Greater<T>>(destination, x, y),
            "ge" or "hs" => new CompareInstruction<T, GreaterOrEqual<T>>(destination, x, y),
            _ => throw NotModelled($"setp.{comparison}"),
        };

    private static unsafe ActionInstruction NarrowComparison(string type, string comparison, int destination, int first, int second)
    {
        Func<ulong, double> value = type switch { "f16" => static x => NarrowMath.FromHalf(x), "bf16" => static x => NarrowMath.FromBfloat16(x), _ => x => NarrowMath.Signed(type, x) };
        bool includesNan = comparison.Length == 3;
        return new ActionInstruction(Schedule.Plain, (warp, mask) =>
        {
            uint bits = 0;
            for (int lane = 0; lane < 32; lane++)
            {
                double x = value(((uint*)(warp.Registers + first))[lane]), y = value(((uint*)(warp.Registers + second))[lane]);
                bool holds = double.IsNaN(x) || double.IsNaN(y) ? includesNan && comparison != "num" : comparison[..2] switch { "eq" => x == y, "ne" => x != y, "lt" or "lo" => x < y, "le" or "ls" => x <= y, "gt" or "hi" => x > y, "ge" or "hs" => x >= y, "nu" => true, _ => false };
                if (holds) bits |= 1u << lane;
            }

            Put(warp, destination, mask, bits);
        });
    }

    private unsafe ActionInstruction Test(PtxStatement s)
    {
        int width = WidthOf(s.Type), destination = Destination(s.Operands[0], 0), source = Source(s.Operands[1], width);
        Func<double, bool> test = s.Parts[1] switch
        {
            "notanumber" => double.IsNaN,
            "number" => static x => !double.IsNaN(x),
            "infinite" => double.IsInfinity,
            "finite" => double.IsFinite,
            _ => throw NotModelled(s.Opcode),
        };
        return new ActionInstruction(Schedule.Plain, (warp, mask) =>
        {
            uint bits = 0;
            for (int lane = 0; lane < 32; lane++)
                if (test(width == 8 ? ((double*)(warp.Registers + source))[lane] : ((float*)(warp.Registers + source))[lane])) bits |= 1u << lane;
            Put(warp, destination, mask, bits);
        });
    }

    private Instruction Conversion(PtxStatement s)
    {
        string[] o = s.Operands;
        string[] types = [.. s.Parts.Where(part => ConversionTypes.Contains(part))];
        string rounding = s.Parts.FirstOrDefault(part => part is "rzi" or "rmi" or "rpi" or "rni" or "rz" or "rm" or "rp" or "rna") ?? "rn";
        string to = types[0], from = types[^1];
        switch ((to, from))
        {
            case ("bf16x2", _):
                return Function(o, "b32", 2, static (high, low, _) => (NarrowMath.ToBfloat16(NarrowMath.Float(high)) << 16) | NarrowMath.ToBfloat16(NarrowMath.Float(low)));
            case ("f16x2", _):
                return Function(o, "b32", 2, static (high, low, _) => (NarrowMath.ToHalf(NarrowMath.Float(high)) << 16) | NarrowMath.ToHalf(NarrowMath.Float(low)));
            case ("tf32", _):
                // rna: to the nearest with ties away from zero; rn: ties to even. Ten bits of mantissa stay.
                return rounding == "rna"
                    ? Function(o, "b32", 1, static (x, _, _) => float.IsFinite(NarrowMath.Float(x)) ? (x + 0x1000) & 0xffffe000 : x)
                    : Function(o, "b32", 1, static (x, _, _) => float.IsFinite(NarrowMath.Float(x)) ? (x + 0xfff + (x >> 13 & 1)) & 0xffffe000 : x);
            case ("u64" or "s64", "u32"):
                return new UnaryInstruction<uint, ulong, Widen>(Destination(o[0], 8), Source(o[1], 4));
            case ("u64" or "s64", "s32"):
                return new UnaryInstruction<int, long, WidenSigned>(Destination(o[0], 8), Source(o[1], 4));
            case ("u32" or "s32", "u64" or "s64") when !s.Has("sat"):
                return new UnaryInstruction<ulong, uint, Narrowed>(Destination(o[0], 4), Source(o[1], 8));
            case ("f32", "s32") when rounding == "rn":
                return new UnaryInstruction<int, float, ToFloat>(Destination(o[0], 4), Source(o[1], 4));
            default:
                int width = WidthOf(to), sourceWidth = WidthOf(from);
                bool saturates = s.Has("sat"), flushes = s.Has("ftz");
                if (_registers.Find(o[1]) is { } place) sourceWidth = place.Width;
                return new FunctionInstruction(Destination(o[0], width), width, [(Source(o[1], sourceWidth), sourceWidth)], (x, _, _) => NarrowMath.Convert(to, from, rounding, saturates, flushes && from == "f32" ? Flushed(x) : x));
        }
    }

    private readonly struct Widen : IUnaryOperation<uint, ulong>
    {
        public static ulong Apply(uint x) => x;
    }

    private readonly struct WidenSigned : IUnaryOperation<int, long>
    {
        public static long Apply(int x) => x;
    }

    private readonly struct Narrowed : IUnaryOperation<ulong, uint>
    {
        public static uint Apply(ulong x) => (uint)x;
    }

    private readonly struct ToFloat : IUnaryOperation<int, float>
    {
        public static float Apply(int x) => x;
    }
}
