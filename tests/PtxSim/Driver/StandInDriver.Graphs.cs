using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using MiniVlp.PtxSim.Machine;

namespace MiniVlp.PtxSim.Driver;

/// <content>Capture of streams, graphs, pools of memory, tensor maps.</content>
public static unsafe partial class StandInDriver
{
    private const int IllegalState = 401;
    private const int CaptureUnsupported = 900;
    private static readonly ConcurrentDictionary<nint, Func<int>[]> Graphs = new();
    private static readonly ConcurrentDictionary<nint, Func<int>[]> ExecutableGraphs = new();

    /// <summary>Launches of graphs so far.</summary>
    public static long GraphLaunchCount { get; private set; }

    [UnmanagedCallersOnly]
    internal static int cuStreamBeginCapture_v2(nint stream, int mode)
    {
        if (!Streams.TryGetValue(stream, out Stream? found)) return CaptureUnsupported;
        if (found.Captured is not null) return IllegalState;
        found.Captured = [];
        return Success;
    }

    [UnmanagedCallersOnly]
    internal static int cuStreamEndCapture(nint stream, nint* graph)
    {
        if (!Streams.TryGetValue(stream, out Stream? found) || found.Captured is not { } captured) return IllegalState;
        found.Captured = null;
        Graphs[*graph = NewHandle()] = [.. captured];
        return Success;
    }

    [UnmanagedCallersOnly]
    internal static int cuStreamIsCapturing(nint stream, int* status)
    {
        *status = Streams.TryGetValue(stream, out Stream? found) && found.Captured is not null ? 1 : 0;
        return Success;
    }

    [UnmanagedCallersOnly]
    internal static int cuGraphInstantiateWithFlags(nint* executable, nint graph, ulong flags) => Instantiate(executable, graph);

    [UnmanagedCallersOnly]
    internal static int cuGraphInstantiate_v2(nint* executable, nint graph, nint* node, byte* log, nuint bytes) => Instantiate(executable, graph);

    [UnmanagedCallersOnly]
    internal static int cuGraphLaunch(nint executable, nint stream)
    {
        if (!ExecutableGraphs.TryGetValue(executable, out Func<int>[]? work)) return InvalidHandle;
        GraphLaunchCount++;
        return OnStream(stream, () =>
        {
            foreach (Func<int> step in work)
                if (step() is not Success and int error) return error;
            return Success;
        });
    }

    /// <summary>An executable graph takes over another one that has as many steps.</summary>
    [UnmanagedCallersOnly]
    internal static int cuGraphExecUpdate_v2(nint executable, nint graph, int* result)
    {
        const int UpdateFailure = 910;
        if (!ExecutableGraphs.TryGetValue(executable, out Func<int>[]? old) || !Graphs.TryGetValue(graph, out Func<int>[]? work)) return InvalidHandle;
        bool fits = old.Length == work.Length;
        if (result is not null) *result = fits ? 0 : 2;
        if (fits) ExecutableGraphs[executable] = work;
        return fits ? Success : UpdateFailure;
    }

    [UnmanagedCallersOnly]
    internal static int cuGraphGetNodes(nint graph, nint* nodes, nuint* count)
    {
        if (!Graphs.TryGetValue(graph, out Func<int>[]? work)) return InvalidHandle;
        *count = (nuint)work.Length;
        return nodes is null ? Success : NotSupported;
    }

    [UnmanagedCallersOnly]
    internal static int cuGraphExecDestroy(nint executable) => ExecutableGraphs.TryRemove(executable, out _) ? Success : InvalidHandle;

    [UnmanagedCallersOnly]
    internal static int cuGraphDestroy(nint graph) => Graphs.TryRemove(graph, out _) ? Success : InvalidHandle;

    [UnmanagedCallersOnly]
    internal static int cuMemAllocAsync(ulong* address, nuint bytes, nint stream) => IsCaptured(stream) ? CaptureUnsupported : Allocate(address, bytes);

    [UnmanagedCallersOnly]
    internal static int cuMemFreeAsync(ulong address, nint stream) => IsCaptured(stream) ? CaptureUnsupported : Free(address);

    [UnmanagedCallersOnly]
    internal static int cuDeviceGetDefaultMemPool(nint* pool, int device)
    {
        *pool = 0x100;
        return Success;
    }

    [UnmanagedCallersOnly]
    internal static int cuMemPoolSetAttribute(nint pool, int attribute, void* value) => Success;

    [UnmanagedCallersOnly]
    internal static int cuMemPoolTrimTo(nint pool, nuint bytes) => Success;

    [UnmanagedCallersOnly]
    internal static int cuTensorMapEncodeTiled(byte* map, int type, uint rank, ulong address, ulong* sizes, ulong* strides, uint* box, uint* elementStrides, int interleave, int swizzle, int promotion, int fill)
    {
        try
        {
            if (rank is < 1 or > 5 || interleave != 0 || fill != 0 || (nuint)map % 64 != 0) throw new SimulationException($"a tensor map with {rank} axes, interleave {interleave}, fill {fill}, at {(nuint)map:x} is refused or not modelled");
            for (int i = 0; i < rank; i++) if (elementStrides[i] != 1) throw new SimulationException("a tensor map with element strides other than 1 is not modelled");
            long[] sizeList = new long[rank], strideList = new long[rank - 1];
            int[] boxList = new int[rank];
            for (int i = 0; i < rank; i++)
            {
                sizeList[i] = (long)sizes[i];
                boxList[i] = (int)box[i];
                if (i > 0) strideList[i - 1] = (long)strides[i - 1];
            }

            new SimulatedTensorMap(address, SimulatedTensorMap.ElementBytesOf(type), sizeList, strideList, boxList, swizzle, type == SimulatedTensorMap.TensorFloat32Type).Encode().CopyTo(new Span<byte>(map, SimulatedTensorMap.EncodedBytes));
            return Success;
        }
        catch (SimulationException exception)
        {
            return Fail(InvalidValue, exception.Message);
        }
    }

    private static int Instantiate(nint* executable, nint graph)
    {
        if (!Graphs.TryGetValue(graph, out Func<int>[]? work)) return InvalidHandle;
        ExecutableGraphs[*executable = NewHandle()] = work;
        return Success;
    }

    private static bool IsCaptured(nint stream) => Streams.TryGetValue(stream, out Stream? found) && found.Captured is not null;
}
