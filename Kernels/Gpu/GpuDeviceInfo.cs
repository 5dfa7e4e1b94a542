namespace MiniVlp.Kernels;

/// <summary>A device that a search found, usable or not.</summary>
/// <param name="Kind"><c>cuda</c> or <c>opencl</c>.</param>
/// <param name="Index">What to give to <see cref="GpuBackend.CreateCuda"/> or <see cref="GpuBackend.CreateOpenCl"/>; -1 for a device that cannot be used.</param>
/// <param name="Name">The driver's name of it.</param>
/// <param name="MemoryBytes">Memory of the device.</param>
/// <param name="IsGpu">False for OpenCL on a CPU, which the CPU backend outruns.</param>
/// <param name="Problem">Why it cannot be used; null when it can.</param>
public sealed record GpuDeviceInfo(string Kind, int Index, string Name, long MemoryBytes, bool IsGpu, string? Problem)
{
    /// <summary>How the device is named in options: <c>cuda</c>, <c>opencl:1</c>.</summary>
    public string Id => Index <= 0 ? Kind : $"{Kind}:{Index}";
}

/// <summary>What a search for devices found.</summary>
/// <param name="Devices">Usable devices first within each kind.</param>
/// <param name="Notes">What was tried without success, a sentence each: a library that is absent, a driver without devices.</param>
public sealed record GpuSearchResult(IReadOnlyList<GpuDeviceInfo> Devices, IReadOnlyList<string> Notes);
