using MiniVlp.Kernels;
using MiniVlp.Kernels.Gpu;
using MiniVlp.Kernels.Gpu.Cuda;
using Xunit;

namespace MiniVlp.Gpu.Tests;

/// <summary>The list of all kernels.</summary>
public sealed class KernelCatalogueTests
{
    [Fact]
    public void EveryKernelType_IsListed()
    {
        IEnumerable<Type> definitions = typeof(GpuBackend).Assembly.GetTypes().Where(type => type is { IsValueType: true } && type.GetInterfaces().Contains(typeof(IGpuKernel)));
        Type[] missing = [.. definitions.Where(type => !KernelCatalogue.All.Any(kernel => (kernel.Type.IsGenericType && type.IsGenericTypeDefinition ? kernel.Type.GetGenericTypeDefinition() : kernel.Type) == type))];
        Assert.Empty(missing);
    }

    [Fact]
    public void GenericKernels_AreClosedOverTheOperations()
    {
        string[] names = [.. KernelCatalogue.All.Select(kernel => kernel.Name)];
        foreach (string operation in (string[])[nameof(Gelu), nameof(Relu), nameof(Exp), nameof(Tanh)]) Assert.Contains($"UnaryKernel_{operation}", names);
        Assert.Contains("MatMulSumKernel_QuickGelu", names);
        Assert.DoesNotContain("MatMulSumKernel_Exp", names);
    }

    [Fact]
    public void Names_AreFitForFiles()
        => Assert.All(KernelCatalogue.All, kernel => Assert.Matches("^[A-Za-z][A-Za-z0-9_]{0,150}$", kernel.Name));

    [Fact]
    public void TensorCoreKernels_AreForCuda()
        => Assert.All(KernelCatalogue.All.Where(kernel => kernel.UsesTensorCores), kernel => Assert.NotEqual(CudaLevel.Portable, kernel.Level));
}
