using ILGPU;
using ILGPU.Runtime;

namespace MiniVlp.Kernels.Gpu;

/// <summary>A kernel that is compiled and loaded on one accelerator.</summary>
internal abstract class KernelLauncher<TKernel>
    where TKernel : struct, IGpuKernel
{
    /// <summary>The static method that ILGPU compiles: the entry point of every kernel.</summary>
    public static void Entry(TKernel kernel) => kernel.Execute();

    /// <summary>Puts one launch onto the stream and returns.</summary>
    public abstract void Launch(AcceleratorStream stream, in TKernel kernel, Index3D groups);
}

/// <summary>A kernel that ILGPU compiles, loads and launches itself: on OpenCL and on its CPU accelerator.</summary>
internal sealed class IlgpuLauncher<TKernel>(Accelerator accelerator) : KernelLauncher<TKernel>
    where TKernel : struct, IGpuKernel
{
    private readonly Action<AcceleratorStream, KernelConfig, TKernel> _launch =
        accelerator.LoadKernel<TKernel>(Entry, new KernelSpecialization(TKernel.GroupSize, null));

    public override void Launch(AcceleratorStream stream, in TKernel kernel, Index3D groups)
        => _launch(stream, new KernelConfig(groups, new Index3D(TKernel.GroupSize, 1, 1)), kernel);
}
