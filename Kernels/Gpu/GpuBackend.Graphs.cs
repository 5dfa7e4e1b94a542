using ILGPU.Runtime.Cuda;
using MiniVlp.Kernels.Gpu;
using MiniVlp.Kernels.Gpu.Cuda;

namespace MiniVlp.Kernels;

/// <content>CUDA graphs.</content>
public sealed partial class GpuBackend
{
    private readonly GraphRecorder _recorder = new();
    private readonly List<GpuGraph> _graphs = [];

    /// <summary>Whether <see cref="Capture"/> works on this device.</summary>
    public bool SupportsGraphs => _accelerator is CudaAccelerator;

    /// <summary>
    /// Runs <paramref name="body"/> without doing its work, and keeps the work as a graph that can be launched any number of times.
    /// </summary>
    /// <remarks>
    /// Run the body once before it is captured, so that its kernels are compiled and its memory is in the pool. Inside of it nothing may wait for
    /// the device: no download, no upload, no <see cref="Synchronize"/>, so neither anything that asks the device for a number. Only one
    /// thread may use the device meanwhile. What the body rents and returns it reuses as always; what it rents and keeps, the caller returns.
    /// </remarks>
    /// <param name="body">Puts the work onto the stream.</param>
    /// <exception cref="PlatformNotSupportedException">The device is not CUDA.</exception>
    /// <exception cref="InvalidOperationException">A capture is going on already, or the body did something that cannot be captured.</exception>
    public GpuGraph Capture(Action body)
    {
        ArgumentNullException.ThrowIfNull(body);
        if (!SupportsGraphs) throw new PlatformNotSupportedException($"{Name}: graphs are captured on CUDA alone.");
        GpuGraph graph = new(this);
        graph.Update(body);
        _graphs.Add(graph);
        _recorder.Graphs = _graphs.Count;
        return graph;
    }

    /// <summary>Captures the body, and changes an executable graph in place where that is possible.</summary>
    /// <param name="body">Puts the work onto the stream.</param>
    /// <param name="held">Takes the memory that the body works in.</param>
    /// <param name="previous">The executable graph to change; 0: make one.</param>
    internal unsafe (nint Executable, bool InPlace) CaptureGraph(Action body, HeldMemory held, nint previous)
    {
        ThrowIfCapturing("another capture");
        _accelerator.Bind();
        nint graph = 0, executable = previous;
        try
        {
            graph = Record(body, held);
            CudaDriver.GraphUpdateResult result;
            if (executable != 0 && CudaDriver.UpdateGraph(executable, graph, &result) == 0) return (executable, true);
            if (executable != 0) _ = CudaDriver.DestroyExecutableGraph(executable);
            executable = 0;
            CudaDriver.ThrowIfFailed(CudaDriver.InstantiateGraph(out executable, graph, 0));
            return (executable, false);
        }
        catch
        {
            if (executable != 0) _ = CudaDriver.DestroyExecutableGraph(executable);
            throw;
        }
        finally
        {
            if (graph != 0) _ = CudaDriver.DestroyGraph(graph);
        }
    }

    internal void LaunchGraph(nint executable)
    {
        ThrowIfCapturing("the launch of a graph");
        _accelerator.Bind();
        CudaDriver.ThrowIfFailed(CudaDriver.LaunchGraph(executable, ((CudaStream)_stream).StreamPtr));
        _recorder.OnLaunch();
    }

    internal void ReleaseHeld(HeldMemory held) => _pool.Release(held);

    internal void Forget(GpuGraph graph, nint executable)
    {
        _graphs.Remove(graph);
        _recorder.Graphs = _graphs.Count;
        if (executable == 0) return;
        _accelerator.Bind();
        _ = CudaDriver.DestroyExecutableGraph(executable);
    }

    private nint Record(Action body, HeldMemory held)
    {
        nint stream = ((CudaStream)_stream).StreamPtr, graph = 0;

        // Relaxed: a kernel or a block of memory that is needed for the first time may still be asked of the driver.
        CudaDriver.ThrowIfFailed(CudaDriver.BeginCapture(stream, CudaDriver.CaptureMode.Relaxed));
        _recorder.Begin(held);
        _pool.Recording = held;
        bool succeeded = false;
        try
        {
            body();
            succeeded = true;
        }
        finally
        {
            _pool.Recording = null;
            _recorder.End();
            int result = CudaDriver.EndCapture(stream, out graph);
            if (succeeded) CudaDriver.ThrowIfFailed(result);
            else if (result == 0 && graph != 0) _ = CudaDriver.DestroyGraph(graph);
        }

        return graph;
    }

    private void ThrowIfCapturing(string what)
    {
        if (_recorder.Held is not null) throw new InvalidOperationException($"{Name}: {what} cannot be part of a captured graph.");
    }
}
