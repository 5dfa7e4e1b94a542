using System.Diagnostics.CodeAnalysis;

namespace MiniVlp.Kernels;

/// <summary>
/// The blocks that a captured graph works in. Every launch of the graph writes into them again, so the pool must not hand them to anybody else
/// while the graph lives; within the capture they are reused as the pool would reuse them.
/// </summary>
internal sealed class HeldMemory
{
    private readonly HashSet<PooledMemory> _held = [];
    private readonly Dictionary<long, Stack<PooledMemory>> _free = [];

    /// <summary>Bytes held.</summary>
    public long Bytes => _held.Sum(memory => memory.CapacityBytes);

    /// <summary>Notes that the graph works in a block.</summary>
    public void Add(PooledMemory memory)
    {
        if (_held.Add(memory)) memory.HoldCount++;
    }

    /// <summary>Takes a returned block for reuse within the capture; false when the graph has nothing to do with it.</summary>
    public bool TryPush(PooledMemory memory)
    {
        if (!_held.Contains(memory)) return false;
        if (!_free.TryGetValue(memory.CapacityBytes, out Stack<PooledMemory>? stack)) _free.Add(memory.CapacityBytes, stack = new());
        stack.Push(memory);
        return true;
    }

    /// <summary>A block that was returned within the capture.</summary>
    public bool TryPop(long capacity, [NotNullWhen(true)] out PooledMemory? memory)
    {
        memory = null;
        return _free.TryGetValue(capacity, out Stack<PooledMemory>? stack) && stack.TryPop(out memory);
    }

    /// <summary>Lets go of all blocks, and lists them.</summary>
    public IReadOnlyList<PooledMemory> Release()
    {
        PooledMemory[] all = [.. _held];
        foreach (PooledMemory memory in all) memory.HoldCount--;
        _held.Clear();
        _free.Clear();
        return all;
    }
}
