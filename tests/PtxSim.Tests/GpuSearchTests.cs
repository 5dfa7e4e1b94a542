using MiniVlp.Kernels;
using MiniVlp.PtxSim.Driver;
using Xunit;

namespace MiniVlp.PtxSim.Tests;

/// <summary>What a search says about CUDA devices that are missing.</summary>
public sealed class GpuSearchTests : IDisposable
{
    private const int SystemDriverMismatch = 803;

    public GpuSearchTests()
    {
        Assert.SkipWhen(StandInDriver.UsesRealDriver, "Only the stand-in driver fails when it is told to.");
        SimulatedDevice.RequireDriver();
    }

    public void Dispose()
    {
        StandInDriver.InitializationError = 0;
        StandInDriver.DeviceCount = 1;
        StandInDriver.DriverVersion = 12040;
        StandInDriver.ComputeCapability = (9, 0);
    }

    [Fact]
    public void ADriverThatDoesNotStart_IsToldWithItsError()
    {
        StandInDriver.InitializationError = SystemDriverMismatch;
        GpuSearchResult search = GpuSearch.Find();
        Assert.DoesNotContain(search.Devices, device => device.Kind == "cuda");
        Assert.Contains($"cuda: the driver does not start: cuInit gives error {SystemDriverMismatch} ({SystemDriverMismatch}): error {SystemDriverMismatch}.", search.Notes);
    }

    [Fact]
    public void ADriverWithoutDevices_IsTold_AlsoWhereOneIsOpened()
    {
        StandInDriver.DeviceCount = 0;
        Assert.Contains("cuda: the driver starts, and it has no device.", GpuSearch.Find().Notes);
        PlatformNotSupportedException exception = Assert.Throws<PlatformNotSupportedException>(() => GpuBackend.CreateCuda());
        Assert.Contains("cuda: the driver starts, and it has no device.", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ADeviceUnderADriverThatIsTooOld_IsListedWithThat()
    {
        StandInDriver.DriverVersion = 5000;
        GpuDeviceInfo device = Assert.Single(GpuSearch.Find().Devices, device => device.Kind == "cuda");
        Assert.Equal(-1, device.Index);
        Assert.Contains("CUDA 5.0", device.Problem, StringComparison.Ordinal);
        Assert.Contains("CUDA 5.0", Assert.Throws<PlatformNotSupportedException>(() => GpuBackend.CreateCuda()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ADeviceThatIlgpuDoesNotList_IsCounted()
    {
        StandInDriver.ComputeCapability = (2, 0);
        Assert.Contains(GpuSearch.Find().Notes, note => note.StartsWith("cuda: the driver has 1 device, of which ILGPU lists 0;", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(true, true, null)]
    [InlineData(false, true, "generic address space")]
    [InlineData(true, false, "cl_khr_fp64")]
    public void AnOpenClDevice_NeedsTheGenericAddressSpaceAndDoublePrecision(bool hasGenericAddressSpace, bool hasFloat64, string? missing)
    {
        string? problem = GpuSearch.OpenClProblem(hasGenericAddressSpace, hasFloat64);
        if (missing is null) Assert.Null(problem);
        else Assert.Contains(missing, problem, StringComparison.Ordinal);
    }
}
