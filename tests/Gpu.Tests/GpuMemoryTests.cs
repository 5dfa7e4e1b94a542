using MiniVlp.Kernels;
using Xunit;

namespace MiniVlp.Gpu.Tests;

/// <summary>Memory of devices that ILGPU alone launches on; tests/PtxSim.Tests has those of CUDA.</summary>
public sealed class GpuMemoryTests
{
    /// <summary>A device that has 8 GiB in one block is right, too.</summary>
    [Fact]
    public void ABlockThatOpenClDoesNotGive_IsAnErrorWithSizes()
    {
        using GpuBackend backend = Create("opencl");
        if (Record.Exception(() => backend.Return(backend.Rent(int.MaxValue))) is not { } exception) return;
        Assert.StartsWith("8192 MiB were asked for; 0 bytes are in use", Assert.IsType<InsufficientMemoryException>(exception).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("ilgpu-cpu")]
    [InlineData("opencl")]
    public void Upload_InPieces_LosesNothing(string name)
    {
        using GpuBackend backend = Create(name);
        backend.UploadPiece = 1000;
        DeviceBuffer x = backend.Rent(2500);
        float[] values = [.. Enumerable.Range(0, 2500).Select(i => (float)i)], downloaded = new float[2500];
        backend.Upload(values, x);
        backend.Download(x, downloaded);
        Assert.Equal(values, downloaded);
        backend.Return(x);
    }

    /// <summary>A backend without guards, which would be written into the whole of a block.</summary>
    private static GpuBackend Create(string name)
    {
        Assert.SkipUnless(GpuDevices.Names.Contains(name), $"MINIVLP_TEST_DEVICES is without {name}");
        GpuDevices.Require(name);
        return name == "opencl" ? GpuBackend.CreateOpenCl() : GpuBackend.CreateIlgpuCpu();
    }
}
