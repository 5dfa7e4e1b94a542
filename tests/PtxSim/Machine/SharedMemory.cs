using System.Runtime.CompilerServices;

namespace MiniVlp.PtxSim.Machine;

/// <summary>
/// Shared memory of a group with, for each word, whether it was written, whether a copy into it is under way, and when which warp wrote
/// and read it last. Two accesses of a word by different warps, one of them a write, are a race unless a barrier orders them.
/// </summary>
internal sealed unsafe class SharedMemory
{
    /// <summary>Where shared memory starts in its own address space; 0 is no address.</summary>
    public const uint Base = 1024;

    /// <summary>Where it starts among generic addresses.</summary>
    public const ulong Window = 0x0100_0000_0000;

    private readonly ThreadGroup _group;
    private readonly byte[] _bytes;
    private readonly byte[] _isWritten;
    private readonly ushort[] _inFlight;
    private readonly int[] _writeClock;
    private readonly byte[] _writer;
    private readonly byte[] _isByThread;
    private readonly int[] _readClock;
    private readonly int _agents;
    private readonly byte* _memory;
    private readonly bool _checksRaces;

    public SharedMemory(ThreadGroup group, int size, int warps)
    {
        _group = group;
        Size = size;
        _bytes = GC.AllocateUninitializedArray<byte>(size + 32, pinned: true);
        _memory = (byte*)Unsafe.AsPointer(ref _bytes[0]);
        int words = (size + 3) / 4;
        _agents = warps + 1;
        _checksRaces = group.Options.ChecksRaces && warps > 1;
        _isWritten = new byte[words + 1];
        _inFlight = new ushort[words + 1];
        _writeClock = new int[words + 1];
        _writer = new byte[words + 1];
        _isByThread = new byte[words + 1];
        _readClock = new int[_checksRaces ? (words + 1) * _agents : 0];
    }

    public int Size { get; }

    /// <summary>mbarriers by their address.</summary>
    public Dictionary<uint, MemoryBarrier> Barriers { get; } = [];

    public void Reset()
    {
        _bytes.AsSpan().Fill(0xff);
        Array.Clear(_isWritten);
        Array.Clear(_inFlight);
        Array.Clear(_writeClock);
        Array.Clear(_writer);
        Array.Clear(_readClock);
        Barriers.Clear();
    }

    /// <summary>The offset of an address of shared memory, which may also be generic.</summary>
    public static long OffsetOf(ulong address) => address >= Window && address < Window + 0x0100_0000 ? (long)(address - Window) - Base : (long)(uint)address - Base;

    /// <summary>The bytes that a lane reads, after all checks.</summary>
    public byte* Read(Warp warp, ulong address, int size)
    {
        long offset = Check(address, size);
        int last = (int)((offset + size - 1) >> 2);
        for (int word = (int)(offset >> 2); word <= last; word++) NoteRead(warp, word, mayBeUnwritten: false);
        return _memory + offset;
    }

    /// <summary>
    /// A row that ldmatrix reads. Pipelined kernels load the fragments of a tile after the last one and drop them, so words that nothing was
    /// written to are no error here: they hold NaN, which shows in the result if they are used.
    /// </summary>
    public byte* ReadRow(Warp warp, ulong address)
    {
        long offset = Check(address, 16);
        for (int word = (int)(offset >> 2); word < (int)(offset >> 2) + 4; word++) NoteRead(warp, word, mayBeUnwritten: true);
        return _memory + offset;
    }

    /// <summary>The bytes that a lane writes, after all checks.</summary>
    public byte* Write(Warp warp, ulong address, int size)
    {
        long offset = Check(address, size);
        int last = (int)((offset + size - 1) >> 2);
        for (int word = (int)(offset >> 2); word <= last; word++) NoteWrite(warp, word, isAtomic: size < 4);
        return _memory + offset;
    }

    /// <summary>The bytes that a lane changes by one indivisible instruction: in no race with its like.</summary>
    public byte* Atomic(ulong address, int size)
    {
        long offset = Check(address, size);
        int word = (int)(offset >> 2);
        if (_inFlight[word] != 0) throw InFlight(word);
        if (_isWritten[word] == 0) Unwritten(word, mayBe: false);
        return _memory + offset;
    }

    /// <summary>Notes that a copy into these bytes has started.</summary>
    public void StartCopy(Warp warp, ulong address, int size)
    {
        long offset = size > 16 ? CheckRange(address, size) : Check(address, size);
        int last = (int)((offset + size - 1) >> 2);
        for (int word = (int)(offset >> 2); word <= last; word++)
        {
            if (_inFlight[word] != 0) throw new SimulationException($"a second copy into shared memory {Where(word)} while one is in flight");
            if (_checksRaces) CheckOrdered(warp.Clock, warp.Index, word, "a copy into");
            _inFlight[word]++;
        }
    }

