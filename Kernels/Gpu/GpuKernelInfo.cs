using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using MiniVlp.Kernels.Gpu.Cuda;

namespace MiniVlp.Kernels.Gpu;

/// <summary>What is known of a kernel before it is compiled: the options that its type states.</summary>
internal sealed class GpuKernelInfo
{
    private GpuKernelInfo(Type type, MethodInfo entry)
    {
        Type = type;
        Entry = entry;
        Name = NameOf(type);
    }

    /// <summary>A name that is fit for files: the type, and its type arguments joined by underscores.</summary>
    public string Name { get; }

    /// <summary>Threads of one group.</summary>
    public required int GroupSize { get; init; }

    /// <summary>Dynamic shared memory of one group.</summary>
    public required int DynamicSharedBytes { get; init; }

    /// <summary>Groups that must fit on one multiprocessor together; 0: as it comes.</summary>
    public required int MinGroupsPerMultiprocessor { get; init; }

    /// <summary>Groups of one cluster; 1: no clusters.</summary>
    public required int ClusterSize { get; init; }

    /// <summary>Where the kernel runs.</summary>
    public required CudaLevel Level { get; init; }

    /// <summary>Whether it is compiled without code placement.</summary>
    public required bool KeepsOrder { get; init; }

    /// <summary>Whether it must fit into registers.</summary>
    public required bool IsHot { get; init; }

    /// <summary>Whether it must contain tensor-core instructions.</summary>
    public required bool UsesTensorCores { get; init; }

    /// <summary>The struct.</summary>
    public Type Type { get; }

    /// <summary>The static method that ILGPU compiles.</summary>
    public MethodInfo Entry { get; }

    /// <inheritdoc/>
    public override string ToString() => Name;

    public static GpuKernelInfo Of<TKernel>()
        where TKernel : struct, IGpuKernel
        => Cache<TKernel>.Value;

    /// <summary>The same for a type that is known at run time alone.</summary>
    [UnconditionalSuppressMessage("AOT", "IL3050", Justification = "Kernels are compiled at run time: ILGPU needs a just-in-time compiler anyway.")]
    [UnconditionalSuppressMessage("Trimming", "IL2060", Justification = "A struct's constructor is its default value.")]
    [UnconditionalSuppressMessage("Trimming", "IL2071", Justification = "A struct's constructor is its default value.")]
    public static GpuKernelInfo Of(Type kernel)
        => (GpuKernelInfo)typeof(GpuKernelInfo).GetMethod(nameof(Of), BindingFlags.Public | BindingFlags.Static, [])!.MakeGenericMethod(kernel).Invoke(null, null)!;

    private static string NameOf(Type type)
    {
        string name = type.Name.Split('`')[0];
        return type.IsGenericType ? $"{name}_{string.Join('_', type.GetGenericArguments().Select(NameOf))}" : name;
    }

    private static class Cache<TKernel>
        where TKernel : struct, IGpuKernel
    {
        public static readonly GpuKernelInfo Value = new(typeof(TKernel), ((Action<TKernel>)KernelLauncher<TKernel>.Entry).Method)
        {
            GroupSize = TKernel.GroupSize,
            DynamicSharedBytes = TKernel.DynamicSharedBytes,
            MinGroupsPerMultiprocessor = TKernel.MinGroupsPerMultiprocessor,
            ClusterSize = TKernel.ClusterSize,
            Level = TKernel.Level,
            KeepsOrder = TKernel.KeepsOrder,
            IsHot = TKernel.IsHot,
            UsesTensorCores = TKernel.UsesTensorCores,
        };
    }
}
