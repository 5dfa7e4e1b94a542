using System.Collections.Concurrent;
using MiniVlp.Kernels;
using MiniVlp.Tensors;
using Xunit;
using Xunit.Sdk;
using Xunit.v3;

// Tests share the devices, and each looks at what it leaves rented there.
[assembly: Parallelization(Mode = ParallelMode.None)]

namespace MiniVlp.Gpu.Tests;

/// <summary>The devices of ILGPU that are here, each made once, with guards: fresh buffers hold NaN and stray writes throw.</summary>
public static class GpuDevices
{
    private static readonly ConcurrentDictionary<string, Lazy<(Device? Device, string Reason)>> Devices = new(StringComparer.Ordinal);

    /// <summary>Names of all devices that are looked for, or those in MINIVLP_TEST_DEVICES (with commas between).</summary>
    public static string[] Names => Environment.GetEnvironmentVariable("MINIVLP_TEST_DEVICES") is { Length: > 0 } names ? names.Split(',') : ["ilgpu-cpu", "opencl", "cuda"];

    /// <summary>The names as rows of a theory.</summary>
    public static TheoryData<string> All => [.. Names];

    /// <summary>Whether the device is for a handful of elements: each group of ILGPU's CPU accelerator is 256 threads of the operating system.</summary>
    public static bool IsSlow(string name) => name == "ilgpu-cpu";

    /// <summary>The device; a test on one that is absent is skipped.</summary>
    public static Device Require(string name)
    {
        (Device? device, string reason) = Find(name);
        Assert.SkipWhen(device is null, $"{name}: {reason}");
        return device;
    }

    /// <summary>The device; a test is skipped where it is absent, and on ILGPU's CPU accelerator, which is for a handful of elements.</summary>
    public static Device RequireFast(string name)
    {
        Assert.SkipWhen(IsSlow(name), "too slow for this test");
        return Require(name);
    }

    /// <summary>The device, or null and why it is absent.</summary>
    public static (Device? Device, string Reason) Find(string name) => Devices.GetOrAdd(name, key => new(() => Create(key))).Value;

    private static (Device?, string) Create(string name)
    {
        try
        {
            GpuBackend backend = name switch
            {
                "ilgpu-cpu" => GpuBackend.CreateIlgpuCpu(checkGuards: true),
                "opencl" => GpuBackend.CreateOpenCl(checkGuards: true),
                _ => GpuBackend.CreateCuda(checkGuards: true),
            };
            return (new Device(backend), string.Empty);
        }
        catch (Exception exception) when (exception is PlatformNotSupportedException or NotSupportedException or DllNotFoundException)
        {
            return (null, exception.Message);
        }
    }
}
