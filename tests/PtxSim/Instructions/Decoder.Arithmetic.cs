using System.Numerics;
using MiniVlp.PtxSim.Machine;
using MiniVlp.PtxSim.Text;

namespace MiniVlp.PtxSim.Instructions;

/// <content>Arithmetic, logic, comparisons and conversions.</content>
internal sealed partial class Decoder
{
    private Instruction? Arithmetic(PtxStatement s)
    {
        string[] o = s.Operands;
        string type = s.Type;
        switch (s.Parts[0])
        {
            case "mov":
                return MoveOf(s);
            case "cvta":
                return AddressConversion(s);
            case "add" or "sub" or "mul" or "div" or "rem" or "min" or "max" when s.Has("ftz"):
                return Function(o, type, 2, (x, y, _) => Flushed(NarrowMath.Binary(s.Parts[0], type, Flushed(x), Flushed(y))));
            case "mul" when s.Has("wide"):
                return type switch
                {
                    "s32" => new BinaryInstruction<int, int, long, MultiplyWideSigned>(Destination(o[0], 8), Source(o[1], 4), Source(o[2], 4)),
                    "u32" => new BinaryInstruction<uint, uint, ulong, MultiplyWideUnsigned>(Destination(o[0], 8), Source(o[1], 4), Source(o[2], 4)),
                    "s16" => Function(o, "b32", 2, static (x, y, _) => (uint)((short)x * (short)y)),
                    "u16" => Function(o, "b32", 2, static (x, y, _) => (uint)(ushort)x * (ushort)y),
                    _ => throw NotModelled(s.Opcode),
                };
            case "mul" or "mad" when s.Has("hi"):
                bool adds = s.Parts[0] == "mad";
                return Function(o, type, adds ? 3 : 2, (x, y, z) => NarrowMath.MultiplyHigh(type, x, y) + (adds ? z : 0));
            case "add":
                return type switch
                {
                    "f32" => Binary<float, Add<float>>(o),
                    "f64" => Binary<double, Add<double>>(o),
                    "s32" or "u32" or "b32" => Binary<uint, Add<uint>>(o),
                    "s64" or "u64" or "b64" => Binary<ulong, Add<ulong>>(o),
                    _ => Narrow(s),
                };
            case "sub":
                return type switch
                {
                    "f32" => Binary<float, Subtract<float>>(o),
                    "f64" => Binary<double, Subtract<double>>(o),
                    "s32" or "u32" => Binary<uint, Subtract<uint>>(o),
                    "s64" or "u64" => Binary<ulong, Subtract<ulong>>(o),
                    _ => Narrow(s),
                };
            case "mul":
                return type switch
                {
                    "f32" => Binary<float, Multiply<float>>(o),
                    "f64" => Binary<double, Multiply<double>>(o),
                    "s32" or "u32" => Binary<uint, Multiply<uint>>(o),
                    "s64" or "u64" => Binary<ulong, Multiply<ulong>>(o),
                    _ => Narrow(s),
                };
            case "div":
                return type switch
                {
                    "f32" => Binary<float, Divide<float>>(o),
                    "f64" => Binary<double, Divide<double>>(o),
                    "s32" => Binary<int, Divide<int>>(o),
                    "u32" => Binary<uint, Divide<uint>>(o),
                    "s64" => Binary<long, Divide<long>>(o),
                    "u64" => Binary<ulong, Divide<ulong>>(o),
                    _ => Narrow(s),
                };
            case "rem":
                return type switch
                {
                    "s32" => Binary<int, Remainder<int>>(o),
                    "u32" => Binary<uint, Remainder<uint>>(o),
                    "s64" => Binary<long, Remainder<long>>(o),
                    "u64" => Binary<ulong, Remainder<ulong>>(o),
                    _ => Narrow(s),
                };
            case "min" when !s.Has("NaN"):
                return type switch
                {
                    "f32" => Binary<float, Minimum<float>>(o),
                    "f64" => Binary<double, Minimum<double>>(o),
                    "s32" => Binary<int, Minimum<int>>(o),
                    "u32" => Binary<uint, Minimum<uint>>(o),
                    "s64" => Binary<long, Minimum<long>>(o),
                    "u64" => Binary<ulong, Minimum<ulong>>(o),
                    _ => Narrow(s),
                };
            case "max" when !s.Has("NaN"):
                return type switch
                {
                    "f32" => Binary<float, Maximum<float>>(o),
                    "f64" => Binary<double, Maximum<double>>(o),
                    "s32" => Binary<int, Maximum<int>>(o),
                    "u32" => Binary<uint, Maximum<uint>>(o),
                    "s64" => Binary<long, Maximum<long>>(o),
                    "u64" => Binary<ulong, Maximum<ulong>>(o),
                    _ => Narrow(s),
                };
            case "copysign":
                return type == "f32"
                    ? Function(o, type, 2, static (x, y, _) => (y & 0x7fffffff) | (x & 0x80000000))
                    : Function(o, type, 2, static (x, y, _) => (y & 0x7fff_ffff_ffff_ffff) | (x & 0x8000_0000_0000_0000));
            case "mad" when s.Has("wide"):
                return type switch
                {
                    "s32" => new FunctionInstruction(Destination(o[0], 8), 8, [(Source(o[1], 4), 4), (Source(o[2], 4), 4), (Source(o[3], 8), 8)], static (x, y, z) => (ulong)((long)(int)x * (int)y) + z),
                    "u32" => new FunctionInstruction(Destination(o[0], 8), 8, [(Source(o[1], 4), 4), (Source(o[2], 4), 4), (Source(o[3], 8), 8)], static (x, y, z) => ((ulong)(uint)x * (uint)y) + z),
                    _ => throw NotModelled(s.Opcode),
                };
            case "mad":
                return type switch
                {
                    "f32" => Ternary<float, FusedMultiplyAdd<float>>(o),
                    "f64" => Ternary<double, FusedMultiplyAdd<double>>(o),
                    "s32" or "u32" => Ternary<uint, MultiplyAdd<uint>>(o),
                    "s64" or "u64" => Ternary<ulong, MultiplyAdd<ulong>>(o),
                    _ => Function(o, type, 3, (x, y, z) => NarrowMath.Truncate(type, (x * y) + z)),
                };
            case "fma" when !s.Has("ftz"):
                return type switch
                {
                    "f32" => Ternary<float, FusedMultiplyAdd<float>>(o),
                    "f64" => Ternary<double, FusedMultiplyAdd<double>>(o),
                    _ => Function(o, type, 3, (x, y, z) => NarrowMath.FusedMultiplyAdd(type, x, y, z)),
                };
            case "neg":
                return Function(o, type, 1, (x, _, _) => NarrowMath.Negate(type, x));
            case "abs":
                return Function(o, type, 1, (x, _, _) => NarrowMath.Absolute(type, x));
            case "and" or "or" or "xor" or "not" or "cnot":
                return Logic(s);
            case "shl":
                return WidthOf(type) == 8 ? new BinaryInstruction<ulong, uint, ulong, ShiftLeft64>(Destination(o[0], 8), Source(o[1], 8), Source(o[2], 4))
                    : type == "b32" ? new BinaryInstruction<uint, uint, uint, ShiftLeft32>(Destination(o[0], 4), Source(o[1], 4), Source(o[2], 4))
                    : Function(o, type, 2, (x, y, _) => y > 15 ? 0 : NarrowMath.Truncate(type, x << (int)y));
            case "shr":
                return type switch
                {
                    "s64" => new BinaryInstruction<long, uint, long, ShiftRightSigned64>(Destination(o[0], 8), Source(o[1], 8), Source(o[2], 4)),
                    "u64" or "b64" => new BinaryInstruction<ulong, uint, ulong, ShiftRight64>(Destination(o[0], 8), Source(o[1], 8), Source(o[2], 4)),
                    "s32" => new BinaryInstruction<int, uint, int, ShiftRightSigned32>(Destination(o[0], 4), Source(o[1], 4), Source(o[2], 4)),
                    "u32" or "b32" => new BinaryInstruction<uint, uint, uint, ShiftRight32>(Destination(o[0], 4), Source(o[1], 4), Source(o[2], 4)),
                    _ => Function(o, type, 2, (x, y, _) => NarrowMath.Truncate(type, (ulong)(NarrowMath.Signed(type, x) >> (int)Math.Min(y, 31)))),
                };
            case "shf":
                bool isLeft = s.Has("l"), wraps = s.Has("wrap");
                return Function(o, "b32", 3, (low, high, count) =>
                {
                    int n = (int)(wraps ? count & 31 : Math.Min(count, 32));
                    ulong both = (high << 32) | (uint)low;
                    return isLeft ? (both << n) >> 32 : (uint)(both >> n);
                });
            case "bfe" or "bfi" or "prmt" or "popc" or "clz" or "brev" or "lop3" or "bfind" or "bmsk" or "fns" or "sad":
                return Bits(s);
            case "setp":
                return Compare(s);
            case "set":
                throw NotModelled(s.Opcode);
            case "selp":
                bool isNegated = o[3].StartsWith('!');
                int choice = Predicate(o[3].TrimStart('!'));
                if (type == "pred") throw NotModelled(s.Opcode);
                return WidthOf(type) == 8 ? new SelectInstruction<ulong>(Destination(o[0], 8), Source(o[1], 8), Source(o[2], 8), choice, isNegated) : new SelectInstruction<uint>(Destination(o[0], 4), Source(o[1], 4), Source(o[2], 4), choice, isNegated);
            case "testp":
                return Test(s);
            case "cvt":
                return Conversion(s);
            case "ex2" or "lg2" or "rcp" or "rsqrt" or "sqrt" or "sin" or "cos" or "tanh" or "fma":
                return Elementary(s);
            default:
                return null;
        }
    }

