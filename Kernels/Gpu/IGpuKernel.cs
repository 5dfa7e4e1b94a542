using ILGPU;

namespace MiniVlp.Kernels.Gpu;

/// <summary>
/// A GPU kernel: operands in fields, and a body that ILGPU compiles for CUDA, OpenCL and its own CPU accelerator. Like a CPU kernel it is a
/// record struct; its fields may be views, 32-bit and 64-bit integers, floats, and structs of these, but neither bool nor references.
/// </summary>
internal interface IGpuKernel
{
    /// <summary>Threads of one group, the same in every launch: at most 256 where the kernel is to run everywhere.</summary>
    static abstract int GroupSize { get; }

    /// <summary>What one thread does; see <see cref="Grid"/> and <see cref="Group"/> for which one it is.</summary>
    void Execute();
}

/// <summary>Where a kernel puts one gradient: nowhere when the view is empty; see <see cref="GradientTarget"/>.</summary>
/// <param name="View">The gradient.</param>
/// <param name="Accumulate">1: add to what is there; 0: overwrite.</param>
internal readonly record struct GpuTarget(ArrayView<float> View, int Accumulate)
{
    /// <summary>Whether the gradient is wanted.</summary>
    public bool IsNeeded => View.Length > 0;

    /// <summary>Writes or adds one element.</summary>
    public void Put(long index, float value) => View[index] = Accumulate != 0 ? View[index] + value : value;
}
