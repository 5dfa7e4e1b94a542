using MiniVlp.Kernels;

namespace MiniVlp.Tensors;

/// <summary>Where tensors live and operations run. All operands of an operation are on one device.</summary>
/// <param name="backend">The kernels and the memory of the device; the device disposes it.</param>
public sealed class Device(IBackend backend) : IDisposable
{
    private static readonly Lazy<Device> SharedCpu = new(() => new Device(new CpuBackend()));

    /// <summary>The CPU with all its processors and its widest vectors, shared by the whole process; it is never disposed.</summary>
    public static Device Cpu => SharedCpu.Value;

    /// <summary>The kernels and the memory of the device.</summary>
    public IBackend Backend => backend;

    /// <summary>A CPU device of its own, with its own threads and memory.</summary>
    /// <param name="threads">Number of threads including the caller's; 0 means one per processor.</param>
    /// <param name="tier">Vector width; null means the widest this machine has.</param>
    public static Device CreateCpu(int threads = 0, SimdTier? tier = null) => new(new CpuBackend(threads, tier));

    /// <summary>Stops the device's threads and frees its memory.</summary>
    public void Dispose()
    {
        if (SharedCpu.IsValueCreated && ReferenceEquals(this, SharedCpu.Value)) return;
        backend.Dispose();
    }

    /// <summary>The backend's name, such as <c>cpu-512</c>.</summary>
    public override string ToString() => backend.Name;
}