    private static ulong Flushed(ulong bits) => ((uint)bits & 0x7f800000) == 0 ? bits & 0x80000000 : bits;

    private BinaryInstruction<T, T, T, TOperation> Binary<T, TOperation>(string[] o)
        where T : unmanaged
        where TOperation : struct, IBinaryOperation<T, T, T>
    {
        int width = System.Runtime.CompilerServices.Unsafe.SizeOf<T>();
        return new(Destination(o[0], width), Source(o[1], width), Source(o[2], width));
    }

    private TernaryInstruction<T, T, T, T, TOperation> Ternary<T, TOperation>(string[] o)
        where T : unmanaged
        where TOperation : struct, ITernaryOperation<T, T, T, T>
    {
        int width = System.Runtime.CompilerServices.Unsafe.SizeOf<T>();
        return new(Destination(o[0], width), Source(o[1], width), Source(o[2], width), Source(o[3], width));
    }

    private FunctionInstruction Narrow(PtxStatement s) => Function(s.Operands, s.Type, 2, (x, y, _) => NarrowMath.Binary(s.Parts[0], s.Type, x, y));

    /// <summary>A rare function whose operands and result are of one type; shift counts and the like are of 32 bits.</summary>
    private FunctionInstruction Function(string[] o, string type, int sources, Func<ulong, ulong, ulong, ulong> function)
    {
        int width = WidthOf(type);
        (int, int)[] places = new (int, int)[sources];
        for (int i = 0; i < sources; i++) places[i] = (Source(o[i + 1], width), width);
        return new FunctionInstruction(Destination(o[0], width), width, places, function);
    }

