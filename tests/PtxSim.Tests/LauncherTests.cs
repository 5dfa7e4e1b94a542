using ILGPU;
using MiniVlp.Kernels;
using MiniVlp.Kernels.Gpu;
using MiniVlp.Kernels.Gpu.Cuda;
using Xunit;

namespace MiniVlp.PtxSim.Tests;

/// <summary>The way from a kernel struct to a launch, on the stand-in driver.</summary>
public sealed class LauncherTests : StandInDriverTest
{
    /// <summary>The driver allows 48 KiB unless it is told otherwise.</summary>
    [Fact]
    public void SharedMemory_AboveTheDefaultIsAskedFor()
    {
        DeviceBuffer x = Backend.Rent(64);
        Backend.Launch(new LargeShared(GpuBackend.Output(x), 3), 1);
        float[] values = new float[64];
        Backend.Download(x, values);
        Assert.Equal(Enumerable.Range(0, 64).Select(i => 3f * (63 - i)), values);
        Backend.Return(x);
    }

    [Fact]
    public void RefusedPtx_IsToldWithTheLogAndTheLines()
    {
        _ = Backend;
        using PtxCompiler compiler = new(PtxTarget.Sm80);
        PtxKernel kernel = compiler.Compile(GpuKernelInfo.Of<LargeShared>());
        PtxKernel broken = kernel with { Text = kernel.Text.Replace("\tret;", "\tnonsense.f32 %f1, %f1;\n\tret;", StringComparison.Ordinal) };
        NotSupportedException exception = Assert.Throws<NotSupportedException>(() => PtxModule.Load(broken));
        Assert.Contains(nameof(LargeShared), exception.Message, StringComparison.Ordinal);
        Assert.Contains("nonsense", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void KernelsOfAllKinds_AreLoadedByTheirDescription()
    {
        Type type = typeof(LargeShared);
        KernelLauncher launcher = Backend.LoadKernel(GpuKernelInfo.Of<LargeShared>());
        Assert.Same(launcher, Backend.LoadKernel(GpuKernelInfo.Of(type)));
        using CancellationTokenSource stop = new();
        List<string> names = [];
        Assert.Throws<OperationCanceledException>(() => Backend.PrecompileKernels(
            (name, count) =>
            {
                Assert.True(count > 100);
                names.Add(name);
                if (names.Count == 2) stop.Cancel();
            },
            stop.Token));
        Assert.Equal(2, names.Count);
    }

    /// <summary>As when ILGPU gives a struct the layout of another one with the same sequence of fields: the text is refused before the driver sees it.</summary>
    [Fact]
    public void AParameterThatIsReadOtherwiseThanWritten_IsRefused()
    {
        using PtxCompiler compiler = new(PtxTarget.Sm80);
        PtxKernel flat = compiler.Compile(GpuKernelInfo.Of<Flat>());
        NotSupportedException exception = Assert.Throws<NotSupportedException>(() => new PtxLauncher<Padded>(null!, flat with { Name = nameof(Padded) }));
        Assert.Contains(nameof(Padded), exception.Message, StringComparison.Ordinal);
        Assert.Contains("padding", exception.Message, StringComparison.Ordinal);
        Backend.LoadKernel(GpuKernelInfo.Of<Flat>());
        Backend.LoadKernel(GpuKernelInfo.Of<Padded>());
    }

    internal readonly record struct NarrowAndWide(int Narrow, long Wide);

    internal readonly record struct Flat(ArrayView<float> X, int First, int Narrow, long Wide) : IGpuKernel
    {
        public static int GroupSize => 64;

        public void Execute() => X[Group.IdxX] = First + Narrow + Wide;
    }

    internal readonly record struct Padded(ArrayView<float> X, int First, NarrowAndWide Pair) : IGpuKernel
    {
        public static int GroupSize => 64;

        public void Execute() => X[Group.IdxX] = First + Pair.Narrow + Pair.Wide;
    }

    internal readonly record struct LargeShared(ArrayView<float> X, float Scale) : IGpuKernel
    {
        public static int GroupSize => 64;

        public static int DynamicSharedBytes => 100 * 1024;

        public static CudaLevel Level => CudaLevel.Sm80;

        public void Execute()
        {
            ArrayView<float> shared = SharedMemory.GetDynamic<float>();
            shared[(20 * 1024) + Group.IdxX] = Group.IdxX;
            Group.Barrier();
            X[Group.IdxX] = Scale * shared[(20 * 1024) + 63 - Group.IdxX];
        }
    }
}
