using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using ILGPU;
using ILGPU.Runtime.Cuda;
using MiniVlp.Kernels.Gpu;
using MiniVlp.Kernels.Gpu.Cuda;

namespace MiniVlp.Kernels;

/// <content>How kernels get onto the device.</content>
public sealed partial class GpuBackend
{
    /// <summary>Groups of an element-wise launch: enough to fill the largest device several times over.</summary>
    private const int MaxElementwiseGroups = 16 * 1024;

    /// <summary>The kernels that run on this device.</summary>
    internal CudaLevel Level => _kernels?.Target.Level ?? CudaLevel.Portable;

    /// <summary>
    /// Compiles all kernels of the product for this device, on all processors, and loads them, so that nothing is compiled later. On CUDA the
    /// files that this leaves behind, ours and the driver's, make the next process start fast as well.
    /// </summary>
    /// <param name="onKernel">Is told the name of each kernel that is compiled, one after the other, and how many there are.</param>
    /// <param name="cancellation">Stops between two kernels.</param>
    /// <returns>Number of kernels.</returns>
    public int PrecompileKernels(Action<string, int>? onKernel = null, CancellationToken cancellation = default)
    {
        GpuKernelInfo[] kernels = [.. KernelCatalogue.All.Where(kernel => kernel.Level <= Level)];
        Lock oneAtATime = new();
        bool isKept = _kernels is { IsKept: true };
        if (isKept) _kernels!.Fill(kernels, Tell, cancellation);
        foreach (GpuKernelInfo kernel in kernels)
        {
            if (!isKept) Tell(kernel.Name);
            LoadKernel(kernel);
        }

        return kernels.Length;

        void Tell(string name)
        {
            lock (oneAtATime)
            {
                cancellation.ThrowIfCancellationRequested();
                onKernel?.Invoke(name, kernels.Length);
            }
        }
    }

    /// <summary>A kernel ready to be launched; it is compiled when nobody has asked for it before.</summary>
    [UnconditionalSuppressMessage("AOT", "IL3050", Justification = "Kernels are compiled at run time: ILGPU needs a just-in-time compiler anyway.")]
    [UnconditionalSuppressMessage("Trimming", "IL2060", Justification = "A struct's constructor is its default value.")]
    [UnconditionalSuppressMessage("Trimming", "IL2076", Justification = "A struct's constructor is its default value.")]
    internal KernelLauncher LoadKernel(GpuKernelInfo kernel)
    {
        MethodInfo load = typeof(GpuBackend).GetMethod(nameof(Launcher), BindingFlags.NonPublic | BindingFlags.Instance)!.MakeGenericMethod(kernel.Type);
        return (KernelLauncher)load.Invoke(this, BindingFlags.DoNotWrapExceptions, null, null, null)!;
    }

    /// <summary>Takes the time of every launch, which then waits for the device; null: nothing is timed.</summary>
    internal KernelTimes? Times { get; set; }

    /// <summary>Launches a kernel with so many groups along x, y and z; nothing where there are none.</summary>
    internal void Launch<TKernel>(in TKernel kernel, int groupsX, int groupsY = 1, int groupsZ = 1)
        where TKernel : struct, IGpuKernel
    {
        if (groupsX == 0 || groupsY == 0 || groupsZ == 0) return;
        if (Times is null)
        {
            Launcher<TKernel>().Launch(_stream, kernel, new Index3D(groupsX, groupsY, groupsZ));
            return;
        }

        Synchronize();
        long start = Stopwatch.GetTimestamp();
        Launcher<TKernel>().Launch(_stream, kernel, new Index3D(groupsX, groupsY, groupsZ));
        Synchronize();
        Times.Add(GpuKernelInfo.Of<TKernel>().Name, start);
    }

    /// <summary>Launches an element-wise kernel whose threads step over the elements by the size of the grid.</summary>
    private void LaunchElements<TKernel>(in TKernel kernel, long elements)
        where TKernel : struct, IGpuKernel
        => Launch(kernel, (int)Math.Min(GroupCount(elements, TKernel.GroupSize), MaxElementwiseGroups));

    /// <summary>Number of groups that cover <paramref name="items"/> items, so many in each.</summary>
    private static int GroupCount(long items, int perGroup) => checked((int)((items + perGroup - 1) / perGroup));

    private KernelLauncher<TKernel> Launcher<TKernel>()
        where TKernel : struct, IGpuKernel
    {
        if (!_launchers.TryGetValue(typeof(TKernel), out KernelLauncher? launcher))
            launcher = _launchers.GetOrAdd(typeof(TKernel), static (_, backend) => backend.Load<TKernel>(), this);
        return (KernelLauncher<TKernel>)launcher;
    }

    private KernelLauncher<TKernel> Load<TKernel>()
        where TKernel : struct, IGpuKernel
        => _accelerator is CudaAccelerator cuda
            ? new PtxLauncher<TKernel>(cuda, _kernels!.Get(GpuKernelInfo.Of<TKernel>()))
            : new IlgpuLauncher<TKernel>(_accelerator);
}
