using System.Globalization;
using MiniVlp.PtxSim.Machine;
using MiniVlp.PtxSim.Text;

namespace MiniVlp.PtxSim.Instructions;

/// <summary>Turns the statements of a kernel into instructions that run.</summary>
internal sealed partial class Decoder(PtxEntry entry, SimulatedKernel kernel)
{
    /// <summary>Where parameters start among addresses.</summary>
    public const ulong ParameterWindow = 0x0200_0000_0000;

    /// <summary>Where local memory starts among generic addresses.</summary>
    public const ulong LocalWindow = 0x0300_0000_0000;

    private readonly RegisterLayout _registers = kernel.Registers;
    private List<int> _touched = [];

    /// <summary>Whether a kernel changes global memory by atomics.</summary>
    public bool HasGlobalAtomics { get; private set; }

    public Instruction[] Decode()
    {
        Instruction[] code = new Instruction[entry.Statements.Count];
        for (int i = 0; i < code.Length; i++)
        {
            PtxStatement statement = entry.Statements[i];
            _touched = [];
            try
            {
                Instruction instruction = code[i] = Decode(statement);
                instruction.Line = statement.Line;
                instruction.Text = statement.Text;
                if (statement.Guard is { } guard) instruction.Guard = Predicate(guard);
                instruction.IsGuardNegated = statement.IsGuardNegated;
                instruction.Touches = [.. _touched];
            }
            catch (SimulationException exception)
            {
                throw new SimulationException($"{entry.Name}, line {statement.Line}: {exception.Message}; in `{statement.Text}`", exception);
            }
            catch (IndexOutOfRangeException exception)
            {
                throw new SimulationException($"{entry.Name}, line {statement.Line}: too few operands; in `{statement.Text}`", exception);
            }
        }

        return code;
    }

    private static SimulationException NotModelled(string what) => new($"{what} is not modelled");

    private Instruction Decode(PtxStatement s)
    {
        switch (s.Parts[0])
        {
            case "bra":
                return new BranchInstruction(s.Has("uni") && s.Guard is not null) { Target = entry.Labels.TryGetValue(s.Operands[0], out int target) ? target : throw new SimulationException($"there is no label {s.Operands[0]}") };
            case "ret" or "exit":
                return new ExitInstruction();
            case "trap":
                return new ActionInstruction(Schedule.Plain, (_, _) => throw new SimulationException("trap"));
            case "fence":
                return Fence(s);
            case "membar" or "prefetch" or "prefetchu" or "nanosleep" or "griddepcontrol" or "setmaxnreg" or "discard" or "applypriority":
                return new ActionInstruction(Schedule.Plain, static (_, _) => { });
            case "bar" or "barrier":
                return Barrier(s);
            case "ld" or "ldu":
                return Load(s);
            case "st":
                return Store(s);
            case "atom" or "red":
                return Atomic(s);
            case "shfl":
                return Shuffle(s);
            case "vote" or "activemask" or "redux" or "match":
                return Vote(s);
            case "mma" or "ldmatrix" or "stmatrix" or "movmatrix":
                return Matrix(s);
            case "cp" when !s.Has("bulk") && !s.Has("mbarrier"):
                return AsyncCopies(s);
            default:
                return Arithmetic(s) ?? Hopper(s) ?? throw NotModelled(s.Parts[0]);
        }
    }

    /// <summary>Width of a lane's register for a type.</summary>
    private static int WidthOf(string type) => type == "pred" ? 0 : PtxReader.SizeOf(type) == 8 ? 8 : 4;

    /// <summary>The place of an operand that is read: a register, a special register, a constant, or the address of a variable.</summary>
    private int Source(string operand, int width)
    {
        if (_registers.Find(operand) is { } place)
        {
            if (place.Width != width) throw new SimulationException($"{operand} has {place.Width * 8} bits where {width * 8} are needed");
            _touched.Add(place.Offset);
            return place.Offset;
        }

        if (operand.StartsWith('%')) return _registers.Special(operand, width);
        if (Symbol(operand) is { } address) return _registers.Constant(address, width);
        return _registers.Constant(Immediate(operand), width);
    }

    private int Source(string operand, string type) => Source(operand, WidthOf(type));

