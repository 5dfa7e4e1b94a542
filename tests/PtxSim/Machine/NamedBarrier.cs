using System.Numerics;

namespace MiniVlp.PtxSim.Machine;

/// <summary>One of the sixteen barriers of a group: bar.sync, bar.arrive and bar.red.</summary>
internal sealed unsafe class NamedBarrier(int clockLength)
{
    private readonly int[] _published = new int[clockLength];
    private readonly int[] _publishedProxy = new int[clockLength];
    private readonly List<Warp> _waiting = [];
    private readonly List<(Warp Warp, int Destination, uint Mask)> _results = [];
    private int _arrivedThreads;
    private int _expectedThreads;
    private int _true;
    private int _false;
    private string _reduction = string.Empty;

    public void Reset()
    {
        Array.Clear(_published);
        Array.Clear(_publishedProxy);
        _waiting.Clear();
        _results.Clear();
        _arrivedThreads = _expectedThreads = _true = _false = 0;
    }

    /// <summary>Adds the predicates of a warp to a bar.red; the result goes to all that wait when the last has come.</summary>
    public void Collect(Warp warp, string reduction, uint predicate, uint mask, int destination)
    {
        _reduction = reduction;
        _true += BitOperations.PopCount(predicate & mask);
        _false += BitOperations.PopCount(~predicate & mask);
        _results.Add((warp, destination, mask));
    }

    public void Arrive(ThreadGroup group, Warp warp, int number, int threads, bool waits)
    {
        if (_arrivedThreads > 0 && threads != _expectedThreads) throw new SimulationException($"barrier {number} is used with {threads} and with {_expectedThreads} threads at once");
        _expectedThreads = threads;
        _arrivedThreads += threads > 0 ? 32 : warp.Threads;
        warp.Release(_published, _publishedProxy);
        if (waits)
        {
            warp.WaitingAt = number;
            _waiting.Add(warp);
        }

        TryRelease(group);
    }

    /// <summary>Lets the warps go when all that are expected have come; an ended warp is not waited for.</summary>
    public void TryRelease(ThreadGroup group)
    {
        if (_arrivedThreads == 0 || _arrivedThreads < (_expectedThreads > 0 ? _expectedThreads : group.LiveThreads())) return;
        if (_expectedThreads > 0 && _arrivedThreads > _expectedThreads) throw new SimulationException($"{_arrivedThreads} threads at a barrier for {_expectedThreads}");
        foreach (Warp warp in _waiting)
        {
            warp.Acquire(_published, _publishedProxy);
            warp.WaitingAt = -1;
        }

        foreach ((Warp warp, int destination, uint mask) in _results)
        {
            if (_reduction == "popc")
            {
                for (int lane = 0; lane < 32; lane++) if ((mask >> lane & 1) != 0) ((int*)(warp.Registers + destination))[lane] = _true;
            }
            else
            {
                uint* predicate = (uint*)(warp.Registers + destination);
                bool value = _reduction == "or" ? _true > 0 : _false == 0;
                *predicate = value ? *predicate | mask : *predicate & ~mask;
            }
        }

        Reset();
    }
}
