using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using ILGPU.Runtime.Cuda;

namespace MiniVlp.Kernels.Gpu.Cuda;

/// <summary>The calls of the CUDA driver that ILGPU does not bind, or whose errors it keeps to itself. Each returns the driver's error code; see <see cref="ThrowIfFailed"/>.</summary>
internal static unsafe partial class CudaDriver
{
    /// <summary>The name by which ILGPU imports the driver on Linux; <see cref="CudaLibrary"/> finds it on every system.</summary>
    public const string Library = "cuda";

    /// <summary>Attribute of a function: the largest dynamic shared memory that it may be launched with.</summary>
    public const int MaxDynamicSharedBytes = 8;

    /// <summary>Throws where a call failed.</summary>
    /// <exception cref="InvalidOperationException">The result is not 0.</exception>
    public static void ThrowIfFailed(int result, [CallerArgumentExpression(nameof(result))] string call = "")
    {
        if (result != 0) throw new InvalidOperationException($"{call.Split('(')[0].Split('.')[^1]}: {CudaAPI.CurrentAPI.GetErrorString((CudaError)result)} ({(CudaError)result})");
    }

    /// <summary>An error as the driver names it: works before <see cref="Initialize"/>, and for codes that ILGPU has no name for.</summary>
    public static string Describe(int result)
    {
        string? name = GetErrorName(result, out nint text) == 0 ? Marshal.PtrToStringUTF8(text) : null;
        string? meaning = GetErrorString(result, out text) == 0 ? Marshal.PtrToStringUTF8(text) : null;
        return $"{name ?? "an unknown error"} ({result}): {meaning ?? "the driver does not say what it means"}";
    }

    [LibraryImport(Library, EntryPoint = "cuInit")]
    public static partial int Initialize(uint flags);

    [LibraryImport(Library, EntryPoint = "cuDeviceGetCount")]
    public static partial int GetDeviceCount(out int count);

    [LibraryImport(Library, EntryPoint = "cuGetErrorName")]
    private static partial int GetErrorName(int error, out nint text);

    [LibraryImport(Library, EntryPoint = "cuGetErrorString")]
    private static partial int GetErrorString(int error, out nint text);

    [LibraryImport(Library, EntryPoint = "cuFuncSetAttribute")]
    public static partial int SetFunctionAttribute(nint function, int attribute, int value);

    [LibraryImport(Library, EntryPoint = "cuModuleLoadDataEx")]
    public static partial int LoadModule(out nint module, byte* image, uint optionCount, JitOption* options, void** values);

    [LibraryImport(Library, EntryPoint = "cuTensorMapEncodeTiled")]
    public static partial int EncodeTensorMap(
        byte* map, int elementType, uint rank, nint address, ulong* sizes, ulong* strides, uint* box, uint* elementStrides, int interleave, int swizzle, int cachePromotion, int fill);

    [LibraryImport(Library, EntryPoint = "cuStreamWaitEvent")]
    public static partial int WaitForEvent(nint stream, nint @event, uint flags);

    [LibraryImport(Library, EntryPoint = "cuStreamBeginCapture_v2")]
    public static partial int BeginCapture(nint stream, CaptureMode mode);

    [LibraryImport(Library, EntryPoint = "cuStreamEndCapture")]
    public static partial int EndCapture(nint stream, out nint graph);

    [LibraryImport(Library, EntryPoint = "cuGraphInstantiateWithFlags")]
    public static partial int InstantiateGraph(out nint executable, nint graph, ulong flags);

    [LibraryImport(Library, EntryPoint = "cuGraphLaunch")]
    public static partial int LaunchGraph(nint executable, nint stream);

    [LibraryImport(Library, EntryPoint = "cuGraphExecUpdate_v2")]
    public static partial int UpdateGraph(nint executable, nint graph, GraphUpdateResult* result);

    [LibraryImport(Library, EntryPoint = "cuGraphExecDestroy")]
    public static partial int DestroyExecutableGraph(nint executable);

    [LibraryImport(Library, EntryPoint = "cuGraphDestroy")]
    public static partial int DestroyGraph(nint graph);

    /// <summary>Options of <see cref="LoadModule"/>, with the driver's numbers.</summary>
    public enum JitOption
    {
        InfoLogBuffer = 3,
        InfoLogBufferBytes = 4,
        ErrorLogBuffer = 5,
        ErrorLogBufferBytes = 6,
        LogVerbose = 12,
    }

    /// <summary>Which other calls are refused while a stream is captured.</summary>
    public enum CaptureMode
    {
        Global = 0,
        ThreadLocal = 1,
        Relaxed = 2,
    }

    /// <summary>Why an executable graph cannot take over another graph.</summary>
    public struct GraphUpdateResult
    {
        public int Result;
        public nint Node;
        public nint FromNode;
    }
}
