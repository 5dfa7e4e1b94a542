using System.Numerics;
using System.Runtime.CompilerServices;
using MiniVlp.PtxSim.Machine;
using MiniVlp.PtxSim.Text;

namespace MiniVlp.PtxSim.Instructions;

/// <summary>Which memory an address is in.</summary>
internal enum Space
{
    Generic,
    Global,
    Shared,
    Local,
    Parameter,
}

/// <summary>What loads, stores and atomics have in common: the way from an address to bytes, with all checks.</summary>
internal abstract unsafe class MemoryInstruction(Space space) : Instruction
{
    /// <summary>The bytes at an address, for a read or a write.</summary>
    protected byte* At(Warp warp, int lane, ulong address, int size, bool isWrite)
    {
        warp.Lane = lane;
        switch (space)
        {
            case Space.Global:
                if (address is >= SharedMemory.Window and < Decoder.LocalWindow + 0x0100_0000) throw new SimulationException($"0x{address:x} is no address in global memory");
                return warp.Group.Global.At(address, size);
            case Space.Shared:
                return isWrite ? warp.Group.Shared.Write(warp, address, size) : warp.Group.Shared.Read(warp, address, size);
            case Space.Local:
                return Local(warp, lane, address, size);
            case Space.Parameter:
                throw new SimulationException("parameters are read only");
            default:
                if (address is >= SharedMemory.Window and < SharedMemory.Window + 0x0100_0000)
                    return isWrite ? warp.Group.Shared.Write(warp, address, size) : warp.Group.Shared.Read(warp, address, size);
                if (address is >= Decoder.LocalWindow and < Decoder.LocalWindow + 0x0100_0000) return Local(warp, lane, address - Decoder.LocalWindow, size);
                return warp.Group.Global.At(address, size);
        }
    }

    private static byte* Local(Warp warp, int lane, ulong address, int size)
    {
        int bytes = warp.Group.Kernel.LocalBytes;
        if (address + (ulong)size > (ulong)bytes) throw new SimulationException($"{size} bytes at local address {address} are outside of the {bytes} bytes that a thread has");
        if ((address & (ulong)(size - 1)) != 0) throw new SimulationException($"{size} bytes at local address {address} are not aligned");
        return warp.Local + (lane * (long)bytes) + address;
    }

    /// <summary>Counts conflicts and sectors where that is asked for.</summary>
    protected void Count(Warp warp, Address address, uint mask, int size)
    {
        if (!warp.Group.Options.CountsMemory) return;
        if (space == Space.Shared) Traffic.CountShared(warp, address, mask, size);
        else if (space == Space.Global) Traffic.CountGlobal(warp, address, mask, size);
    }
}

/// <summary>ld, with vectors.</summary>
/// <param name="size">Bytes of one element.</param>
/// <param name="width">Bytes of a register.</param>
internal sealed unsafe class LoadInstruction(Space space, int size, int width, bool isSigned, int[] destinations, Address address) : MemoryInstruction(space)
{
    private readonly Space _space = space;

    public override void Execute(Warp warp, uint mask)
    {
        int total = size * destinations.Length;
        if (_space == Space.Parameter)
        {
            LoadParameter(warp, mask, total);
            return;
        }

        Count(warp, address, mask, total);
        for (; mask != 0; mask &= mask - 1)
        {
            int lane = BitOperations.TrailingZeroCount(mask);
            Put(warp, lane, At(warp, lane, address.Of(warp, lane), total, isWrite: false));
        }

        warp.Lane = -1;
    }

    private void LoadParameter(Warp warp, uint mask, int total)
    {
        fixed (byte* arguments = warp.Group.Launch.Arguments)
        {
            for (; mask != 0; mask &= mask - 1)
            {
                int lane = BitOperations.TrailingZeroCount(mask);
                ulong offset = address.Of(warp, lane) - Decoder.ParameterWindow;
                if (offset + (ulong)total > (ulong)warp.Group.Kernel.ParameterBytes) throw new SimulationException($"{total} bytes at offset {offset} of the parameters");
                Put(warp, lane, arguments + offset);
            }
        }
    }

