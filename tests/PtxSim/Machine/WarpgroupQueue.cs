namespace MiniVlp.PtxSim.Machine;

/// <summary>
/// The wgmma of a warp that have not been waited for. They are computed when the warp waits, so operands in shared memory must stay until then;
/// any other use of their accumulators before is an error.
/// </summary>
internal sealed class WarpgroupQueue
{
    private readonly List<(int Group, Action Compute, int[] Accumulators)> _pending = [];
    private readonly HashSet<int> _inFlight = [];
    private int _committed;

    public int Count => _pending.Count;

    public void Clear()
    {
        _pending.Clear();
        _inFlight.Clear();
        _committed = 0;
    }

    public void Add(Action compute, int[] accumulators)
    {
        _pending.Add((_committed, compute, accumulators));
        _inFlight.UnionWith(accumulators);
    }

    public void Commit() => _committed++;

    /// <summary>wgmma.wait_group: all but the newest groups are computed now.</summary>
    public void Wait(int newest)
    {
        int done = 0;
        while (done < _pending.Count && _pending[done].Group < _committed - newest) _pending[done++].Compute();
        _pending.RemoveRange(0, done);
        _inFlight.Clear();
        foreach ((_, _, int[] accumulators) in _pending) _inFlight.UnionWith(accumulators);
    }

    /// <summary>Whether an instruction touches accumulators that are still being computed.</summary>
    public void Check(Instruction instruction)
    {
        if (instruction is Instructions.WarpgroupMultiplyInstruction) return;
        foreach (int register in instruction.Touches)
            if (_inFlight.Contains(register)) throw new SimulationException("an accumulator of wgmma is used before wgmma.wait_group");
    }
}
