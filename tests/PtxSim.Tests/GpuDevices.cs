using MiniVlp.PtxSim.Tests;
using MiniVlp.Tensors;
using Xunit;
using Xunit.Sdk;
using Xunit.v3;

// Tests share the device, and each looks at what it leaves rented there.
[assembly: Parallelization(Mode = ParallelMode.None)]

namespace MiniVlp.Gpu.Tests;

/// <summary>What the tests of kernels find here instead of the devices of ILGPU: the simulated one alone.</summary>
public static class GpuDevices
{
    public static string[] Names => ["simulated"];

    /// <summary>The name as the row of a theory.</summary>
    public static TheoryData<string> All => [.. Names];

    /// <summary>Every instruction is interpreted.</summary>
    public static bool IsSlow(string name) => true;

    /// <summary>The device; a test is skipped where it is absent.</summary>
    public static Device Require(string name)
    {
        (Device? device, string reason) = SimulatedDevice.Instance;
        Assert.SkipWhen(device is null, $"{name}: {reason}");
        return device;
    }

    /// <summary>The device: it is fast enough for a hundred thousand elements.</summary>
    public static Device RequireFast(string name) => Require(name);
}
