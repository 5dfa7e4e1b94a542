using System.Runtime.InteropServices;
using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;
using ILGPU.Runtime.OpenCL;

namespace MiniVlp.Kernels.Gpu;

/// <summary>Memory of an accelerator with room for guards on both sides.</summary>
internal sealed class GpuMemory : PooledMemory
{
    private const int GuardFloats = GuardBytes / sizeof(float);
    private readonly MemoryBuffer1D<float, Stride1D.Dense> _allocation;
    private readonly AcceleratorStream _stream;
    private readonly GraphRecorder _recorder;
    private readonly ArrayView<float> _view;
    private long _writes;

    private GpuMemory(long capacityBytes, MemoryBuffer1D<float, Stride1D.Dense> allocation, AcceleratorStream stream, GraphRecorder recorder)
        : base(capacityBytes)
    {
        _allocation = allocation;
        _stream = stream;
        _recorder = recorder;
        _view = allocation.View.BaseView.SubView(GuardFloats, capacityBytes / sizeof(float));
        GC.AddMemoryPressure(capacityBytes);
    }

    /// <summary>A tensor that nobody disposed: ILGPU frees the allocation, this takes the pressure off the collector.</summary>
    ~GpuMemory() => GC.RemoveMemoryPressure(CapacityBytes);

    /// <summary>All elements that fit, for work that is put onto the stream now; a graph that is being captured notes the block.</summary>
    public ArrayView<float> View
    {
        get
        {
            _recorder.Held?.Add(this);
            return _view;
        }
    }

    /// <summary>
    /// Grows with every kernel that writes to this memory, so that a converted copy of it can be told to be out of date. A capture and a launch of
    /// a graph make it grow too: a copy from inside a capture is not made yet, and what a graph writes is known to nobody else.
    /// </summary>
    public long Version => IsConstant ? _writes : _writes + _recorder.Epoch;

    /// <summary>Whether these elements are written no more, by a graph neither: a copy of them stays right. Until the memory is returned.</summary>
    public bool IsConstant { get; set; }

    /// <exception cref="OutOfMemoryException">The device has no such block left.</exception>
    public static GpuMemory Allocate(Accelerator accelerator, AcceleratorStream stream, GraphRecorder recorder, long capacityBytes)
    {
        try
        {
            return new GpuMemory(capacityBytes, accelerator.Allocate1D<float>((capacityBytes + (2 * GuardBytes)) / sizeof(float)), stream, recorder);
        }
        catch (CudaException exception) when (exception.Error == nameof(CudaError.CUDA_ERROR_OUT_OF_MEMORY))
        {
            throw new InsufficientMemoryException($"{accelerator.Name} has no {ByteSize.Text(capacityBytes)} left.", exception);
        }
        catch (CLException exception) when (exception.Error is CLError.CL_MEM_OBJECT_ALLOCATION_FAILURE or CLError.CL_OUT_OF_RESOURCES or CLError.CL_OUT_OF_HOST_MEMORY or CLError.CL_INVALID_BUFFER_SIZE)
        {
            throw new InsufficientMemoryException($"{accelerator.Name} has no {ByteSize.Text(capacityBytes)} left.", exception);
        }
    }

    /// <summary>These elements in bfloat16, if they were converted; out of date where it names another version.</summary>
    public BFloat16Copy? Copy { get; set; }

    /// <summary>Which elements were converted the last time that they were asked for in bfloat16: what is written there next may well be wanted so again.</summary>
    public (int Offset, int Length) LastConverted { get; set; }

    /// <summary>Whether the copy was written together with the elements, and nobody has asked for it yet.</summary>
    public bool IsCopyUnused { get; set; }

    /// <summary>Notes that a kernel is about to write here.</summary>
    public void MarkWritten() => _writes++;

    public override void Poison()
    {
        float[] values = new float[(2 * GuardFloats) + Length];
        Array.Fill(values, float.NaN);
        Span<byte> bytes = MemoryMarshal.AsBytes(values.AsSpan());
        bytes[..GuardBytes].Fill(GuardPattern);
        bytes[^GuardBytes..].Fill(GuardPattern);
        _allocation.View.BaseView.SubView(0, values.Length).CopyFromCPU(_stream, values);
        _stream.Synchronize();
    }

    public override bool GuardsAreIntact() => IsGuard(0) && IsGuard(GuardFloats + Length);

    public override void Free()
    {
        _allocation.Dispose();
        GC.RemoveMemoryPressure(CapacityBytes);
        GC.SuppressFinalize(this);
    }

    private bool IsGuard(long start)
    {
        float[] guard = new float[GuardFloats];
        _allocation.View.BaseView.SubView(start, GuardFloats).CopyToCPU(_stream, guard);
        _stream.Synchronize();
        return !MemoryMarshal.AsBytes(guard.AsSpan()).ContainsAnyExcept(GuardPattern);
    }
}
