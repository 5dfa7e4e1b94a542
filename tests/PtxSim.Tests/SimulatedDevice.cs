using System.Reflection;
using MiniVlp.Kernels;
using MiniVlp.PtxSim.Driver;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.PtxSim.Tests;

/// <summary>A CUDA device on the stand-in driver, made once, with guards: fresh buffers hold NaN and stray writes throw.</summary>
public static class SimulatedDevice
{
    private static readonly Lazy<(Device? Device, string Reason)> Made = new(Create);

    /// <summary>The device, or null and why there is none.</summary>
    public static (Device? Device, string Reason) Instance => Made.Value;

    /// <summary>Puts the stand-in driver into the place of the driver; skips the test where it cannot be built.</summary>
    /// <param name="assemblies">Further assemblies that call the driver.</param>
    public static void RequireDriver(params Assembly[] assemblies)
    {
        try
        {
            StandInDriver.Install([typeof(GpuBackend).Assembly, .. assemblies]);
        }
        catch (PlatformNotSupportedException exception)
        {
            Assert.Skip(exception.Message);
        }
    }

    private static (Device?, string) Create()
    {
        try
        {
            StandInDriver.Install(typeof(GpuBackend).Assembly);
            return (new Device(GpuBackend.CreateCuda(checkGuards: true)), string.Empty);
        }
        catch (PlatformNotSupportedException exception)
        {
            return (null, exception.Message);
        }
    }
}