    private void Put(Warp warp, int lane, byte* bytes)
    {
        for (int i = 0; i < destinations.Length; i++, bytes += size)
        {
            if (destinations[i] < 0) continue;
            ulong value = size switch
            {
                4 => isSigned ? (ulong)*(int*)bytes : *(uint*)bytes,
                8 => Unsafe.ReadUnaligned<ulong>(bytes),
                2 => isSigned ? (ulong)*(short*)bytes : *(ushort*)bytes,
                _ => isSigned ? (ulong)*(sbyte*)bytes : *bytes,
            };
            if (width == 8) ((ulong*)(warp.Registers + destinations[i]))[lane] = value;
            else ((uint*)(warp.Registers + destinations[i]))[lane] = (uint)value;
        }
    }
}

/// <summary>st, with vectors.</summary>
internal sealed unsafe class StoreInstruction(Space space, int size, int width, int[] sources, Address address) : MemoryInstruction(space)
{
    public override void Execute(Warp warp, uint mask)
    {
        int total = size * sources.Length;
        Count(warp, address, mask, total);
        for (; mask != 0; mask &= mask - 1)
        {
            int lane = BitOperations.TrailingZeroCount(mask);
            byte* bytes = At(warp, lane, address.Of(warp, lane), total, isWrite: true);
            foreach (int source in sources)
            {
                ulong value = width == 8 ? ((ulong*)(warp.Registers + source))[lane] : ((uint*)(warp.Registers + source))[lane];
                switch (size)
                {
                    case 4: *(uint*)bytes = (uint)value; break;
                    case 8: Unsafe.WriteUnaligned(bytes, value); break;
                    case 2: *(ushort*)bytes = (ushort)value; break;
                    default: *bytes = (byte)value; break;
                }

                bytes += size;
            }
        }

        warp.Lane = -1;
    }
}

/// <summary>atom and red. Lanes come one after the other in an order that a kernel cannot rely on.</summary>
internal sealed unsafe class AtomicInstruction(Space space, string type, string operation, int[] destinations, Address address, int[] sources, int compared) : MemoryInstruction(space)
{
    private readonly Space _space = space;
    private readonly int _size = PtxReader.SizeOf(type);

    public override void Execute(Warp warp, uint mask)
    {
        for (; mask != 0; mask &= mask - 1)
        {
            int lane = BitOperations.TrailingZeroCount(mask);
            ulong place = address.Of(warp, lane);
            warp.Lane = lane;
            bool isShared = _space == Space.Shared || (_space == Space.Generic && place is >= SharedMemory.Window and < SharedMemory.Window + 0x0100_0000);
            byte* bytes = isShared ? warp.Group.Shared.Atomic(place, _size * sources.Length) : At(warp, lane, place, _size * sources.Length, isWrite: true);
            for (int i = 0; i < sources.Length; i++, bytes += _size)
            {
                ulong old = _size switch { 8 => *(ulong*)bytes, 4 => *(uint*)bytes, 2 => *(ushort*)bytes, _ => throw new SimulationException($"atomics of .{type} are not modelled") };
                ulong result = Result(old, Register(warp, sources[i], lane), compared < 0 ? 0 : Register(warp, compared, lane));
                if (_size == 8) *(ulong*)bytes = result;
                else if (_size == 4) *(uint*)bytes = (uint)result;
                else *(ushort*)bytes = (ushort)result;
                if (destinations.Length <= i || destinations[i] < 0) continue;
                if (_size == 8) ((ulong*)(warp.Registers + destinations[i]))[lane] = old;
                else ((uint*)(warp.Registers + destinations[i]))[lane] = (uint)old;
            }
        }

        warp.Lane = -1;
    }

    private ulong Register(Warp warp, int offset, int lane) => _size == 8 ? ((ulong*)(warp.Registers + offset))[lane] : ((uint*)(warp.Registers + offset))[lane];

    private ulong Result(ulong old, ulong value, ulong replacement) => operation switch
    {
        "exch" => value,
        "cas" => old == NarrowMath.Truncate(type, value) ? replacement : old,
        "and" => old & value,
        "or" => old | value,
        "xor" => old ^ value,
        "inc" => old >= value ? 0 : old + 1,
        "dec" => old == 0 || old > value ? value : old - 1,
        _ => NarrowMath.Binary(operation, type, old, value),
    };
}
