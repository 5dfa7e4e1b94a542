using System.Runtime.InteropServices;
using ILGPU;
using ILGPU.Runtime.Cuda;
using ILGPU.Runtime.OpenCL;
using MiniVlp.Kernels.Gpu;
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
        else SearchCuda(devices, notes);
        if (!CanLoad(OpenClLibraries)) notes.Add($"opencl: the loader ({OpenClLibraries[0]}) is not installed; it comes with a GPU's driver, or on Debian and Ubuntu with the package ocl-icd-libopencl1.");
        else if (Search("opencl", builder => builder.OpenCL(_ => true), devices, notes) == 0) notes.Add("opencl: the library is there, but it knows no device.");
        return new GpuSearchResult(devices, notes);
    }

    /// <summary>ILGPU takes a driver that fails for one without devices, so the driver is asked first.</summary>
    private static void SearchCuda(List<GpuDeviceInfo> devices, List<string> notes)
    {
        int count;
        try
        {
            if (CudaDriver.Initialize(0) is not 0 and int failure)
            {
                notes.Add($"cuda: the driver does not start: cuInit gives {CudaDriver.Describe(failure)}.");
                return;
            }

            if (CudaDriver.GetDeviceCount(out count) is not 0 and int error)
            {
                notes.Add($"cuda: the driver does not count its devices: {CudaDriver.Describe(error)}.");
                return;
            }
        }
        catch (Exception exception) when (GpuFailure.Is(exception))
        {
            notes.Add($"cuda: the driver's library cannot be called: {exception.Message}");
            return;
        }

        if (count == 0) notes.Add("cuda: the driver starts, and it has no device.");
        else if (Search("cuda", builder => builder.Cuda(_ => true), devices, notes) is >= 0 and int listed && listed < count)
            notes.Add($"cuda: the driver has {count} {(count == 1 ? "device" : "devices")}, of which ILGPU lists {listed}; its list ends at one that is too old for it.");
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

    /// <summary>Adds the devices that ILGPU lists.</summary>
    /// <returns>Their number, or -1 where a note says why there is none.</returns>
    private static int Search(string kind, Action<Context.Builder> addDevices, List<GpuDeviceInfo> devices, List<string> notes)
    {
        try
        {
            using Context context = Context.Create(addDevices);
            GpuDeviceInfo[] found = [.. context.Devices.Where(device => device is CudaDevice or CLDevice).Select(device => Describe(kind, device))];
            int usable = 0;
            devices.AddRange(found.Where(device => device.Problem is null).Select(device => device with { Index = usable++ }));
            devices.AddRange(found.Where(device => device.Problem is not null));
            return found.Length;
        }
        catch (Exception exception) when (GpuFailure.Is(exception))
        {
            notes.Add($"{kind}: the driver refuses to list its devices: {exception.Message}");
            return -1;
        }
    }

    private static GpuDeviceInfo Describe(string kind, ILGPU.Runtime.Device device)
    {
        bool isGpu = device is not CLDevice { DeviceType: var type } || type.HasFlag(CLDeviceType.CL_DEVICE_TYPE_GPU);
        return new GpuDeviceInfo(kind, -1, device.Name, device.MemorySize, isGpu, ProblemOf(device));
    }

    /// <summary>Why a device of ILGPU's cannot run the kernels; null where it can.</summary>
    internal static string? ProblemOf(ILGPU.Runtime.Device device) => device switch
    {
        CLDevice { Capabilities: var capabilities } => OpenClProblem(capabilities.GenericAddressSpace, capabilities.Float64),
        CudaDevice { InstructionSet: null } cuda => $"ILGPU knows no PTX for it under its driver, which is that of CUDA {cuda.DriverVersion.Major}.{cuda.DriverVersion.Minor}",
        _ => null,
    };

    /// <summary>Why an OpenCL device cannot run the kernels; null where it can.</summary>
    internal static string? OpenClProblem(bool hasGenericAddressSpace, bool hasFloat64)
    {
        if (!hasGenericAddressSpace) return "it lacks the generic address space of OpenCL 2 and 3, which compiled kernels need (PoCL has it from version 5 on)";
        return hasFloat64 ? null : "it lacks double precision (cl_khr_fp64), in which kernels add up losses and norms";
    }
}
