using System.Runtime.InteropServices;

namespace MiniVlp.Kernels.Gpu;

/// <summary>Tells a device, a driver or a compiler that failed from a mistake in the program.</summary>
internal static class GpuFailure
{
    /// <summary>
    /// Whether an exception is a failure of the device: one of ILGPU's own, which have no common base, one of Cuda/CudaDriver.cs, a library that
    /// cannot be loaded, or memory that ran out.
    /// </summary>
    public static bool Is(Exception exception)
        => exception is InvalidOperationException or NotSupportedException or ExternalException or OutOfMemoryException or DllNotFoundException or EntryPointNotFoundException
            || exception.GetType().Assembly == typeof(ILGPU.Context).Assembly;
}
