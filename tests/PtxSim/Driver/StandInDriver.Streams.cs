using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.InteropServices;

namespace MiniVlp.PtxSim.Driver;

/// <content>Streams and events: everything is done when it is asked for, except while a stream is being captured.</content>
public static unsafe partial class StandInDriver
{
    private static readonly ConcurrentDictionary<nint, Stream> Streams = new();
    private static readonly ConcurrentDictionary<nint, long> Events = new();

    [UnmanagedCallersOnly]
    internal static int cuStreamCreate(nint* stream, uint flags) => CreateStream(stream);

    [UnmanagedCallersOnly]
    internal static int cuStreamCreateWithPriority(nint* stream, uint flags, int priority) => CreateStream(stream);

    [UnmanagedCallersOnly]
    internal static int cuStreamDestroy_v2(nint stream) => Streams.TryRemove(stream, out _) ? Success : InvalidHandle;

    [UnmanagedCallersOnly]
    internal static int cuStreamSynchronize(nint stream) => Success;

    [UnmanagedCallersOnly]
    internal static int cuStreamQuery(nint stream) => Success;

    [UnmanagedCallersOnly]
    internal static int cuStreamWaitEvent(nint stream, nint waited, uint flags) => Events.ContainsKey(waited) ? Success : InvalidHandle;

    [UnmanagedCallersOnly]
    internal static int cuEventCreate(nint* created, uint flags)
    {
        Events[*created = NewHandle()] = 0;
        return Success;
    }

    [UnmanagedCallersOnly]
    internal static int cuEventDestroy_v2(nint destroyed) => Events.TryRemove(destroyed, out _) ? Success : InvalidHandle;

    [UnmanagedCallersOnly]
    internal static int cuEventQuery(nint queried) => Events.ContainsKey(queried) ? Success : InvalidHandle;

    [UnmanagedCallersOnly]
    internal static int cuEventRecord(nint recorded, nint stream)
    {
        if (!Events.ContainsKey(recorded)) return InvalidHandle;
        Events[recorded] = Stopwatch.GetTimestamp();
        return Success;
    }

    [UnmanagedCallersOnly]
    internal static int cuEventSynchronize(nint waited) => Events.ContainsKey(waited) ? Success : InvalidHandle;

    [UnmanagedCallersOnly]
    internal static int cuEventElapsedTime(float* milliseconds, nint start, nint end)
    {
        if (!Events.TryGetValue(start, out long from) || !Events.TryGetValue(end, out long to)) return InvalidHandle;
        *milliseconds = (float)Stopwatch.GetElapsedTime(from, to).TotalMilliseconds;
        return Success;
    }

    private static int CreateStream(nint* stream)
    {
        Streams[*stream = NewHandle()] = new Stream();
        return Success;
    }

    /// <summary>Does work now, or keeps it for a graph while the stream is being captured.</summary>
    private static int OnStream(nint stream, Func<int> work)
    {
        if (!Streams.TryGetValue(stream, out Stream? found) || found.Captured is not { } captured) return work();
        captured.Add(work);
        return Success;
    }

    private sealed class Stream
    {
        /// <summary>What was asked for since the capture began; null where none is going on.</summary>
        public List<Func<int>>? Captured { get; set; }
    }
}
