using ILGPU;
using ILGPU.Runtime;
using MiniVlp.Kernels.Gpu.Cuda;

namespace MiniVlp.Kernels.Gpu;

/// <summary>A kernel that is compiled and loaded on one accelerator.</summary>
internal abstract class KernelLauncher : IDisposable
{
    /// <summary>What the driver's compiler said; empty where it does not say anything.</summary>
    public virtual string Log => string.Empty;

    /// <summary>Unloads the kernel.</summary>
    public abstract void Dispose();
}

/// <summary>The same for one type of kernels.</summary>
internal abstract class KernelLauncher<TKernel> : KernelLauncher
    where TKernel : struct, IGpuKernel
{
    /// <summary>The static method that ILGPU compiles: the entry point of every kernel.</summary>
    public static void Entry(TKernel kernel) => kernel.Execute();

    /// <summary>Puts one launch onto the stream and returns.</summary>
    public abstract void Launch(AcceleratorStream stream, in TKernel kernel, Index3D groups);
}

/// <summary>A kernel that ILGPU compiles, loads and launches itself: on OpenCL and on its CPU accelerator.</summary>
internal sealed class IlgpuLauncher<TKernel> : KernelLauncher<TKernel>
    where TKernel : struct, IGpuKernel
{
    private readonly Action<AcceleratorStream, KernelConfig, TKernel> _launch;

    public IlgpuLauncher(Accelerator accelerator)
    {
        if (TKernel.Level != CudaLevel.Portable) throw new NotSupportedException($"{GpuKernelInfo.Of<TKernel>()} is for CUDA alone; this is {accelerator.Name}.");
        _launch = accelerator.LoadKernel<TKernel>(Entry, new KernelSpecialization(TKernel.GroupSize, null));
    }

    public override void Launch(AcceleratorStream stream, in TKernel kernel, Index3D groups)
    {
        SharedMemoryConfig shared = TKernel.DynamicSharedBytes > 0 ? SharedMemoryConfig.RequestDynamic<byte>(TKernel.DynamicSharedBytes) : default;
        _launch(stream, new KernelConfig(groups, new Index3D(TKernel.GroupSize, 1, 1), shared), kernel);
    }

    /// <summary>The accelerator unloads what it loaded.</summary>
    public override void Dispose()
    {
    }
}
