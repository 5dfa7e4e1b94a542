namespace MiniVlp.PtxSim.Machine;

/// <summary>
/// An mbarrier in shared memory: a phase ends when all arrivals and all announced bytes have come. Who sees the end of a phase also sees what
/// those who arrived had done.
/// </summary>
/// <param name="expected">Arrivals that end a phase.</param>
/// <param name="initializer">The warp that initialised it.</param>
/// <param name="initializedAt">That warp's clock then.</param>
/// <param name="clockLength">Entries of a vector clock.</param>
internal sealed class MemoryBarrier(int expected, int initializer, int initializedAt, int clockLength)
{
    private readonly int[] _arriving = new int[clockLength];
    private readonly int[] _arrivingProxy = new int[clockLength];
    private readonly int[] _published = new int[clockLength];
    private readonly int[] _publishedProxy = new int[clockLength];
    private readonly int _expected = expected;
    private int _arrivals = expected;
    private long _bytes;

    /// <summary>Parity of the phase that goes on.</summary>
    public int Phase { get; private set; }

    /// <summary>The barrier at an address, as a warp sees it.</summary>
    public static MemoryBarrier At(Warp warp, ulong address)
    {
        if (!warp.Group.Shared.Barriers.TryGetValue((uint)address, out MemoryBarrier? barrier)) throw new SimulationException($"there is no mbarrier at shared address {(long)address - SharedMemory.Base}");
        barrier.CheckInitialized(warp);
        return barrier;
    }

    /// <summary>mbarrier.arrive, with bytes that copies will bring.</summary>
    public void Arrive(Warp warp, int count, long announcedBytes)
    {
        warp.Release(_arriving, _arrivingProxy);
        _bytes += announcedBytes;
        _arrivals -= count;
        EndPhase();
    }

    /// <summary>A copy has brought bytes.</summary>
    public void Complete(int agent, int clock, long bytes)
    {
        _arriving[agent] = Math.Max(_arriving[agent], clock);
        _bytes -= bytes;
        EndPhase();
    }

    /// <summary>Whether the phase of a parity has ended; then the warp knows what was published with it.</summary>
    public bool HasEnded(Warp warp, int parity)
    {
        if (Phase == (parity & 1)) return false;
        warp.Acquire(_published, _publishedProxy);
        return true;
    }

    private void EndPhase()
    {
        if (_arrivals < 0) throw new SimulationException("more arrivals at an mbarrier than its phase expects");
        if (_arrivals > 0 || _bytes != 0) return;
        Phase ^= 1;
        _arrivals = _expected;
        for (int i = 0; i < _published.Length; i++)
        {
            _published[i] = Math.Max(_published[i], _arriving[i]);
            _publishedProxy[i] = Math.Max(_publishedProxy[i], _arrivingProxy[i]);
        }
    }

    private void CheckInitialized(Warp warp)
    {
        if (warp.Index != initializer && initializedAt > warp.Clock[initializer] && warp.Group.Options.ChecksRaces)
            throw new SimulationException($"race: an mbarrier is used that warp {initializer} initialised with no barrier between");
    }
}