    private Instruction MoveOf(PtxStatement s)
    {
        string[] o = s.Operands;
        int width = WidthOf(s.Type);
        if (o[0].StartsWith('{')) return Unpack(o, width == 8 ? 64 : PtxReader.SizeOf(s.Type) * 8);
        if (o[1].StartsWith('{')) return Pack(o, width == 8 ? 64 : PtxReader.SizeOf(s.Type) * 8);
        if (o[1] is "%clock" or "%clock64" or "%globaltimer") return Clock(Destination(o[0], width), width);
        return width switch
        {
            0 => new PredicateInstruction(Destination(o[0], 0), Source(o[1], 0), Source(o[1], 0), static (x, _) => x),
            8 => new UnaryInstruction<ulong, ulong, Move<ulong>>(Destination(o[0], 8), Source(o[1], 8)),
            _ => new UnaryInstruction<uint, uint, Move<uint>>(Destination(o[0], 4), Source(o[1], 4)),
        };
    }

    private static unsafe ActionInstruction Clock(int destination, int width) => new(Schedule.Plain, (warp, mask) =>
    {
        for (int lane = 0; lane < 32; lane++)
        {
            if ((mask >> lane & 1) == 0) continue;
            if (width == 8) ((ulong*)(warp.Registers + destination))[lane] = (ulong)warp.Statistics.WarpInstructions;
            else ((uint*)(warp.Registers + destination))[lane] = (uint)warp.Statistics.WarpInstructions;
        }
    });

