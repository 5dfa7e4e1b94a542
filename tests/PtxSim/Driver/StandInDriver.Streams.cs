using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.InteropServices;

namespace MiniVlp.PtxSim.Driver;

/// <content>
/// Streams and events. Work is done when it is asked for, except while a stream is being captured, and except in lazy mode, in which it is done
/// as late as it may be: when somebody waits for it.
/// </content>
public static unsafe partial class StandInDriver
{
    private const int NotReady = 600;
    private static readonly Lock DrainLock = new();
    private static readonly ConcurrentDictionary<nint, Stream> Streams = new();
    private static readonly ConcurrentDictionary<nint, Event> Events = new();

    /// <summary>
    /// Whether work stays on its stream until something waits for it. On a GPU it may be done at any time from when it is asked for until then; what
    /// is right both ways, at once and as late as possible, has said what it depends on.
    /// </summary>
    public static bool IsLazy { get; set; }

    /// <summary>Whether streams go on without waiting for events: a fault that tests put in.</summary>
    public static bool IgnoresWaits { get; set; }

    [UnmanagedCallersOnly]
    internal static int cuStreamCreate(nint* stream, uint flags) => CreateStream(stream);

    [UnmanagedCallersOnly]
    internal static int cuStreamCreateWithPriority(nint* stream, uint flags, int priority) => CreateStream(stream);

    [UnmanagedCallersOnly]
    internal static int cuStreamDestroy_v2(nint stream)
    {
        if (!Streams.TryRemove(stream, out Stream? removed)) return InvalidHandle;
        removed.Drain();
        return Success;
    }

    [UnmanagedCallersOnly]
    internal static int cuStreamSynchronize(nint stream) => Streams.TryGetValue(stream, out Stream? waited) ? waited.Drain() : DrainAll();

    [UnmanagedCallersOnly]
    internal static int cuStreamQuery(nint stream) => Streams.TryGetValue(stream, out Stream? queried) && !queried.IsDone(long.MaxValue) ? NotReady : Success;

    [UnmanagedCallersOnly]
    internal static int cuStreamWaitEvent(nint stream, nint waited, uint flags)
    {
        if (!Events.TryGetValue(waited, out Event found)) return InvalidHandle;
        if (IgnoresWaits || IsCaptured(stream)) return Success;
        return OnStream(stream, () => found.On?.Drain(found.Mark) ?? Success);
    }

    [UnmanagedCallersOnly]
    internal static int cuEventCreate(nint* created, uint flags)
    {
        Events[*created = NewHandle()] = default;
        return Success;
    }

    [UnmanagedCallersOnly]
    internal static int cuEventDestroy_v2(nint destroyed) => Events.TryRemove(destroyed, out _) ? Success : InvalidHandle;

    [UnmanagedCallersOnly]
    internal static int cuEventQuery(nint queried)
        => !Events.TryGetValue(queried, out Event found) ? InvalidHandle : found.On?.IsDone(found.Mark) == false ? NotReady : Success;

    [UnmanagedCallersOnly]
    internal static int cuEventRecord(nint recorded, nint stream)
    {
        if (!Events.ContainsKey(recorded)) return InvalidHandle;
        Streams.TryGetValue(stream, out Stream? on);
        Events[recorded] = new Event(Stopwatch.GetTimestamp(), on, on?.Asked ?? 0);
        return Success;
    }

    [UnmanagedCallersOnly]
    internal static int cuEventSynchronize(nint waited) => Events.TryGetValue(waited, out Event found) ? found.On?.Drain(found.Mark) ?? Success : InvalidHandle;

    [UnmanagedCallersOnly]
    internal static int cuEventElapsedTime(float* milliseconds, nint start, nint end)
    {
        if (!Events.TryGetValue(start, out Event from) || !Events.TryGetValue(end, out Event to)) return InvalidHandle;
        *milliseconds = (float)Stopwatch.GetElapsedTime(from.Time, to.Time).TotalMilliseconds;
        return Success;
    }

    private static int CreateStream(nint* stream)
    {
        Streams[*stream = NewHandle()] = new Stream();
        return Success;
    }

    /// <summary>Does work now, or keeps it for a graph while the stream is being captured, or until somebody waits in lazy mode.</summary>
    private static int OnStream(nint stream, Func<int> work)
    {
        if (!Streams.TryGetValue(stream, out Stream? found))
        {
            // The default stream comes after everything.
            int before = DrainAll();
            return before == Success ? work() : before;
        }

        if (found.Captured is { } captured)
        {
            captured.Add(work);
            return Success;
        }

        if (IsLazy)
        {
            found.Ask(work);
            return Success;
        }

        int earlier = found.Drain();
        return earlier == Success ? work() : earlier;
    }

    private static int DrainAll()
    {
        foreach (Stream stream in Streams.Values)
            if (stream.Drain() is not Success and int error) return error;
        return Success;
    }

    /// <summary>What an event stands for: everything that a stream was asked for before.</summary>
    private readonly record struct Event(long Time, Stream? On, long Mark);

    private sealed class Stream
    {
        private readonly Queue<Func<int>> _pending = new();
        private long _done;

        /// <summary>What was asked for since the capture began; null where none is going on.</summary>
        public List<Func<int>>? Captured { get; set; }

        /// <summary>How much was ever asked for in lazy mode.</summary>
        public long Asked { get; private set; }

        public bool IsDone(long mark) => _done >= Math.Min(mark, Asked);

        public void Ask(Func<int> work)
        {
            lock (DrainLock)
            {
                _pending.Enqueue(work);
                Asked++;
            }
        }

        /// <summary>Does what was asked for, up to a mark.</summary>
        public int Drain(long mark = long.MaxValue)
        {
            lock (DrainLock)
            {
                while (_done < mark && _pending.TryDequeue(out Func<int>? work))
                {
                    _done++;
                    if (work() is not Success and int error) return error;
                }

                return Success;
            }
        }
    }
}
