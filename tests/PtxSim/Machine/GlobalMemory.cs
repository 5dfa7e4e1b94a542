using System.Collections.Immutable;
using System.Runtime.InteropServices;

namespace MiniVlp.PtxSim.Machine;

/// <summary>
/// Device memory: blocks of host memory at their own addresses. A kernel may touch registered blocks only, so overruns are seen at once.
/// </summary>
public sealed unsafe class GlobalMemory : IDisposable
{
    private readonly Lock _lock = new();
    private readonly List<nint> _owned = [];
    private ImmutableArray<Block> _blocks = [];

    /// <summary>The blocks in the order of their addresses.</summary>
    internal ImmutableArray<Block> Blocks => _blocks;

    /// <summary>Registers memory that somebody else owns.</summary>
    public void Add(ulong address, long bytes)
    {
        lock (_lock) _blocks = _blocks.Add(new Block(address, (ulong)bytes)).Sort((a, b) => a.Start.CompareTo(b.Start));
    }

    /// <summary>Forgets a block.</summary>
    public void Remove(ulong address)
    {
        lock (_lock) _blocks = _blocks.RemoveAll(block => block.Start == address);
    }

    /// <summary>The size of the block that starts here; negative where none does.</summary>
    public long SizeAt(ulong address)
    {
        foreach (Block block in _blocks) if (block.Start == address) return (long)block.Bytes;
        return -1;
    }

    /// <summary>A block of its own, filled with the NaN of all bits, freed with this object.</summary>
    public ulong Allocate(long bytes)
    {
        nint pointer = (nint)NativeMemory.AlignedAlloc((nuint)bytes + 512, 256);
        new Span<byte>((void*)pointer, (int)bytes + 512).Fill(0xff);
        lock (_lock) _owned.Add(pointer);
        Add((ulong)pointer, bytes);
        return (ulong)pointer;
    }

    /// <summary>A block with these elements.</summary>
    public ulong Upload<T>(ReadOnlySpan<T> elements)
        where T : unmanaged
    {
        ulong address = Allocate((long)elements.Length * sizeof(T));
        elements.CopyTo(new Span<T>((void*)address, elements.Length));
        return address;
    }

    /// <summary>Elements from an address on.</summary>
    public T[] Download<T>(ulong address, int count)
        where T : unmanaged
        => new ReadOnlySpan<T>((void*)address, count).ToArray();

    /// <summary>Frees what was allocated here.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            foreach (nint pointer in _owned) NativeMemory.AlignedFree((void*)pointer);
            _owned.Clear();
            _blocks = [];
        }
    }

    [StructLayout(LayoutKind.Auto)]
    internal readonly record struct Block(ulong Start, ulong Bytes);
}

/// <summary>Global memory as one group sees it: the blocks that there are at the launch, the last one used first.</summary>
internal sealed unsafe class GlobalMemoryView(GlobalMemory memory)
{
    private readonly ImmutableArray<GlobalMemory.Block> _blocks = memory.Blocks;
    private ulong _start;
    private ulong _bytes;

    /// <summary>The bytes of an access, after all checks.</summary>
    public byte* At(ulong address, int size)
    {
        if ((address & (ulong)(size - 1)) != 0) throw new SimulationException($"{size} bytes at global address {Where(address)} are not aligned");
        return Range(address, size);
    }

    /// <summary>A range inside of one block.</summary>
    public byte* Range(ulong address, int size)
    {
        ulong offset = address - _start;
        if (offset < _bytes && _bytes - offset >= (ulong)size) return (byte*)address;
        return Find(address, size);
    }

    private byte* Find(ulong address, int size)
    {
        int low = 0, high = _blocks.Length - 1;
        while (low <= high)
        {
            int middle = (low + high) / 2;
            GlobalMemory.Block block = _blocks[middle];
            if (address < block.Start)
            {
                high = middle - 1;
            }
            else if (address - block.Start >= block.Bytes)
            {
                low = middle + 1;
            }
            else
            {
                if (block.Bytes - (address - block.Start) < (ulong)size) break;
                _start = block.Start;
                _bytes = block.Bytes;
                return (byte*)address;
            }
        }

        throw new SimulationException($"{size} bytes at global address {Where(address)} are outside of every buffer");
    }

    private string Where(ulong address)
    {
        GlobalMemory.Block? nearest = null;
        ulong best = ulong.MaxValue;
        foreach (GlobalMemory.Block block in _blocks)
        {
            ulong distance = address < block.Start ? block.Start - address : address - block.Start < block.Bytes ? 0 : address - block.Start - block.Bytes + 1;
            if (distance >= best) continue;
            best = distance;
            nearest = block;
        }

        return nearest is { } near
            ? $"0x{address:x} (the nearest buffer has {near.Bytes} bytes from 0x{near.Start:x}; this is {unchecked((long)(address - near.Start))} from its start)"
            : $"0x{address:x} (there is no buffer)";
    }
}