    private FunctionInstruction Pack(string[] o, int bits)
    {
        string[] parts = Vector(o[1]);
        int each = bits / parts.Length, width = bits == 64 ? 8 : 4;
        ulong mask = (1ul << each) - 1;
        (int, int)[] places = [.. parts.Select(part => (Source(part, 4), 4))];
        return parts.Length switch
        {
            2 => new FunctionInstruction(Destination(o[0], width), width, places, (x, y, _) => (x & mask) | ((y & mask) << each)),
            _ => throw NotModelled($"a vector of {parts.Length}"),
        };
    }

    private unsafe ActionInstruction Unpack(string[] o, int bits)
    {
        int[] destinations = Destinations(o[0], 4);
        int each = bits / destinations.Length, width = bits == 64 ? 8 : 4, source = Source(o[1], width);
        ulong keep = (1ul << each) - 1;
        return new ActionInstruction(Schedule.Plain, (warp, mask) =>
        {
            for (int lane = 0; lane < 32; lane++)
            {
                if ((mask >> lane & 1) == 0) continue;
                ulong value = width == 8 ? ((ulong*)(warp.Registers + source))[lane] : ((uint*)(warp.Registers + source))[lane];
                for (int i = 0; i < destinations.Length; i++)
                    if (destinations[i] >= 0) ((uint*)(warp.Registers + destinations[i]))[lane] = (uint)(value >> (i * each) & keep);
            }
        });
    }

    private Instruction AddressConversion(PtxStatement s)
    {
        string[] o = s.Operands;
        bool isTo = s.Parts[1] == "to";
        string space = s.Parts[isTo ? 2 : 1];
        ulong window = space.StartsWith("shared", StringComparison.Ordinal) ? SharedMemory.Window : space == "local" ? LocalWindow : 0;
        if (window == 0) return new UnaryInstruction<ulong, ulong, Move<ulong>>(Destination(o[0], 8), Source(o[1], 8));
        return isTo ? Function(o, "b64", 1, (x, _, _) => x >= window ? x - window : x) : Function(o, "b64", 1, (x, _, _) => x + window);
    }

    private Instruction Logic(PtxStatement s)
    {
        string[] o = s.Operands;
        int width = WidthOf(s.Type);
        string name = s.Parts[0];
        if (width == 0)
        {
            if (name == "not") return new PredicateInstruction(Destination(o[0], 0), Predicate(o[1]), Predicate(o[1]), static (x, _) => ~x);
            return new PredicateInstruction(Destination(o[0], 0), Predicate(o[1]), Predicate(o[2]), name switch { "and" => static (x, y) => x & y, "or" => static (x, y) => x | y, _ => static (x, y) => x ^ y });
        }

        string type = s.Type;
        return (name, width) switch
        {
            ("and", 4) => Binary<uint, And<uint>>(o),
            ("and", _) => Binary<ulong, And<ulong>>(o),
            ("or", 4) => Binary<uint, Or<uint>>(o),
            ("or", _) => Binary<ulong, Or<ulong>>(o),
            ("xor", 4) => Binary<uint, Xor<uint>>(o),
            ("xor", _) => Binary<ulong, Xor<ulong>>(o),
            ("not", _) => Function(o, type, 1, (x, _, _) => NarrowMath.Truncate(type, ~x)),
            _ => Function(o, type, 1, (x, _, _) => NarrowMath.Truncate(type, x) == 0 ? 1ul : 0),
        };
    }

