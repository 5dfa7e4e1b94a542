namespace MiniVlp.PtxSim.Machine;

/// <summary>The warps of one group (CTA), its shared memory and its barriers. One object runs many groups, one after the other.</summary>
internal sealed class ThreadGroup
{
    /// <summary>The number by which <see cref="Warp.WaitingAt"/> names the barrier of the cluster.</summary>
    public const int ClusterBarrier = 16;

    private readonly Warp[] _warps;
    private readonly NamedBarrier[] _barriers = new NamedBarrier[16];
    private uint _random;

    public ThreadGroup(SimulatedKernel kernel, KernelLaunch launch, GlobalMemory memory, SimulationOptions options, Statistics statistics, Cluster cluster, int rank)
    {
        Kernel = kernel;
        Launch = launch;
        Global = new GlobalMemoryView(memory);
        Options = options;
        Statistics = statistics;
        Cluster = cluster;
        Rank = rank;
        Shared = new SharedMemory(this, launch.DynamicSharedBytes > 0 ? kernel.DynamicSharedOffset + launch.DynamicSharedBytes : kernel.StaticSharedBytes, launch.WarpsPerGroup);
        _warps = new Warp[launch.WarpsPerGroup];
        for (int i = 0; i < _warps.Length; i++) _warps[i] = new Warp(this, i, (int)Math.Min(32, launch.Threads.Count - (i * 32)));
        for (int i = 0; i < _barriers.Length; i++) _barriers[i] = new NamedBarrier(launch.WarpsPerGroup + 1);
    }

    public SimulatedKernel Kernel { get; }

    public KernelLaunch Launch { get; }

    public GlobalMemoryView Global { get; }

    public SimulationOptions Options { get; }

    public Statistics Statistics { get; }

    public SharedMemory Shared { get; }

    public Cluster Cluster { get; }

    /// <summary>Number of the group in its cluster.</summary>
    public int Rank { get; }

    /// <summary>Counts the copies by TMA that have come: the time of that agent.</summary>
    public int CopyClock { get; set; }

    /// <summary>Warps that have not ended.</summary>
    public int LiveWarps { get; private set; }

    public bool IsDone => LiveWarps == 0;

    /// <summary>Which group of the grid this is now.</summary>
    public Dim3 Position { get; private set; }

    /// <summary>Copies by TMA that are under way.</summary>
    public List<BulkCopy> BulkCopies { get; } = [];

    /// <summary>Prepares for the group at a place of the grid.</summary>
    public void Start(Dim3 position)
    {
        Position = position;
        long index = position.X + ((long)Launch.Groups.X * (position.Y + ((long)Launch.Groups.Y * position.Z)));
        _random = (uint)((index + 1) * 2654435761L) ^ ((uint)Options.Seed * 40503u) ^ 0x9e3779b9u;
        CopyClock = 0;
        LiveWarps = _warps.Length;
        Shared.Reset();
        BulkCopies.Clear();
        foreach (NamedBarrier barrier in _barriers) barrier.Reset();
        foreach (Warp warp in _warps) warp.Reset();
    }

    /// <summary>Gives each warp a turn, in some order and of some length, and copies by TMA a chance to come; false where nothing moved.</summary>
    public bool Step()
    {
        bool progress = false;
        int first = Random(_warps.Length);
        for (int i = 0; i < _warps.Length; i++)
        {
            Warp warp = _warps[(first + i) % _warps.Length];
            if (warp.IsDone || warp.WaitingAt >= 0) continue;
            progress |= warp.Run(_warps.Length == 1 && Cluster.Count == 1 ? 1 << 20 : Warp.SpinLength + 1 + Random(200));
            if (!warp.IsDone) continue;
            LiveWarps--;
            if (warp.Warpgroup.Count > 0) throw new SimulationException($"{Kernel.Name}, group {Position}, warp {warp.Index}: ended while {warp.Warpgroup.Count} wgmma were under way");
            AsyncCopy.CheckDone(warp);
            foreach (NamedBarrier barrier in _barriers) barrier.TryRelease(this);
        }

        if (BulkCopies.Count > 0 && (!progress || Random(4) == 0))
        {
            BulkCopy.CompleteOne(this, Random(BulkCopies.Count));
            progress = true;
        }

        if (IsDone && BulkCopies.Count > 0) throw new SimulationException($"{Kernel.Name}, group {Position}: ended while {BulkCopies.Count} copies by TMA were under way");
        return progress;
    }

    /// <summary>Where the warps stand, for a message about a deadlock.</summary>
    public string Describe() => string.Join(" | ", _warps.Where(warp => !warp.IsDone).Select(warp => warp.Describe()));

    /// <summary>All warps know what all have done.</summary>
    public void JoinClocks()
    {
        int[] clock = new int[Launch.WarpsPerGroup + 1], proxy = new int[clock.Length];
        foreach (Warp warp in _warps) warp.Release(clock, proxy);
        foreach (Warp warp in _warps) warp.Acquire(clock, proxy);
    }

    /// <summary>A warp comes to a barrier.</summary>
    public void Arrive(Warp warp, int barrier, int threads, bool waits)
    {
        if (barrier is < 0 or > 15) throw new SimulationException($"there is no barrier {barrier}");
        if (threads % 32 != 0) throw new SimulationException($"a barrier for {threads} threads, which is no multiple of a warp");
        _barriers[barrier].Arrive(this, warp, barrier, threads, waits);
    }

    /// <summary>Collects a value of a bar.red.</summary>
    public NamedBarrier Barrier(int barrier) => _barriers[barrier];

    /// <summary>Threads that have not ended.</summary>
    public int LiveThreads()
    {
        int threads = 0;
        foreach (Warp warp in _warps) if (!warp.IsDone) threads += warp.Threads;
        return threads;
    }

    private int Random(int bound)
    {
        _random ^= _random << 13;
        _random ^= _random >> 17;
        _random ^= _random << 5;
        return (int)(_random % (uint)bound);
    }
}
