using System.Reflection;
using System.Runtime.InteropServices;
using MiniVlp.PtxSim.Machine;

namespace MiniVlp.PtxSim.Driver;

/// <summary>
/// A stand-in for NVIDIA's driver: device memory is host memory, modules are decoded by the simulator and launches run on it at once. ILGPU's
/// own CUDA accelerator and our own calls work on it as they would on a GPU.
/// </summary>
public static unsafe partial class StandInDriver
{
    private const int Success = 0;
    private const int InvalidValue = 1;
    private const int OutOfMemory = 2;
    private const int NotFound = 500;
    private const int InvalidHandle = 400;
    private const int InvalidPtx = 218;
    private const int LaunchFailed = 719;
    private const int NotSupported = 801;
    private static readonly Lock InstallLock = new();
    private static readonly Lock StateLock = new();
    private static nint _library;
    private static string _reason = string.Empty;
    private static long _nextHandle = 0x1000;
    private static int _lastError;

    /// <summary>The compute capability that the device says it has.</summary>
    public static (int Major, int Minor) ComputeCapability { get; set; } = (9, 0);

    /// <summary>The driver's version, as cuDriverGetVersion gives it.</summary>
    public static int DriverVersion { get; set; } = 12040;

    /// <summary>How many devices there are, all alike.</summary>
    public static int DeviceCount { get; set; } = 1;

    /// <summary>What cuInit returns: 0, or the error of a driver that does not start.</summary>
    public static int InitializationError { get; set; }

    /// <summary>What cuCtxCreate returns: 0, or the error of a device that cannot be opened.</summary>
    public static int ContextError { get; set; }

    /// <summary>What the simulator checks and counts.</summary>
    public static SimulationOptions Options { get; set; } = new();

    /// <summary>The device's memory, to look at what is allocated.</summary>
    public static GlobalMemory Memory { get; } = new();

    /// <summary>Launches of kernels that were asked for so far; those in a graph count once, when they are captured.</summary>
    public static long LaunchCount { get; private set; }

    /// <summary>What the last launch did.</summary>
    public static Statistics? LastStatistics { get; private set; }

    /// <summary>Why the last launch or module that failed did so; cuGetErrorString gives it too.</summary>
    public static string? LastFailure { get; private set; }

    /// <summary>
    /// Whether tests are to run on the driver and the card that are here, by the variable MINIVLP_REAL_DRIVER: the stand-in is then not installed, and
    /// what it would count or say is not there.
    /// </summary>
    public static bool UsesRealDriver { get; } = Environment.GetEnvironmentVariable("MINIVLP_REAL_DRIVER") is "1";

    /// <summary>Changes the text of every module before it is decoded: tests put faults into it.</summary>
    public static Func<string, string>? OnModule { get; set; }

    /// <summary>Is told of every launch, before it runs.</summary>
    public static Action<SimulatedKernel, KernelLaunch>? OnLaunch { get; set; }

    /// <summary>
    /// Puts the stand-in into the place of the driver for ILGPU and for the given assemblies; it must come before their first call. May be
    /// called again.
    /// </summary>
    /// <exception cref="PlatformNotSupportedException">It cannot be built here; the message says why.</exception>
    public static void Install(params Assembly[] assemblies)
    {
        if (UsesRealDriver) return;
        lock (InstallLock)
        {
            if (_library == 0 && _reason.Length == 0)
            {
                _library = NativeShim.Load(typeof(StandInDriver), Path.Combine(AppContext.BaseDirectory, "stand-in-driver"), out _reason);
                if (_library != 0) NativeLibrary.SetDllImportResolver(typeof(ILGPU.Context).Assembly, Resolve);
            }

            if (_library == 0) throw new PlatformNotSupportedException(_reason);
            foreach (Assembly assembly in assemblies) SetResolver(assembly);
        }
    }

    /// <summary>For an assembly that has a resolver of its own: the handle of the library under the driver's names, else 0.</summary>
    public static nint Resolve(string name, Assembly assembly, DllImportSearchPath? path) => name is "cuda" or "libcuda.so.1" or "libcuda" or "nvcuda" ? _library : 0;

    private static void SetResolver(Assembly assembly)
    {
        try
        {
            NativeLibrary.SetDllImportResolver(assembly, Resolve);
        }
        catch (InvalidOperationException)
        {
            // It has one already: this one, from an earlier call, or its own.
        }
    }

    private static nint NewHandle() => (nint)Interlocked.Add(ref _nextHandle, 16);
}
