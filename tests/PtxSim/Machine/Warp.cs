using System.Numerics;
using System.Runtime.CompilerServices;

namespace MiniVlp.PtxSim.Machine;

/// <summary>
/// Thirty-two lanes in lockstep. Lanes that went different ways are fragments with a program counter each; the one that is furthest back
/// runs, and fragments that meet become one again. Registers lie lane after lane, 4 or 8 bytes each; a predicate is one word of bits.
/// </summary>
internal sealed unsafe class Warp
{
    /// <summary>A loop around a failed test that is no longer than this does nothing else.</summary>
    public const int SpinLength = 16;

    private readonly byte[] _registerFile;
    private readonly byte[] _local;
    private readonly Instruction[] _code;
    private readonly Fragment[] _fragments = new Fragment[32];
    private int _fragmentCount;

    public Warp(ThreadGroup group, int index, int threads)
    {
        Group = group;
        Index = index;
        Threads = threads;
        SimulatedKernel kernel = group.Kernel;
        _code = kernel.Code;
        _registerFile = GC.AllocateUninitializedArray<byte>(kernel.Registers.Bytes, pinned: true);
        Registers = (byte*)Unsafe.AsPointer(ref _registerFile[0]);
        _local = GC.AllocateUninitializedArray<byte>((kernel.LocalBytes * 32) + 1, pinned: true);
        Local = (byte*)Unsafe.AsPointer(ref _local[0]);
        Clock = new int[group.Launch.WarpsPerGroup + 1];
        ProxyClock = new int[Clock.Length];
        CopyGroups = new int[32];
        kernel.Registers.FillConstants(this);
    }

    public ThreadGroup Group { get; }

    /// <summary>Number of the warp in its group.</summary>
    public int Index { get; }

    /// <summary>Threads that exist: 32, fewer in the last warp of a group that is no multiple.</summary>
    public int Threads { get; }

    public byte* Registers { get; }

    /// <summary>Local memory, lane after lane.</summary>
    public byte* Local { get; }

    /// <summary>Lanes that have not ended.</summary>
    public uint Alive { get; private set; }

    public bool IsDone => Alive == 0;

    /// <summary>The barrier that the warp waits at; negative for none.</summary>
    public int WaitingAt { get; set; } = -1;

    /// <summary>What this warp knows of the others' progress (a vector clock, its own entry included): the base of the check for races.</summary>
    public int[] Clock { get; }

    /// <summary>What of it the asynchronous proxy (TMA, wgmma) sees too, by fence.proxy.async.</summary>
    public int[] ProxyClock { get; }

    /// <summary>cp.async that have not been waited for, in order.</summary>
    public List<AsyncCopy> Copies { get; } = [];

    /// <summary>For each lane, how many groups of cp.async it has committed.</summary>
    public int[] CopyGroups { get; }

    /// <summary>wgmma that have not been waited for.</summary>
    public WarpgroupQueue Warpgroup { get; } = new();

    public Statistics Statistics => Group.Statistics;

    /// <summary>The instruction that runs now.</summary>
    public Instruction Current { get; private set; } = null!;

    /// <summary>Set by a test that failed and will be repeated.</summary>
    public bool HasSpun { get; set; }

    /// <summary>The lane that a memory access is checked for, for messages.</summary>
    public int Lane { get; set; } = -1;

    public void Reset()
    {
        new Span<byte>(Registers, Group.Kernel.Registers.ClearedBytes).Clear();
        _local.AsSpan().Fill(0xff);
        Alive = Threads == 32 ? uint.MaxValue : (1u << Threads) - 1;
        _fragmentCount = 1;
        _fragments[0] = new Fragment { Mask = Alive };
        WaitingAt = -1;
        Array.Clear(Clock);
        Array.Clear(ProxyClock);
        Clock[Index] = 1;
        Copies.Clear();
        Array.Clear(CopyGroups);
        Warpgroup.Clear();
        Group.Kernel.Registers.FillSpecials(this);
    }

    /// <summary>Runs up to so many instructions, until the end or a barrier; false where nothing could be done.</summary>
    public bool Run(int quantum)
    {
        bool progress = false;
        int start = quantum;
        try
        {
            while (quantum-- > 0)
            {
                int index = _fragmentCount == 1 && !IsParked(0) ? 0 : Select();
                ref Fragment fragment = ref _fragments[index];
                if (fragment.Counter >= _code.Length)
                {
                    End(index, fragment.Mask);
                    if (IsDone) return true;
                    continue;
                }

                Instruction instruction = Current = _code[fragment.Counter];
                uint mask = fragment.Mask, execute = mask;
                if (instruction.Guard >= 0)
                {
                    uint guard = *(uint*)(Registers + instruction.Guard);
                    execute &= instruction.IsGuardNegated ? ~guard : guard;
                }

                Statistics.WarpInstructions++;
                Statistics.LaneInstructions += BitOperations.PopCount(execute);
                if (Warpgroup.Count > 0) Warpgroup.Check(instruction);
                switch (instruction.Schedule)
                {
                    case Schedule.Branch:
                        Branch(index, (BranchInstruction)instruction, mask, execute);
                        break;
                    case Schedule.Exit:
                        if (execute != 0) End(index, execute);
                        if (IsDone) return true;
                        if (execute != mask) Advance(index);
                        break;
                    case Schedule.WholeWarp when execute != 0 && execute != uint.MaxValue:
                        throw new SimulationException($"only lanes {execute:x8} of the warp run an instruction that all 32 must run together");
                    case Schedule.Barrier:
                        if (execute != 0)
                        {
                            if (execute != mask) throw new SimulationException("a barrier is reached by some lanes of the warp only");
                            instruction.Execute(this, execute);
                        }

                        Advance(index);
                        if (WaitingAt >= 0) return true;
                        break;
                    case Schedule.Spin:
                        HasSpun = false;
                        if (execute != 0) instruction.Execute(this, execute);
                        fragment.HasSpun = HasSpun;
                        Advance(index);
                        return !HasSpun || start - quantum > SpinLength;
                    default:
                        if (execute != 0) instruction.Execute(this, execute);
                        fragment.Counter++;
                        if (_fragmentCount > 1) Settle(index);
                        break;
                }

                progress = true;
            }
        }
        catch (SimulationException exception)
        {
            throw new SimulationException($"{Group.Kernel.Name}, line {Current.Line}, group {Group.Position}, {Who()}: {exception.Message}; in `{Shortened(Current.Text)}`", exception);
        }

        return progress;
    }

