using System.Reflection;
using System.Runtime.InteropServices;
using ILGPU;

namespace MiniVlp.Kernels.Gpu.Cuda;

/// <summary>
/// Finds the driver's library for ILGPU and for <see cref="CudaDriver"/>. ILGPU asks for libcuda.so, which belongs to the development files;
/// containers often have libcuda.so.1 alone.
/// </summary>
internal static class CudaLibrary
{
    /// <summary>Name of the environment variable with another library to load in the driver's place, such as a simulator.</summary>
    public const string Variable = "MINIVLP_CUDA_DRIVER";

    private static readonly Lock Lock = new();
    private static bool _installed, _isForeign;

    /// <summary>A library to load instead of the driver; takes effect when set before the first CUDA call of the process.</summary>
    public static string? Override { get; set; } = Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } path ? path : null;

    /// <summary>The driver's file, as it is called on this system.</summary>
    public static IReadOnlyList<string> Names { get; } = OperatingSystem.IsWindows() ? ["nvcuda.dll"] : ["libcuda.so.1", "libcuda.so"];

    /// <summary>Whether there is a driver, or something in its place.</summary>
    public static bool IsPresent => Override is not null || _isForeign || Names.Any(name => NativeLibrary.TryLoad(name, out _));

    /// <summary>Makes both assemblies find the driver; calling it again does nothing.</summary>
    public static void Install()
    {
        lock (Lock)
        {
            if (_installed) return;
            _installed = true;
            SetResolver(typeof(Context).Assembly);
            SetResolver(typeof(CudaLibrary).Assembly);
        }
    }

    private static void SetResolver(Assembly assembly)
    {
        try
        {
            NativeLibrary.SetDllImportResolver(assembly, Resolve);
        }
        catch (InvalidOperationException)
        {
            // The program around us has set its own and is responsible for finding the driver.
            _isForeign = true;
        }
    }

    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? searchPath)
    {
        // The loader of OpenCL has the same trouble: libOpenCL.so belongs to the development files.
        if (name == "OpenCL" && OperatingSystem.IsLinux()) return NativeLibrary.TryLoad("libOpenCL.so.1", out nint loader) ? loader : 0;
        if (name is not (CudaDriver.Library or "nvcuda")) return 0;
        if (Override is { } path) return NativeLibrary.Load(path);
        foreach (string candidate in Names)
            if (NativeLibrary.TryLoad(candidate, out nint handle)) return handle;
        return 0;
    }
}
