using System.Runtime.InteropServices;
using System.Text;

namespace MiniVlp.PtxSim.Driver;

/// <content>Devices, contexts, errors.</content>
public static unsafe partial class StandInDriver
{
    [ThreadStatic]
    private static nint _current;
    private static nint _errorText;

    [UnmanagedCallersOnly]
    internal static int cuInit(uint flags) => InitializationError;

    [UnmanagedCallersOnly]
    internal static int cuDriverGetVersion(int* version)
    {
        *version = DriverVersion;
        return Success;
    }

    [UnmanagedCallersOnly]
    internal static int cuDeviceGet(int* device, int ordinal)
    {
        *device = ordinal;
        return ordinal < DeviceCount ? Success : 101;
    }

    [UnmanagedCallersOnly]
    internal static int cuDeviceGetCount(int* count)
    {
        *count = DeviceCount;
        return Success;
    }

    [UnmanagedCallersOnly]
    internal static int cuDeviceGetName(byte* name, int length, int device)
    {
        byte[] text = Encoding.UTF8.GetBytes($"PTX simulator, compute capability {ComputeCapability.Major}.{ComputeCapability.Minor}\0");
        int count = Math.Min(length, text.Length);
        text.AsSpan(0, count).CopyTo(new Span<byte>(name, count));
        if (count > 0) name[count - 1] = 0;
        return Success;
    }

    [UnmanagedCallersOnly]
    internal static int cuDeviceGetUuid(byte* uuid, int device)
    {
        new Span<byte>(uuid, 16).Fill(0x5a);
        return Success;
    }

    [UnmanagedCallersOnly]
    internal static int cuDeviceTotalMem_v2(nuint* bytes, int device)
    {
        *bytes = (nuint)MemoryLimit;
        return Success;
    }

    /// <summary>The figures of an H100; what is not listed is 0.</summary>
    [UnmanagedCallersOnly]
    internal static int cuDeviceGetAttribute(int* value, int attribute, int device)
    {
        *value = attribute switch
        {
            1 or 2 or 3 => 1024, // threads of a group; along x and y
            4 => 64,
            5 => int.MaxValue, // groups along x, y, z
            6 or 7 => 65535,
            8 => 48 << 10, // shared memory of a group
            9 => 65536, // constant memory
            10 => 32, // lanes of a warp
            11 => int.MaxValue, // pitch of copies
            12 or 82 => 65536, // registers of a group and of a multiprocessor
            13 => 1_980_000, // clock, kHz
            14 => 512, // alignment of textures
            15 or 31 or 41 => 1, // copies overlap, kernels overlap, unified addresses
            16 => 132, // multiprocessors
            19 => 1, // host memory can be mapped
            33 => device, // the bus, by which ILGPU tells equal devices apart
            36 => 2_619_000, // memory clock, kHz
            37 => 5120, // memory bus, bits
            38 => 50 << 20, // L2
            39 => 2048, // threads of a multiprocessor
            40 => 3, // engines that copy
            75 => ComputeCapability.Major,
            76 => ComputeCapability.Minor,
            81 => SharedPerGroupOptIn + 1024, // shared memory of a multiprocessor
            83 or 91 => 1,
            97 => SharedPerGroupOptIn,
            115 => 1, // memory pools
            _ => 0,
        };
        return Success;
    }

    private static int SharedPerGroupOptIn => ComputeCapability.Major >= 9 ? 227 << 10 : 163 << 10;

    [UnmanagedCallersOnly]
    internal static int cuCtxCreate_v2(nint* context, int flags, int device)
    {
        if (ContextError != Success) return ContextError;
        *context = _current = NewHandle();
        return Success;
    }

    [UnmanagedCallersOnly]
    internal static int cuCtxDestroy_v2(nint context) => Success;

    [UnmanagedCallersOnly]
    internal static int cuCtxSetCurrent(nint context)
    {
        _current = context;
        return Success;
    }

    [UnmanagedCallersOnly]
    internal static int cuCtxGetCurrent(nint* context)
    {
        *context = _current;
        return Success;
    }

    [UnmanagedCallersOnly]
    internal static int cuCtxSynchronize() => DrainAll();

    [UnmanagedCallersOnly]
    internal static int cuCtxGetCacheConfig(int* config)
    {
        *config = 0;
        return Success;
    }

    [UnmanagedCallersOnly]
    internal static int cuCtxSetCacheConfig(int config) => Success;

    [UnmanagedCallersOnly]
    internal static int cuCtxGetSharedMemConfig(int* config)
    {
        *config = 1;
        return Success;
    }

    [UnmanagedCallersOnly]
    internal static int cuCtxSetSharedMemConfig(int config) => Success;

    [UnmanagedCallersOnly]
    internal static int cuDeviceCanAccessPeer(int* can, int device, int peer)
    {
        *can = 0;
        return Success;
    }

    [UnmanagedCallersOnly]
    internal static int cuCtxEnablePeerAccess(nint context, uint flags) => NotSupported;

    [UnmanagedCallersOnly]
    internal static int cuCtxDisablePeerAccess(nint context) => NotSupported;

    [UnmanagedCallersOnly]
    internal static int cuDeviceGetP2PAttribute(int* value, int attribute, int source, int destination)
    {
        *value = 0;
        return Success;
    }

    [UnmanagedCallersOnly]
    internal static int cuGetErrorName(int error, nint* text) => ErrorText(error, text);

    [UnmanagedCallersOnly]
    internal static int cuGetErrorString(int error, nint* text) => ErrorText(error, text);

    private static int ErrorText(int error, nint* text)
    {
        string message = error switch
        {
            Success => "no error",
            InvalidValue => _lastError == InvalidValue ? $"invalid argument ({LastFailure})" : "invalid argument",
            OutOfMemory => "out of memory",
            LaunchFailed or InvalidPtx => LastFailure ?? "unspecified launch failure",
            _ => $"error {error}",
        };
        lock (StateLock)
        {
            Marshal.FreeCoTaskMem(_errorText);
            _errorText = Marshal.StringToCoTaskMemUTF8(message);
            *text = _errorText;
        }

        return Success;
    }
}
