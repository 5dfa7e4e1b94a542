using MiniVlp.Kernels;
using MiniVlp.PtxSim.Driver;
using Xunit;

namespace MiniVlp.PtxSim.Tests;

/// <summary>A test with a CUDA backend of its own on the stand-in driver; skipped where the driver cannot be built.</summary>
public abstract class StandInDriverTest : IDisposable
{
    private readonly GpuBackend? _backend;
    private readonly string _reason = string.Empty;

    protected StandInDriverTest()
    {
        try
        {
            StandInDriver.Install(typeof(GpuBackend).Assembly);
            _backend = GpuBackend.CreateCuda();
        }
        catch (PlatformNotSupportedException exception)
        {
            _reason = exception.Message;
        }
    }

    private protected GpuBackend Backend
    {
        get
        {
            if (_backend is null) Assert.Skip(_reason);
            return _backend;
        }
    }

    public void Dispose()
    {
        _backend?.Dispose();
        GC.SuppressFinalize(this);
    }
}