    private Instruction Bits(PtxStatement s)
    {
        string[] o = s.Operands;
        string type = s.Type;
        int width = WidthOf(type);
        switch (s.Parts[0])
        {
            case "bfe":
                return new FunctionInstruction(Destination(o[0], width), width, [(Source(o[1], width), width), (Source(o[2], 4), 4), (Source(o[3], 4), 4)], (x, start, length) => NarrowMath.ExtractBits(type, x, (int)start & 255, (int)length & 255));
            case "bfi":
                int count = Source(o[4], 4);
                int[] places = [Source(o[1], width), Source(o[2], width), Source(o[3], 4)];
                return BitInsert(Destination(o[0], width), width, places, count);
            case "prmt":
                return Function(o, "b32", 3, static (x, y, selector) => NarrowMath.Permute(x, y, selector));
            case "popc":
                return new FunctionInstruction(Destination(o[0], 4), 4, [(Source(o[1], width), width)], static (x, _, _) => (ulong)BitOperations.PopCount(x));
            case "clz":
                return new FunctionInstruction(Destination(o[0], 4), 4, [(Source(o[1], width), width)], (x, _, _) => (ulong)(BitOperations.LeadingZeroCount(x) - (width == 8 ? 0 : 32)));
            case "brev":
                return Function(o, type, 1, (x, _, _) => NarrowMath.ReverseBits(x, width * 8));
            case "lop3":
                int table = Number(o[4]);
                return Function(o, "b32", 3, (x, y, z) => NarrowMath.Lookup(x, y, z, table));
            default:
                throw NotModelled(s.Opcode);
        }
    }

    private static unsafe ActionInstruction BitInsert(int destination, int width, int[] sources, int count) => new(Schedule.Plain, (warp, mask) =>
    {
        for (int lane = 0; lane < 32; lane++)
        {
            if ((mask >> lane & 1) == 0) continue;
            int start = (int)(((uint*)(warp.Registers + sources[2]))[lane] & 255), length = (int)(((uint*)(warp.Registers + count))[lane] & 255);
            ulong field = width == 8 ? ((ulong*)(warp.Registers + sources[0]))[lane] : ((uint*)(warp.Registers + sources[0]))[lane];
            ulong into = width == 8 ? ((ulong*)(warp.Registers + sources[1]))[lane] : ((uint*)(warp.Registers + sources[1]))[lane];
            ulong keep = start > 63 ? 0 : (length > 63 ? ulong.MaxValue : (1ul << length) - 1) << start;
            ulong value = (into & ~keep) | (start > 63 ? 0 : field << start & keep);
            if (width == 8) ((ulong*)(warp.Registers + destination))[lane] = value;
            else ((uint*)(warp.Registers + destination))[lane] = (uint)value;
        }
    });

    private FunctionInstruction Elementary(PtxStatement s)
    {
        string type = s.Type;
        bool flushes = s.Has("ftz");
        string name = s.Parts[0];
        if (name == "fma") return Function(s.Operands, type, 3, (x, y, z) => Flushed(NarrowMath.FusedMultiplyAdd(type, Flushed(x), Flushed(y), Flushed(z))));
        return Function(s.Operands, type, 1, flushes ? (x, _, _) => Flushed(NarrowMath.Elementary(name, type, Flushed(x))) : (x, _, _) => NarrowMath.Elementary(name, type, x));
    }
}
