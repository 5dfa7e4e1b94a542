using System.Runtime.InteropServices;
using ILGPU;
using ILGPU.Runtime.Cuda;
using ILGPU.Runtime.OpenCL;
using MiniVlp.Kernels.Gpu.Cuda;

namespace MiniVlp.Kernels;

/// <summary>Looks for GPUs, and says what is missing where there are none.</summary>
public static class GpuSearch
{
    private static readonly string[] OpenClLibraries = OperatingSystem.IsWindows() ? ["OpenCL.dll"] : OperatingSystem.IsMacOS() ? ["/System/Library/Frameworks/OpenCL.framework/OpenCL"] : ["libOpenCL.so.1", "libOpenCL.so"];

    /// <summary>One search at a time: ILGPU's first look at OpenCL is not made for several threads.</summary>
    private static readonly Lock Lock = new();

    /// <summary>All CUDA and OpenCL devices that the drivers of this machine know.</summary>
    public static GpuSearchResult Find()
    {
        lock (Lock) return Search();
    }

    private static GpuSearchResult Search()
    {
        List<GpuDeviceInfo> devices = [];
        List<string> notes = [];
        CudaLibrary.Install();
        if (!CudaLibrary.IsPresent) notes.Add($"cuda: the driver's library ({CudaLibrary.Names[0]}) is not installed; it comes with NVIDIA's driver.");
        else Search("cuda", builder => builder.Cuda(), devices, notes);
        if (!CanLoad(OpenClLibraries)) notes.Add($"opencl: the loader ({OpenClLibraries[0]}) is not installed; it comes with a GPU's driver, or on Debian and Ubuntu with the package ocl-icd-libopencl1.");
        else Search("opencl", builder => builder.OpenCL(_ => true), devices, notes);
        return new GpuSearchResult(devices, notes);
    }

    private static bool CanLoad(string[] libraries)
    {
        foreach (string library in libraries)
        {
            if (!NativeLibrary.TryLoad(library, out nint handle)) continue;
            NativeLibrary.Free(handle);
            return true;
        }

        return false;
    }

    private static void Search(string kind, Action<Context.Builder> addDevices, List<GpuDeviceInfo> devices, List<string> notes)
    {
        try
        {
            using Context context = Context.Create(addDevices);
            GpuDeviceInfo[] found = [.. context.Devices.Where(device => device is CudaDevice or CLDevice).Select(device => Describe(kind, device))];
            if (found.Length == 0) notes.Add($"{kind}: the library is there, but it knows no device.");
            int usable = 0;
            devices.AddRange(found.Where(device => device.Problem is null).Select(device => device with { Index = usable++ }));
            devices.AddRange(found.Where(device => device.Problem is not null));
        }
        catch (Exception exception) when (exception is CudaException or CLException or DllNotFoundException or EntryPointNotFoundException or NotSupportedException)
        {
            notes.Add($"{kind}: the driver refuses to list its devices: {exception.Message}");
        }
    }

    private static GpuDeviceInfo Describe(string kind, ILGPU.Runtime.Device device)
    {
        string? problem = device is CLDevice { Capabilities.GenericAddressSpace: false }
            ? "it lacks the generic address space of OpenCL 2 and 3, which compiled kernels need (PoCL has it from version 5 on)"
            : null;
        bool isGpu = device is not CLDevice { DeviceType: var type } || type.HasFlag(CLDeviceType.CL_DEVICE_TYPE_GPU);
        return new GpuDeviceInfo(kind, -1, device.Name, device.MemorySize, isGpu, problem);
    }
}
