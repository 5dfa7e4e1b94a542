using MiniVlp.Kernels;
using MiniVlp.Kernels.Gpu;
using MiniVlp.Kernels.Gpu.Cuda;
using MiniVlp.PtxSim.Driver;
using Xunit;

namespace MiniVlp.PtxSim.Tests;

/// <summary>A cache that <c>minivlp kernels --cache</c> filled, and the program that starts later.</summary>
[Collection(nameof(StandInDriver))]
public sealed class KernelCacheTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("minivlp-cache-").FullName;
    private readonly string? _before = Environment.GetEnvironmentVariable(KernelCache.Variable);

    public KernelCacheTests()
    {
        SimulatedDevice.RequireDriver();
    }

    public void Dispose()
    {
        Environment.SetEnvironmentVariable(KernelCache.Variable, _before);
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public void FilledCache_IsFoundByALaterStart()
    {
        Environment.SetEnvironmentVariable(KernelCache.Variable, _folder);
        Assert.Equal(1, FillsWithThree());
        File.Delete(Assert.Single(Directory.GetFiles(_folder)));
        using (KernelCache cache = new(TargetOfTheDevice(), _folder)) cache.Fill([GpuKernelInfo.Of<GpuBackend.FillKernel>()], null, TestContext.Current.CancellationToken);
        Assert.Equal(0, FillsWithThree());
        File.WriteAllText(Assert.Single(Directory.GetFiles(_folder)), "damaged");
        Assert.Equal(1, FillsWithThree());
        Assert.Equal(0, FillsWithThree());
    }

    /// <summary>Starts a backend, runs a kernel, and says how many had to be compiled for it.</summary>
    private static int FillsWithThree()
    {
        using GpuBackend backend = GpuBackend.CreateCuda();
        DeviceBuffer x = backend.Rent(5);
        backend.Fill(x, 3f);
        float[] values = new float[5];
        backend.Download(x, values);
        backend.Return(x);
        Assert.Equal([3f, 3f, 3f, 3f, 3f], values);
        return backend.KernelSource!.CompiledCount;
    }

    private static PtxTarget TargetOfTheDevice()
    {
        using GpuBackend backend = GpuBackend.CreateCuda();
        return backend.KernelSource!.Target;
    }
}