    /// <summary>The copy has come: the bytes count as written by an agent at a time.</summary>
    public byte* EndCopy(ulong address, int size, int agent, int clock)
    {
        long offset = OffsetOf(address);
        int last = (int)((offset + size - 1) >> 2);
        for (int word = (int)(offset >> 2); word <= last; word++)
        {
            _inFlight[word]--;
            _isWritten[word] = 1;
            _writer[word] = (byte)agent;
            _writeClock[word] = clock;
            _isByThread[word] = 0;
        }

        return _memory + offset;
    }

    /// <summary>
    /// Bytes that wgmma reads on behalf of a warp. What threads wrote must have been shown to the asynchronous proxy by fence.proxy.async,
    /// before or after the barrier between.
    /// </summary>
    public byte* ReadByProxy(Warp warp, uint address, int size)
    {
        long offset = (long)address - Base;
        if (offset < 0 || offset + size > Size) throw new SimulationException($"wgmma reads {size} bytes at shared address {offset}, outside of the {Size} bytes that the group has");
        for (int word = (int)(offset >> 2); word <= (int)((offset + size - 1) >> 2); word++)
        {
            NoteRead(warp, word, mayBeUnwritten: true);
            if (_checksRaces && _isByThread[word] != 0 && _writeClock[word] > warp.ProxyClock[_writer[word]])
                throw new SimulationException($"wgmma reads shared memory {Where(word)}, which {Agent(_writer[word])} wrote with no fence.proxy.async between");
        }

        return _memory + offset;
    }

    /// <summary>Memory at an offset, without any check.</summary>
    public byte* At(long offset) => _memory + offset;

    private long Check(ulong address, int size)
    {
        long offset = CheckRange(address, size);
        if ((offset & (size - 1)) != 0) throw new SimulationException($"{size} bytes at shared address {offset} are not aligned");
        return offset;
    }

    private long CheckRange(ulong address, int size)
    {
        long offset = OffsetOf(address);
        bool isInGap = offset + size > _group.Kernel.StaticSharedBytes && offset < _group.Kernel.DynamicSharedOffset;
        return offset >= 0 && offset + size <= Size && !isInGap ? offset : throw new SimulationException($"{size} bytes at shared address {offset} are outside of the {Size} bytes that the group has");
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void NoteRead(Warp warp, int word, bool mayBeUnwritten)
    {
        if (_inFlight[word] != 0) throw InFlight(word);
        if (_isWritten[word] == 0) Unwritten(word, mayBeUnwritten);
        if (!_checksRaces) return;
        int writer = _writer[word];
        if (_writeClock[word] > warp.Clock[writer] && writer != warp.Index) throw new SimulationException($"race: shared memory {Where(word)} is read while {Agent(writer)} wrote it with no barrier between");
        _readClock[(word * _agents) + warp.Index] = warp.Clock[warp.Index];
    }

    private void NoteWrite(Warp warp, int word, bool isAtomic)
    {
        if (_inFlight[word] != 0) throw InFlight(word);
        _isWritten[word] = 1;
        if (!_checksRaces || isAtomic) return;
        CheckOrdered(warp.Clock, warp.Index, word, "a write to");
        _writer[word] = (byte)warp.Index;
        _writeClock[word] = warp.Clock[warp.Index];
        _isByThread[word] = 1;
    }

    private void CheckOrdered(int[] clock, int self, int word, string what)
    {
        int writer = _writer[word];
        if (_writeClock[word] > clock[writer] && writer != self) throw new SimulationException($"race: {what} shared memory {Where(word)}, which {Agent(writer)} wrote with no barrier between");
        ReadOnlySpan<int> reads = _readClock.AsSpan(word * _agents, _agents);
        for (int i = 0; i < reads.Length; i++)
            if (reads[i] > clock[i] && i != self) throw new SimulationException($"race: {what} shared memory {Where(word)}, which {Agent(i)} read with no barrier between");
    }

    private void Unwritten(int word, bool mayBe)
    {
        if (!mayBe && _group.Options.ChecksUnwritten) throw new SimulationException($"shared memory {Where(word)} is read, but nothing was ever written there");
        _group.Statistics.UnwrittenReads++;
    }

    private SimulationException InFlight(int word) => new($"shared memory {Where(word)} is used while a copy into it is in flight (not waited for)");

    private string Agent(int agent) => agent == _agents - 1 ? "a copy" : $"warp {agent}";

    private string Where(int word)
    {
        int offset = word * 4;
        foreach (Text.PtxVariable variable in _group.Kernel.SharedVariables)
            if (offset + 3 >= variable.Offset && offset < variable.Offset + variable.Bytes) return $"{variable.Name}+{offset - variable.Offset} (address {offset})";
        return offset >= _group.Kernel.DynamicSharedOffset ? $"dynamic+{offset - _group.Kernel.DynamicSharedOffset} (address {offset})" : $"address {offset}";
    }
}