    /// <summary>Where the warp stands, for a message about a deadlock.</summary>
    public string Describe()
        => $"warp {Index}{(WaitingAt >= 0 ? $" at barrier {WaitingAt}" : string.Empty)}: "
            + string.Join(" / ", _fragments.Take(_fragmentCount).Select(f => f.Counter < _code.Length ? $"line {_code[f.Counter].Line} `{Shortened(_code[f.Counter].Text)}` lanes {f.Mask:x8}" : "end"));

    /// <summary>Takes over what another has published.</summary>
    public void Acquire(int[] published, int[] publishedProxy)
    {
        for (int i = 0; i < Clock.Length; i++)
        {
            Clock[i] = Math.Max(Clock[i], published[i]);
            ProxyClock[i] = Math.Max(ProxyClock[i], publishedProxy[i]);
        }
    }

    /// <summary>Publishes what this warp has done so far; what it does afterwards is newer.</summary>
    public void Release(int[] published, int[] publishedProxy)
    {
        for (int i = 0; i < Clock.Length; i++)
        {
            published[i] = Math.Max(published[i], Clock[i]);
            publishedProxy[i] = Math.Max(publishedProxy[i], ProxyClock[i]);
        }

        Clock[Index]++;
    }

    /// <summary>fence.proxy.async: what this warp knows, the asynchronous proxy sees from now on.</summary>
    public void FenceProxy()
    {
        Clock.CopyTo(ProxyClock.AsSpan());
        Clock[Index]++;
    }

    private string Who() => Lane >= 0 ? $"thread {(Index * 32) + Lane}" : $"warp {Index}";

    private static string Shortened(string text) => text.Length <= 160 ? text : text[..157] + "...";

    private bool IsParked(int index)
    {
        int counter = _fragments[index].Counter;
        return counter < _code.Length && _code[counter].Schedule is Schedule.Converged or Schedule.WholeWarp or Schedule.Barrier && _fragments[index].Mask != Alive;
    }

    /// <summary>The fragment to run: the one furthest back that does not wait for the others to come to where it is.</summary>
    private int Select()
    {
        for (int attempt = 0; attempt < 2; attempt++)
        {
            for (int i = 0; i < _fragmentCount; i++) if (!_fragments[i].HasSpun && !IsParked(i)) return i;
            for (int i = 0; i < _fragmentCount; i++) _fragments[i].HasSpun = false;
        }

        Current = _code[_fragments[0].Counter];
        throw new SimulationException($"lanes of one warp wait for each other at different places ({Describe()})");
    }

    private void Advance(int index)
    {
        _fragments[index].Counter++;
        Settle(index);
    }

    private void Branch(int index, BranchInstruction branch, uint mask, uint taken)
    {
        ref Fragment fragment = ref _fragments[index];
        if (taken == mask)
        {
            fragment.Counter = branch.Target;
            Settle(index);
            return;
        }

        if (taken == 0)
        {
            Advance(index);
            return;
        }

        if (branch.IsUniform) throw new SimulationException($"bra.uni on a condition that differs between lanes ({taken:x8} of {mask:x8} jump)");
        int next = fragment.Counter + 1;
        fragment.Mask = taken;
        fragment.Counter = branch.Target;
        Settle(index);
        _fragments[_fragmentCount++] = new Fragment { Counter = next, Mask = mask & ~taken };
        Settle(_fragmentCount - 1);
    }

    private void End(int index, uint lanes)
    {
        Alive &= ~lanes;
        _fragments[index].Mask &= ~lanes;
        if (_fragments[index].Mask != 0) return;
        _fragmentCount--;
        for (int i = index; i < _fragmentCount; i++) _fragments[i] = _fragments[i + 1];
    }

    /// <summary>Joins a fragment with one at the same place and keeps the list in the order of program counters.</summary>
    private void Settle(int index)
    {
        if (_fragmentCount == 1) return;
        Fragment moved = _fragments[index];
        for (int i = 0; i < _fragmentCount; i++)
        {
            if (i == index || _fragments[i].Counter != moved.Counter) continue;
            _fragments[i].Mask |= moved.Mask;
            _fragments[i].HasSpun = false;
            _fragmentCount--;
            for (int k = index; k < _fragmentCount; k++) _fragments[k] = _fragments[k + 1];
            return;
        }

        while (index > 0 && _fragments[index - 1].Counter > moved.Counter) _fragments[index] = _fragments[--index];
        while (index + 1 < _fragmentCount && _fragments[index + 1].Counter < moved.Counter) _fragments[index] = _fragments[++index];
        _fragments[index] = moved;
    }

    private struct Fragment
    {
        public int Counter;
        public uint Mask;
        public bool HasSpun;
    }
}
