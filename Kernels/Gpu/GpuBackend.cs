using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.CPU;
using ILGPU.Runtime.Cuda;
using ILGPU.Runtime.OpenCL;
using MiniVlp.Kernels.Gpu;
using MiniVlp.Kernels.Gpu.Cuda;

namespace MiniVlp.Kernels;

/// <summary>
/// A GPU through ILGPU: CUDA, OpenCL, or ILGPU's CPU accelerator for debugging. Every kernel is a C# struct (see IGpuKernel in Gpu/);
/// memory comes from a pool, and all work goes onto one stream in order, so that nothing but a download waits for the device. One thread at a time
/// uses a device.
/// </summary>
public sealed partial class GpuBackend : IBackend
{
    private readonly Context _context;
    private readonly Accelerator _accelerator;
    private readonly AcceleratorStream _stream;
    private readonly BufferPool _pool;
    private readonly ConcurrentDictionary<Type, KernelLauncher> _launchers = new();
    private readonly KernelCache? _kernels;
    private readonly UploadRing? _uploads;

    private GpuBackend(Context context, ILGPU.Runtime.Device device, string name, bool checkGuards)
    {
        _context = context;
        Name = name;
        GpuIntrinsics.Register(context);
        _accelerator = device.CreateAccelerator(context);
        _stream = _accelerator.CreateStream();
        _pool = new BufferPool(bytes => GpuMemory.Allocate(_accelerator, _stream, _recorder, bytes), checkGuards, () => _uploads?.Trim());
        if (_accelerator is CudaAccelerator cuda)
        {
            _kernels = new KernelCache(PtxTarget.Of(cuda), KernelCache.DefaultFolder());
            _uploads = new UploadRing(cuda, (CudaStream)_stream, _pool);
        }
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <summary>The name that the driver gives the device.</summary>
    public string DeviceName => _accelerator.Name;

    /// <summary>Whether uploads return before they have arrived and travel beside the kernels: on CUDA. Elsewhere an upload waits for the device.</summary>
    public bool UploadsBesideKernels => _uploads is not null;

    /// <summary>Multiprocessors of the device.</summary>
    internal int Multiprocessors => _accelerator.NumMultiprocessors;

    /// <summary>Where kernels come from on CUDA; null elsewhere.</summary>
    internal KernelCache? KernelSource => _kernels;

    /// <inheritdoc/>
    public int RentedCount => _pool.RentedCount;

    /// <summary>Bytes rented out now.</summary>
    public long RentedBytes => _pool.RentedBytes;

    /// <summary>Bytes returned and kept for the next rent.</summary>
    public long CachedBytes => _pool.CachedBytes;

    /// <summary>A CUDA device.</summary>
    /// <param name="index">Which one, in the driver's order.</param>
    /// <param name="checkGuards">Test mode: fresh buffers hold NaN and writes outside of a buffer throw when it is returned.</param>
    /// <exception cref="PlatformNotSupportedException">There is no such device, or the driver does not open it; the message says why.</exception>
    public static GpuBackend CreateCuda(int index = 0, bool checkGuards = false)
        => Create(builder => builder.Cuda(device => GpuSearch.ProblemOf(device) is null), AcceleratorType.Cuda, "cuda", index, checkGuards);

    /// <summary>An OpenCL device.</summary>
    /// <param name="index">Which one, in the order of platforms and their devices.</param>
    /// <param name="checkGuards">Test mode: fresh buffers hold NaN and writes outside of a buffer throw when it is returned.</param>
    /// <exception cref="PlatformNotSupportedException">There is no such device, none with what compiled kernels need, or the driver does not open it; the message says why.</exception>
    public static GpuBackend CreateOpenCl(int index = 0, bool checkGuards = false)
        => Create(builder => builder.OpenCL(device => GpuSearch.ProblemOf(device) is null), AcceleratorType.OpenCL, "opencl", index, checkGuards);

    /// <summary>
    /// ILGPU's CPU accelerator, which runs the kernels as ordinary .NET code: a breakpoint inside of a kernel works. Barriers make it over a
    /// thousand times slower than a GPU, so it is for debugging and for tiny tests.
    /// </summary>
    /// <param name="checkGuards">Test mode: fresh buffers hold NaN and writes outside of a buffer throw when it is returned.</param>
    public static GpuBackend CreateIlgpuCpu(bool checkGuards = false)
        => Create(builder => builder.CPU(new CPUDevice(numThreadsPerWarp: 32, numWarpsPerMultiprocessor: 8, numMultiprocessors: 1)), AcceleratorType.CPU, "ilgpu-cpu", 0, checkGuards);

    /// <summary>Computes a few things whose results are known; null when they are right, else a sentence that says what is not.</summary>
    public string? SelfTest() => GpuSelfTest.Run(this);

    /// <summary>Memory of the device in bytes.</summary>
    public long MemoryBytes => _accelerator.MemorySize;

    /// <summary>Waits until the device has done everything that was asked of it.</summary>
    public void Synchronize()
    {
        ThrowIfCapturing("waiting for the device");
        _stream.Synchronize();
    }

    /// <summary>Elements that an upload takes at a time; tests set it low.</summary>
    internal int UploadPiece { get; set; } = 64 << 20;

    /// <summary>Gives cached memory back to the device, and what uploads keep for the next ones.</summary>
    public void Trim()
    {
        Synchronize();
        _pool.Trim();
    }

    /// <inheritdoc/>
    public DeviceBuffer Rent(int length, ElementType elementType = ElementType.Float32) => new(_pool.Rent(length, elementType), 0, length);

    /// <inheritdoc/>
    public void Return(DeviceBuffer buffer)
    {
        GpuMemory memory = (GpuMemory)buffer.Memory!;
        DropCopy(memory);
        memory.IsConstant = false;
        _pool.Return(memory);
    }

    /// <inheritdoc/>
    public void Upload(ReadOnlySpan<float> source, DeviceBuffer destination)
    {
        if (source.Length > 0) Upload(source, Output(destination));
    }

    /// <inheritdoc/>
    public void Upload(ReadOnlySpan<int> source, DeviceBuffer destination)
    {
        if (source.Length > 0) Upload(MemoryMarshal.Cast<int, float>(source), Output(destination));
    }

    /// <inheritdoc/>
    public void Download(DeviceBuffer source, Span<float> destination)
    {
        if (destination.Length == 0) return;
        ThrowIfCapturing("a download");
        Input(source).CopyToCPU(_stream, destination);
        _stream.Synchronize();
    }

    /// <inheritdoc/>
    public void Download(DeviceBuffer source, Span<int> destination)
    {
        if (destination.Length == 0) return;
        ThrowIfCapturing("a download");
        IntInput(source).CopyToCPU(_stream, destination);
        _stream.Synchronize();
    }

    /// <inheritdoc/>
    public void Copy(DeviceBuffer source, DeviceBuffer destination)
    {
        if (source.Length > 0) Input(source).CopyTo(_stream, Output(destination));
    }

    /// <summary>Waits for the device and frees its memory.</summary>
    public void Dispose()
    {
        _stream.Synchronize();
        foreach (GpuGraph graph in _graphs.ToArray()) graph.Dispose();
        _uploads?.Dispose();
        foreach (KernelLauncher launcher in _launchers.Values) launcher.Dispose();
        _tensorMaps?.Dispose();
        _pool.Dispose();
        _stream.Dispose();
        _accelerator.Dispose();
        _context.Dispose();
        _kernels?.Dispose();
    }

    /// <summary>In pieces: a span of bytes ends at 2 GiB, and so does what eight of them under way keep page-locked.</summary>
    private void Upload(ReadOnlySpan<float> source, ArrayView<float> destination)
    {
        ThrowIfCapturing("an upload");
        for (long start = 0; start < source.Length; start += UploadPiece)
        {
            ReadOnlySpan<float> values = source.Slice((int)start, (int)Math.Min(UploadPiece, source.Length - start));
            ArrayView<float> piece = destination.SubView(start, values.Length);
            if (_uploads is not null) _uploads.Upload(MemoryMarshal.AsBytes(values), ViewArgument.Address(ref piece));
            else piece.CopyFromCPU(_stream, values);
        }
    }

    private static GpuBackend Create(Action<Context.Builder> addDevices, AcceleratorType type, string name, int index, bool checkGuards)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        CudaLibrary.Install();
        string id = index == 0 ? name : $"{name}:{index}";
        Context? context = null;
        try
        {
            context = Context.Create(builder =>
            {
                addDevices(builder);
                builder.EnableAlgorithms().Optimize(OptimizationLevel.O2).Inlining(InliningMode.Aggressive);
            });
            ILGPU.Runtime.Device[] devices = [.. context.Devices.Where(device => device.AcceleratorType == type)];
            if (index >= devices.Length)
            {
                GpuSearchResult search = GpuSearch.Find();
                string why = string.Join(" ", search.Notes.Where(note => note.StartsWith(name, StringComparison.Ordinal))
                    .Concat(search.Devices.Where(device => device.Kind == name && device.Problem is not null).Select(device => $"{device.Name}: {device.Problem}.")));
                throw new PlatformNotSupportedException($"There is no device {name}:{index}; {devices.Length} {(devices.Length == 1 ? "was" : "were")} found. {why}".TrimEnd());
            }

            return new GpuBackend(context, devices[index], id, checkGuards);
        }
        catch (Exception exception) when (exception is not PlatformNotSupportedException && GpuFailure.Is(exception))
        {
            context?.Dispose();
            throw new PlatformNotSupportedException($"The device {id} is there and cannot be opened: {exception.Message}", exception);
        }
        catch
        {
            context?.Dispose();
            throw;
        }
    }

    /// <summary>The elements of a buffer that a kernel reads; an empty view for one that is absent.</summary>
    internal static ArrayView<float> Input(DeviceBuffer buffer)
        => buffer.Memory is null ? default : ((GpuMemory)buffer.Memory).View.SubView(buffer.Offset, buffer.Length);

    /// <summary>The elements of a buffer that a kernel writes, or changes; an empty view for one that is absent.</summary>
    internal static ArrayView<float> Output(DeviceBuffer buffer)
    {
        if (buffer.Memory is null) return default;
        ((GpuMemory)buffer.Memory).MarkWritten();
        return Input(buffer);
    }

    /// <summary>The integers of a buffer that a kernel reads.</summary>
    private static ArrayView<int> IntInput(DeviceBuffer buffer) => buffer.Memory is null ? default : Input(buffer).Cast<int>();

    /// <summary>The integers of a buffer that a kernel writes.</summary>
    private static ArrayView<int> IntOutput(DeviceBuffer buffer) => buffer.Memory is null ? default : Output(buffer).Cast<int>();

    /// <summary>A gradient for a kernel; empty when it is not wanted.</summary>
    private static GpuTarget Target(GradientTarget target) => new(Output(target.Buffer), target.Accumulate ? 1 : 0);
}
