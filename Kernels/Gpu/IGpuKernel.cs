using ILGPU;
using MiniVlp.Kernels.Gpu.Cuda;

namespace MiniVlp.Kernels.Gpu;

/// <summary>
/// A GPU kernel: operands in fields, and a body that ILGPU compiles for CUDA, OpenCL and its own CPU accelerator. Like a CPU kernel it is a
/// record struct; its fields may be views, 32-bit and 64-bit integers, floats, and structs of these, but neither bool nor references.
/// </summary>
internal interface IGpuKernel
{
    /// <summary>Threads of one group, the same in every launch: at most 256 where the kernel is to run everywhere.</summary>
    static abstract int GroupSize { get; }

    /// <summary>Dynamic shared memory of every launch; above 48 KiB on CUDA alone.</summary>
    static virtual int DynamicSharedBytes => 0;

    /// <summary>Groups that must fit on one multiprocessor together, which bounds the registers of a thread; 0: the compiler decides.</summary>
    static virtual int MinGroupsPerMultiprocessor => 0;

    /// <summary>Groups of one thread block cluster along x (sm_90); 1: no clusters.</summary>
    static virtual int ClusterSize => 1;

    /// <summary>The instructions that the kernel's inline PTX needs; without any it runs on every device.</summary>
    static virtual CudaLevel Level => CudaLevel.Portable;

    /// <summary>
    /// Compile without the optimizer's code placement, which moves pure arithmetic apart: long unrolled float arithmetic (a tile of a matrix
    /// product) would need more registers than there are. Kernels of inline PTX do not need it; their instructions keep their order.
    /// </summary>
    static virtual bool KeepsOrder => false;

    /// <summary>Time is spent here: the kernel must fit into registers, without spills and without a stack.</summary>
    static virtual bool IsHot => false;

    /// <summary>The kernel must contain tensor-core instructions.</summary>
    static virtual bool UsesTensorCores => false;

    /// <summary>What one thread does; see <see cref="Grid"/> and <see cref="Group"/> for which one it is.</summary>
    void Execute();
}

/// <summary>Where a kernel puts one gradient: nowhere when the view is empty; see <see cref="GradientTarget"/>.</summary>
/// <param name="View">The gradient.</param>
/// <param name="Accumulate">
/// 1: add to what is there; 0: overwrite. It is as wide as the view's alignment, so that no padding follows: to ILGPU two structs of the same
/// fields are one type, however they are nested, and padding inside of one of them would give the other a wrong layout.
/// </param>
internal readonly record struct GpuTarget(ArrayView<float> View, long Accumulate)
{
    /// <summary>Whether the gradient is wanted.</summary>
    public bool IsNeeded => View.Length > 0;

    /// <summary>Writes or adds one element.</summary>
    public void Put(long index, float value) => View[index] = Accumulate != 0 ? View[index] + value : value;
}
