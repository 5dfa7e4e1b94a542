using System.Runtime.InteropServices;

namespace MiniVlp.Kernels;

/// <summary>
/// Threads that execute the chunks of a kernel without allocating. Every thread begins with a share of its own, which is the same part of
/// the chunks each time: what the last kernel left in its caches is often what the next one wants. Who is done with it takes from the shares
/// of the others. A share is handed out by an atomic ticket that carries the number of the job, so that a thread that wakes late can never
/// take a chunk of a job that has ended, and the caller never waits for a thread that has no chunk. Which thread runs a chunk is not fixed;
/// what a chunk computes is, so results do not depend on the thread count.
/// </summary>
internal sealed unsafe class WorkerPool : IDisposable
{
    private const int SpinsBeforeSleep = 200;
    private const int SpinLength = 30;
    private const uint Closed = uint.MaxValue;

    private readonly Thread[] _threads;
    private readonly Share[] _shares;
    private readonly Lock _gate = new();
    private readonly SemaphoreSlim _wake = new(0);
    private delegate*<void*, int, void> _execute;
    private void* _kernel;
    private int _count;
    private volatile bool _stopping;
    private volatile Exception? _failure;
    private Lines _lines;

    public WorkerPool(int threads)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(threads, 1);
        ThreadCount = threads;
        _shares = new Share[threads];
        foreach (ref Share share in _shares.AsSpan()) share.Ticket = Closed;
        _threads = new Thread[threads - 1];
        for (int i = 0; i < _threads.Length; i++)
        {
            int index = i + 1;
            _threads[i] = new Thread(() => Work(index)) { IsBackground = true, Name = $"MiniVlp worker {index}" };
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
            RunHere(execute, kernel, count);
            return;
        }

        try
        {
            uint job = _lines.Job + 1;
            _execute = execute;
            _kernel = kernel;
            _count = count;
            _lines.Completed = 0;
            _failure = null;
            for (int i = 0; i < _shares.Length; i++) Volatile.Write(ref _shares[i].Ticket, ((ulong)job << 32) | (uint)FirstChunk(i, count));
            Interlocked.Exchange(ref _lines.Job, job);
            int sleeping = Interlocked.Exchange(ref _lines.Sleeping, 0);
            if (sleeping > 0) _wake.Release(sleeping);

            int done = ExecuteAll(0);
            SpinWait wait = default;
            while (Volatile.Read(ref _lines.Completed) + done < count) wait.SpinOnce(sleep1Threshold: -1);
            for (int i = 0; i < _shares.Length; i++) Volatile.Write(ref _shares[i].Ticket, Closed);
            if (_failure is { } failure) throw Failed(failure);
        }
        finally
        {
            _gate.Exit();
        }
    }

    public void Dispose()
    {
        if (_stopping) return;
        _stopping = true;
        _wake.Release(_threads.Length + 1);
        foreach (Thread thread in _threads) thread.Join();
        _wake.Dispose();
    }

    private static void RunHere(delegate*<void*, int, void> execute, void* kernel, int count)
    {
        try
        {
            for (int chunk = 0; chunk < count; chunk++) execute(kernel, chunk);
        }
        catch (Exception exception)
        {
            // The same exception whatever the number of threads.
            throw Failed(exception);
        }
    }

    private static InvalidOperationException Failed(Exception exception) => new($"A kernel failed: {exception.Message}", exception);

    private void Work(int index)
    {
        int spins = 0;
        uint seen = 0;
        while (!_stopping)
        {
            uint job = Volatile.Read(ref _lines.Job);
            if (job != seen)
            {
                int done = ExecuteAll(index);
                if (done > 0) Interlocked.Add(ref _lines.Completed, done);
                seen = job;
                spins = 0;
            }
            else if (spins < SpinsBeforeSleep)
            {
                spins++;
                Thread.SpinWait(SpinLength);
            }
            else
            {
                // Announce, look again, then sleep: a job published in between is seen here or wakes us.
                Interlocked.Increment(ref _lines.Sleeping);
                if (Volatile.Read(ref _lines.Job) == seen || !Withdraw()) _wake.Wait();
                spins = 0;
            }
        }
    }

    /// <summary>
    /// Takes an announcement of sleep back; false when a caller has counted it already: its wake-up has to be used up, or one would be left
    /// over for ever and let somebody wait awake whenever there is nothing to do.
    /// </summary>
    private bool Withdraw()
    {
        int sleeping = Volatile.Read(ref _lines.Sleeping);
        while (sleeping > 0)
        {
            int found = Interlocked.CompareExchange(ref _lines.Sleeping, sleeping - 1, sleeping);
            if (found == sleeping) return true;
            sleeping = found;
        }

        return false;
    }

    /// <summary>Executes chunks until all are handed out, those of the own share first, and returns how many.</summary>
    private int ExecuteAll(int index)
    {
        int done = 0;
        for (int i = 0; i < _shares.Length; i++)
        {
            int share = index + i < _shares.Length ? index + i : index + i - _shares.Length;
            while (Take(share, out int chunk))
            {
                done++;
                try
                {
                    _execute(_kernel, chunk);
                }
#pragma warning disable CA1031 // the caller's thread rethrows it
                catch (Exception exception)
                {
                    _failure = exception;
                }
#pragma warning restore CA1031
            }
        }

        return done;
    }

    private bool Take(int share, out int chunk)
    {
        ref ulong place = ref _shares[share].Ticket;
        ulong ticket = Volatile.Read(ref place);
        while (true)
        {
            chunk = (int)(uint)ticket;
            // The count belongs to this ticket if the ticket is still the same when it is taken: it changes only while all shares are closed
            // (the gate, which is left and entered between closing and changing it, is a full fence).
            if ((uint)ticket == Closed || chunk >= FirstChunk(share + 1, _count)) return false;
            ulong found = Interlocked.CompareExchange(ref place, ticket + 1, ticket);
            if (found == ticket) return true;
            ticket = found;
        }
    }

    /// <summary>Rounded up: where there are fewer chunks than threads, the caller, who is awake, has one.</summary>
    private int FirstChunk(int share, int count) => (int)((((long)share * count) + ThreadCount - 1) / ThreadCount);

    /// <summary>The next chunk of a thread's share in the lower half, the number of the job in the upper one; in a cache line of its own, away from the length of the array.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 128)]
    private struct Share
    {
        [FieldOffset(64)]
        public ulong Ticket;
    }

    /// <summary>What all threads read and write, each in cache lines of its own.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 512)]
    private struct Lines
    {
        [FieldOffset(128)]
        public uint Job;

        [FieldOffset(256)]
        public int Completed;

        [FieldOffset(384)]
        public int Sleeping;
    }
}
