namespace MiniVlp.Kernels;

/// <summary>
/// Threads that execute the chunks of a kernel without allocating. Chunks are handed out by one atomic ticket that carries the number
/// of the job, so that a thread that wakes late can never take a chunk of a job that has ended, and the caller never waits for a thread
/// that has no chunk. Which thread runs a chunk is not fixed; what a chunk computes is, so results do not depend on the thread count.
/// </summary>
internal sealed unsafe class WorkerPool : IDisposable
{
    private const int SpinsBeforeSleep = 200;
    private const int SpinLength = 30;
    private const uint Closed = uint.MaxValue;

    private readonly Thread[] _threads;
    private readonly Lock _gate = new();
    private readonly SemaphoreSlim _wake = new(0);
    private delegate*<void*, int, void> _execute;
    private void* _kernel;
    private int _count;
    private int _completed;
    private int _sleeping;
    private ulong _ticket = Closed;                 // job number in the upper half, next chunk in the lower half
    private volatile bool _stopping;
    private volatile Exception? _failure;

    public WorkerPool(int threads)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(threads, 1);
        ThreadCount = threads;
        _threads = new Thread[threads - 1];
        for (int i = 0; i < _threads.Length; i++)
        {
            _threads[i] = new Thread(Work) { IsBackground = true, Name = $"MiniVlp worker {i + 1}" };
            _threads[i].Start();
        }
    }

    public int ThreadCount { get; }

    /// <summary>Calls <paramref name="execute"/>(kernel, chunk) once for every chunk in 0 .. count-1 and returns when all have ended.</summary>
    public void Run(delegate*<void*, int, void> execute, void* kernel, int count)
    {
        // A second caller, or a kernel that runs a kernel, does its chunks itself: the same chunks give the same result.
        if (count <= 1 || _threads.Length == 0 || _gate.IsHeldByCurrentThread || !_gate.TryEnter())
        {
            for (int chunk = 0; chunk < count; chunk++) execute(kernel, chunk);
            return;
        }

        try
        {
            uint job = (uint)(_ticket >> 32) + 1;
            _execute = execute;
            _kernel = kernel;
            _count = count;
            _completed = 0;
            _failure = null;
            Interlocked.Exchange(ref _ticket, (ulong)job << 32);
            int sleeping = Interlocked.Exchange(ref _sleeping, 0);
            if (sleeping > 0) _wake.Release(sleeping);

            while (TakeAndExecute()) { }
            SpinWait wait = default;
            while (Volatile.Read(ref _completed) < count) wait.SpinOnce(sleep1Threshold: -1);
            Interlocked.Exchange(ref _ticket, ((ulong)job << 32) | Closed);
            if (_failure is { } failure) throw new InvalidOperationException($"A kernel failed on a worker thread: {failure.Message}", failure);
        }
        finally
        {
            _gate.Exit();
        }
    }

    public void Dispose()
    {
        _stopping = true;
        _wake.Release(_threads.Length + 1);
        foreach (Thread thread in _threads) thread.Join();
        _wake.Dispose();
    }

    private void Work()
    {
        int spins = 0;
        while (!_stopping)
        {
            if (TakeAndExecute())
            {
                spins = 0;
            }
            else if (spins < SpinsBeforeSleep)
            {
                spins++;
                Thread.SpinWait(SpinLength);
            }
            else
            {
                // Announce, look again, then sleep: a job published in between is seen here or wakes us. A wake-up too many is harmless.
                Interlocked.Increment(ref _sleeping);
                if (!HasWork()) _wake.Wait();
                spins = 0;
            }
        }
    }

    private bool HasWork()
    {
        ulong ticket = Interlocked.Read(ref _ticket);
        return (uint)ticket != Closed && (uint)ticket < (uint)Volatile.Read(ref _count);
    }

    private bool TakeAndExecute()
    {
        ulong ticket = Interlocked.Read(ref _ticket);
        if ((uint)ticket == Closed) return false;
        delegate*<void*, int, void> execute = _execute;
        void* kernel = _kernel;
        if ((uint)ticket >= (uint)Volatile.Read(ref _count)) return false;
        // The fields above belong to this ticket if the ticket is still the same now: they change only while it is closed.
        if (Interlocked.CompareExchange(ref _ticket, ticket + 1, ticket) != ticket) return true;
        try
        {
            execute(kernel, (int)(uint)ticket);
        }
#pragma warning disable CA1031 // the caller's thread rethrows it
        catch (Exception exception)
        {
            _failure = exception;
        }
#pragma warning restore CA1031
        Interlocked.Increment(ref _completed);
        return true;
    }
}
