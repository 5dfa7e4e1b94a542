using System.Collections.Concurrent;
using MiniVlp.Kernels;

namespace MiniVlp.Tensors;

/// <summary>Where tensors live and operations run. All operands of an operation are on one device.</summary>
/// <param name="backend">The kernels and the memory of the device; the device disposes it.</param>
public sealed class Device(IBackend backend) : IDisposable
{
    private static readonly Lazy<Device> SharedCpu = new(() => new Device(new CpuBackend()) { IsShared = true });
    private static readonly ConcurrentDictionary<string, Lazy<Device>> SharedGpus = new(StringComparer.Ordinal);
    private static readonly Lazy<Device> SharedBest = new(() => FindBest(message => Console.Error.WriteLine($"MiniVlp: warning: {message}")));

    /// <summary>The CPU with all its processors and its widest vectors, shared by the whole process; it is never disposed.</summary>
    public static Device Cpu => SharedCpu.Value;

    /// <summary>
    /// The fastest device that works: the first CUDA device, else the first OpenCL GPU, else <see cref="Cpu"/>. A GPU that is there but cannot be
    /// opened, or fails its self-test, is passed over with one line on standard error; use <see cref="FindBest"/> to get that line elsewhere.
    /// </summary>
    public static Device Best => SharedBest.Value;

    /// <summary>The kernels and the memory of the device.</summary>
    public IBackend Backend => backend;

    /// <summary>A CPU device of its own, with its own threads and memory.</summary>
    /// <param name="threads">Number of threads including the caller's; 0 means one per processor.</param>
    /// <param name="tier">Vector width; null means the widest this machine has.</param>
    public static Device CreateCpu(int threads = 0, SimdTier? tier = null) => new(new CpuBackend(threads, tier));

    /// <summary>A CUDA device, shared by the whole process; it is never disposed.</summary>
    /// <param name="index">Which one, in the driver's order.</param>
    /// <exception cref="PlatformNotSupportedException">There is no such device, or it cannot be opened; the message says what is missing.</exception>
    public static Device Cuda(int index = 0) => Shared("cuda", index, () => GpuBackend.CreateCuda(index));

    /// <summary>An OpenCL device, shared by the whole process; it is never disposed.</summary>
    /// <param name="index">Which one, in the order of platforms and their devices.</param>
    /// <exception cref="PlatformNotSupportedException">There is no such device, or it cannot be opened; the message says what is missing.</exception>
    public static Device OpenCl(int index = 0) => Shared("opencl", index, () => GpuBackend.CreateOpenCl(index));

    /// <summary>
    /// The GPU kernels as ordinary .NET code on the CPU, shared by the whole process: breakpoints inside of kernels work, and it is over a
    /// thousand times slower than a GPU. For debugging; see docs/debugging.md.
    /// </summary>
    public static Device IlgpuCpu() => Shared("ilgpu-cpu", 0, () => GpuBackend.CreateIlgpuCpu());

    /// <summary>The fastest device that works, as <see cref="Best"/>.</summary>
    /// <param name="warn">Gets one sentence for each GPU that is there and cannot be used.</param>
    public static Device FindBest(Action<string> warn)
    {
        foreach (GpuDeviceInfo found in GpuSearch.Find().Devices.Where(device => device.IsGpu && device.Problem is null))
        {
            try
            {
                Device device = found.Kind == "cuda" ? Cuda(found.Index) : OpenCl(found.Index);
                if (((GpuBackend)device.Backend).SelfTest() is not { } failure) return device;
                warn($"{found.Id} ({found.Name}) failed its self-test and is not used: {failure}.");
            }
            catch (PlatformNotSupportedException exception)
            {
                warn($"{found.Id} ({found.Name}) cannot be used: {exception.Message}");
            }
        }

        return Cpu;
    }

    /// <summary>Stops the device's threads and frees its memory.</summary>
    public void Dispose()
    {
        if (!IsShared) backend.Dispose();
    }

    /// <summary>The backend's name, such as <c>cpu-512</c>.</summary>
    public override string ToString() => backend.Name;

    /// <summary>Whether the process shares this device, so that nobody may dispose it.</summary>
    private bool IsShared { get; init; }

    private static Device Shared(string kind, int index, Func<IBackend> create)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        string key = $"{kind}:{index}";
        Lazy<Device> shared = SharedGpus.GetOrAdd(key, _ => new Lazy<Device>(() => new Device(create()) { IsShared = true }));
        try
        {
            return shared.Value;
        }
        catch
        {
            // It would be thrown for ever; a device that is busy or full now may be opened later.
            SharedGpus.TryRemove(KeyValuePair.Create(key, shared));
            throw;
        }
    }
}
