namespace MiniVlp.PtxSim.Machine;

/// <summary>Groups that run together (one, where the kernel asks for no cluster) and the barrier between them.</summary>
internal sealed class Cluster
{
    private const int MaxIdleRounds = 5000;
    private readonly ThreadGroup[] _groups;
    private readonly HashSet<Warp> _arrived = [];
    private readonly List<Warp> _waiting = [];
    private readonly Dim3 _size;

    public Cluster(SimulatedKernel kernel, KernelLaunch launch, GlobalMemory memory, SimulationOptions options, Statistics statistics)
    {
        _size = kernel.ClusterSize;
        _groups = new ThreadGroup[_size.Count];
        for (int i = 0; i < _groups.Length; i++) _groups[i] = new ThreadGroup(kernel, launch, memory, options, statistics, this, i);
    }

    /// <summary>Groups of one cluster.</summary>
    public int Count => _groups.Length;

    /// <summary>Runs one cluster from start to end.</summary>
    public void Run(long index)
    {
        KernelLaunch launch = _groups[0].Launch;
        int clustersX = launch.Groups.X / _size.X, clustersY = launch.Groups.Y / _size.Y;
        int x = (int)(index % clustersX) * _size.X, y = (int)(index / clustersX % clustersY) * _size.Y, z = (int)(index / ((long)clustersX * clustersY)) * _size.Z;
        _arrived.Clear();
        _waiting.Clear();
        for (int i = 0; i < _groups.Length; i++) _groups[i].Start(new Dim3(x + (i % _size.X), y + (i / _size.X % _size.Y), z + (i / (_size.X * _size.Y))));
        int idle = 0;
        long limit = _groups[0].Statistics.WarpInstructions + _groups[0].Options.MaxInstructions;
        while (true)
        {
            bool progress = false, isDone = true;
            foreach (ThreadGroup group in _groups)
            {
                if (group.IsDone) continue;
                progress |= group.Step();
                isDone &= group.IsDone;
            }

            if (isDone) break;
            if (_groups[0].Statistics.WarpInstructions > limit) throw new SimulationException($"{_groups[0].Kernel.Name}, group {_groups[0].Position}: no end after {_groups[0].Options.MaxInstructions} instructions: {string.Join(" | ", _groups.Select(group => group.Describe()))}");
            idle = progress ? 0 : idle + 1;
            if (idle > MaxIdleRounds) throw new SimulationException($"{_groups[0].Kernel.Name}, group {_groups[0].Position}: deadlock: {string.Join(" | ", _groups.Select(group => group.Describe()))}");
        }
    }

    /// <summary>barrier.cluster.arrive.</summary>
    public void Arrive(Warp warp)
    {
        if (!_arrived.Add(warp)) throw new SimulationException("a warp arrives at the barrier of the cluster twice");
        warp.Clock[warp.Index]++;
        TryRelease();
    }

    /// <summary>barrier.cluster.wait.</summary>
    public void Wait(Warp warp)
    {
        if (_arrived.Count > 0 && !_arrived.Contains(warp)) throw new SimulationException("a warp waits at the barrier of the cluster without having arrived");
        if (_arrived.Count == 0) return;
        warp.WaitingAt = ThreadGroup.ClusterBarrier;
        _waiting.Add(warp);
        TryRelease();
    }

    private void TryRelease()
    {
        if (_arrived.Count < _groups.Sum(group => group.LiveWarps)) return;
        foreach (ThreadGroup group in _groups) group.JoinClocks();
        foreach (Warp warp in _waiting) warp.WaitingAt = -1;
        _arrived.Clear();
        _waiting.Clear();
    }
}
