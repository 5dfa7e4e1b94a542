namespace MiniVlp.PtxSim.Machine;

/// <summary>The warps of one group (CTA), its shared memory and its barriers. One object runs many groups, one after the other.</summary>
internal sealed class ThreadGroup
{
    private const int MaxIdleRounds = 5000;
    private readonly Warp[] _warps;
    private readonly NamedBarrier[] _barriers = new NamedBarrier[16];
    private uint _random;

    public ThreadGroup(PtxKernel kernel, KernelLaunch launch, GlobalMemory memory, SimulationOptions options, Statistics statistics)
    {
        Kernel = kernel;
        Launch = launch;
        Global = new GlobalMemoryView(memory);
        Options = options;
        Statistics = statistics;
        Shared = new SharedMemory(this, kernel.DynamicSharedOffset + launch.DynamicSharedBytes, launch.WarpsPerGroup);
        _warps = new Warp[launch.WarpsPerGroup];
        for (int i = 0; i < _warps.Length; i++) _warps[i] = new Warp(this, i, (int)Math.Min(32, launch.Threads.Count - (i * 32)));
        for (int i = 0; i < _barriers.Length; i++) _barriers[i] = new NamedBarrier(launch.WarpsPerGroup + 1);
    }

    public PtxKernel Kernel { get; }

    public KernelLaunch Launch { get; }

    public GlobalMemoryView Global { get; }

    public SimulationOptions Options { get; }

    public Statistics Statistics { get; }

    public SharedMemory Shared { get; }

    /// <summary>Which group of the grid this is now.</summary>
    public Dim3 Position { get; private set; }

    /// <summary>Copies by TMA that are under way.</summary>
    public List<BulkCopy> BulkCopies { get; } = [];

    /// <summary>Runs one group from start to end.</summary>
    public void Run(long index)
    {
        Position = new Dim3((int)(index % Launch.Groups.X), (int)(index / Launch.Groups.X % Launch.Groups.Y), (int)(index / ((long)Launch.Groups.X * Launch.Groups.Y)));
        _random = (uint)((index + 1) * 2654435761L) ^ ((uint)Options.Seed * 40503u) ^ 0x9e3779b9u;
        Shared.Reset();
        BulkCopies.Clear();
        foreach (NamedBarrier barrier in _barriers) barrier.Reset();
        foreach (Warp warp in _warps) warp.Reset();
        int live = _warps.Length, idle = 0;
        while (live > 0)
        {
            bool progress = false;
            int first = Random(_warps.Length);
            for (int i = 0; i < _warps.Length; i++)
            {
                Warp warp = _warps[(first + i) % _warps.Length];
                if (warp.IsDone || warp.WaitingAt >= 0) continue;
                progress |= warp.Run(_warps.Length == 1 ? int.MaxValue : 1 + Random(200));
                if (!warp.IsDone) continue;
                live--;
                AsyncCopy.CheckDone(warp);
                foreach (NamedBarrier barrier in _barriers) barrier.TryRelease(this);
            }

            if (BulkCopies.Count > 0 && (!progress || Random(4) == 0))
            {
                BulkCopy.CompleteOne(this, Random(BulkCopies.Count));
                progress = true;
            }

            idle = progress ? 0 : idle + 1;
            if (idle > MaxIdleRounds) throw new SimulationException($"{Kernel.Name}, group {Position}: deadlock: {string.Join(" | ", _warps.Where(w => !w.IsDone).Select(w => w.Describe()))}");
        }

        if (BulkCopies.Count > 0) throw new SimulationException($"{Kernel.Name}, group {Position}: ended while {BulkCopies.Count} copies by TMA were under way");
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