    private int[] Sources(string vector, int width) => [.. Vector(vector).Select(element => Source(element, width))];

    /// <summary>The place of an operand that is written; <c>_</c> is a place that nobody reads.</summary>
    private int Destination(string operand, int width)
    {
        if (operand == "_") return _registers.Find(SimulatedKernel.Sink)!.Value.Offset;
        if (_registers.Find(operand) is not { } place) throw new SimulationException($"there is no register {operand}");
        if (place.Width != width) throw new SimulationException($"{operand} has {place.Width * 8} bits where {width * 8} are needed");
        _touched.Add(place.Offset);
        return place.Offset;
    }

    private int Destination(string operand, string type) => Destination(operand, WidthOf(type));

    private int[] Destinations(string vector, int width) => [.. Vector(vector).Select(element => element == "_" ? -1 : Destination(element, width))];

    private int Predicate(string operand) => Source(operand, 0);

    private static string[] Vector(string operand) => operand.StartsWith('{') ? operand.Trim('{', '}').Split(',', StringSplitOptions.TrimEntries) : [operand];

    /// <summary>The address of a variable, in its own space.</summary>
    private ulong? Symbol(string name)
    {
        if (entry.Shared.TryGetValue(name, out PtxVariable? shared)) return SharedMemory.Base + (ulong)shared.Offset;
        if (name == entry.DynamicShared) return SharedMemory.Base + (ulong)kernel.DynamicSharedOffset;
        if (entry.Local.TryGetValue(name, out PtxVariable? local)) return (ulong)local.Offset;
        foreach (PtxVariable parameter in entry.Parameters) if (parameter.Name == name) return ParameterWindow + (ulong)parameter.Offset;
        return null;
    }

    private static ulong Immediate(string text)
    {
        if (text.StartsWith("0f", StringComparison.OrdinalIgnoreCase)) return ulong.Parse(text.AsSpan(2), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
        if (text.StartsWith("0d", StringComparison.OrdinalIgnoreCase)) return ulong.Parse(text.AsSpan(2), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
        bool isNegative = text.StartsWith('-');
        ReadOnlySpan<char> digits = text.AsSpan(isNegative ? 1 : 0).TrimEnd('U');
        ulong value;
        if (digits.StartsWith("0x", StringComparison.OrdinalIgnoreCase) ? ulong.TryParse(digits[2..], NumberStyles.HexNumber, CultureInfo.InvariantCulture, out value) : ulong.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out value))
            return isNegative ? (ulong)-(long)value : value;
        throw new SimulationException($"the operand {text} is not understood");
    }

    /// <summary>An operand that must be a number in the text.</summary>
    private static int Number(string text) => (int)Immediate(text);

    /// <summary>An address: a register of 4 or 8 bytes or a variable, and an offset.</summary>
    private Address AddressOf(string operand)
    {
        string inner = operand.Trim('[', ']', ' ');
        int cut = inner.AsSpan(1).IndexOfAny('+', '-') + 1;
        string symbol = cut > 0 ? inner[..cut].Trim() : inner;
        long offset = 0;
        if (cut > 0)
        {
            string rest = inner[(cut + 1)..].Replace(" ", string.Empty, StringComparison.Ordinal);
            offset = (long)Immediate(rest);
            if (inner[cut] == '-') offset = -offset;
        }

        if (_registers.Find(symbol) is { } place)
        {
            _touched.Add(place.Offset);
            return new Address(place.Offset, place.Width, offset);
        }

        return new Address(_registers.Constant(Symbol(symbol) ?? Immediate(symbol), 8), 8, offset);
    }
}

/// <summary>An address operand.</summary>
/// <param name="Register">Place of the base in the register file.</param>
/// <param name="Width">Its width in bytes.</param>
/// <param name="Offset">What is added.</param>
internal readonly record struct Address(int Register, int Width, long Offset)
{
    /// <summary>The address of one lane.</summary>
    public unsafe ulong Of(Warp warp, int lane)
        => (Width == 8 ? ((ulong*)(warp.Registers + Register))[lane] : ((uint*)(warp.Registers + Register))[lane]) + (ulong)Offset;
}
