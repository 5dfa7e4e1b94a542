using System.Numerics;

namespace MiniVlp.Kernels;

/// <summary>
/// Keeps returned buffers by size class, last in first out, so that a steady training step asks the system for nothing and the next
/// kernel finds its output still in the cache. Classes grow by at most one eighth, which bounds the waste.
/// </summary>
/// <param name="allocate">Takes memory of so many bytes from the device; throws <see cref="OutOfMemoryException"/> when there is none.</param>
/// <param name="checkGuards">
/// Test mode: fresh buffers hold NaN, so that a kernel that reads what it should have written is seen, and bytes around each buffer
/// are checked when it comes back, so that a write out of bounds is seen.
/// </param>
/// <param name="trimOthers">Frees what else is kept for later on the device; it is called when the cache is freed.</param>
internal sealed class BufferPool(Func<long, PooledMemory> allocate, bool checkGuards, Action? trimOthers = null) : IDisposable
{
    private const int StepsPerDoubling = 8;
    private readonly Lock _lock = new();
    private readonly Dictionary<long, Stack<PooledMemory>> _free = [];

    public int RentedCount { get; private set; }

    public long RentedBytes { get; private set; }

    public long CachedBytes { get; private set; }

    /// <summary>Set while a graph is captured: what is rented then, and returned, stays with the graph.</summary>
    public HeldMemory? Recording { get; set; }

    public PooledMemory Rent(int length, ElementType elementType)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        long capacity = SizeClass((long)length * sizeof(float));
        PooledMemory? memory = null;
        lock (_lock)
        {
            if (Recording?.TryPop(capacity, out memory) != true && _free.TryGetValue(capacity, out Stack<PooledMemory>? stack) && stack.TryPop(out memory)) CachedBytes -= capacity;
        }

        memory ??= Allocate(capacity, allocate);
        lock (_lock)
        {
            RentedCount++;
            RentedBytes += capacity;
            Recording?.Add(memory);
        }

        memory.Length = length;
        memory.ElementType = elementType;
        memory.IsRented = true;
        memory.HasGuards = checkGuards && Recording is null;
        if (memory.HasGuards) memory.Poison();
        return memory;
    }

    public void Return(PooledMemory memory)
    {
        lock (_lock)
        {
            if (!memory.IsRented) throw new InvalidOperationException($"A buffer of {memory.Length} elements was returned twice.");
            memory.IsRented = false;
            RentedCount--;
            RentedBytes -= memory.CapacityBytes;
            if (Recording?.TryPush(memory) != true && memory.HoldCount == 0) Keep(memory);
        }

        if (memory.HasGuards && Recording is null && !memory.GuardsAreIntact())
            throw new InvalidOperationException($"A kernel wrote outside of a buffer of {memory.Length} elements.");
    }

    /// <summary>Takes back what a graph worked in; blocks that are still rented follow when they are returned.</summary>
    public void Release(HeldMemory held)
    {
        lock (_lock)
        {
            foreach (PooledMemory memory in held.Release())
                if (memory.HoldCount == 0 && !memory.IsRented) Keep(memory);
        }
    }

    /// <summary>Frees what is cached; rented buffers stay.</summary>
    public void Trim()
    {
        lock (_lock)
        {
            foreach (Stack<PooledMemory> stack in _free.Values)
                while (stack.TryPop(out PooledMemory? memory)) memory.Free();
            CachedBytes = 0;
        }

        // Outside of the lock: whoever is called may be waiting for memory of this pool.
        trimOthers?.Invoke();
    }

    public void Dispose() => Trim();

    /// <summary>New memory, of the pool or for somebody beside it; when the device has none, what is cached goes back and it is asked once more.</summary>
    /// <param name="bytes">How much.</param>
    /// <param name="take">Takes it from the device; throws <see cref="OutOfMemoryException"/> when there is none.</param>
    public T Allocate<T>(long bytes, Func<long, T> take)
    {
        try
        {
            return take(bytes);
        }
        catch (OutOfMemoryException)
        {
            long cached = CachedBytes;
            Trim();
            try
            {
                return take(bytes);
            }
            catch (OutOfMemoryException exception)
            {
                throw new InsufficientMemoryException(
                    $"{ByteSize.Text(bytes)} were asked for; {ByteSize.Text(RentedBytes)} are in use, and the {ByteSize.Text(cached)} that were cached are given back.", exception);
            }
        }
    }

    private void Keep(PooledMemory memory)
    {
        CachedBytes += memory.CapacityBytes;
        if (!_free.TryGetValue(memory.CapacityBytes, out Stack<PooledMemory>? stack)) _free.Add(memory.CapacityBytes, stack = new());
        stack.Push(memory);
    }

    private static long SizeClass(long bytes)
    {
        if (bytes <= 64) return 64;
        long step = Math.Max(64, (long)(BitOperations.RoundUpToPowerOf2((ulong)bytes) / 2 / StepsPerDoubling));
        return (bytes + step - 1) / step * step;
    }
}
