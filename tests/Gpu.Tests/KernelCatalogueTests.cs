using System.Reflection;
using MiniVlp.Kernels;
using MiniVlp.Kernels.Gpu;
using MiniVlp.Kernels.Gpu.Cuda;
using MiniVlp.Nn;
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

    /// <summary>A model launches products with whatever its config names; a kernel that is not listed is neither compiled ahead nor assembled by the tests.</summary>
    [Fact]
    public void Products_AreClosedOverTheActivationsOfConfigs()
    {
        Activation[] known = (Activation[])typeof(Activation).GetField("Known", BindingFlags.NonPublic | BindingFlags.Static)!.GetValue(null)!;
        Assert.NotEmpty(known);
        IReadOnlyList<Type> listed = new EpilogueActivationsAttribute().Types;
        Assert.All(known, activation => Assert.Contains(Assert.Single(activation.GetType().GetGenericArguments()), listed));
        HashSet<string> names = [.. KernelCatalogue.All.Select(kernel => kernel.Name)];
        foreach (Type activation in listed)
            foreach (string product in (string[])["MatMulSumKernel", "DotKernel_AlignedAccess", "WgmmaMatMulKernel_TensorFloat32Operands_Accumulator256"]) Assert.Contains($"{product}_{activation.Name}", names);
    }

    [Fact]
    public void Names_AreFitForFiles()
        => Assert.All(KernelCatalogue.All, kernel => Assert.Matches("^[A-Za-z][A-Za-z0-9_]{0,150}$", kernel.Name));

    [Fact]
    public void TensorCoreKernels_AreForCuda()
        => Assert.All(KernelCatalogue.All.Where(kernel => kernel.UsesTensorCores), kernel => Assert.NotEqual(CudaLevel.Portable, kernel.Level));

    /// <summary>
    /// ILGPU takes structs with the same sequence of fields for one type, so a nested struct must not place its fields elsewhere than the sequence
    /// itself would: no padding at its end that a smaller field follows, no alignment that its first field does not ask for.
    /// </summary>
    [Fact]
    public void NestedStructs_ArePlacedAsTheirFieldsAlone()
    {
        List<string> misplaced = [];
        foreach (GpuKernelInfo kernel in KernelCatalogue.All)
        {
            int offset = 0;
            foreach (ParameterField field in (IReadOnlyList<ParameterField>)typeof(KernelArguments<>).MakeGenericType(kernel.Type).GetProperty("Fields")!.GetValue(null)!)
            {
                offset = (offset + field.Size - 1) / field.Size * field.Size;
                if (offset != field.Offset)
                {
                    misplaced.Add($"{kernel}: a field at {field.Offset} would lie at {offset} without the struct around it");
                    break;
                }

                offset += field.Size;
            }
        }

        Assert.True(misplaced.Count == 0, string.Join("\n", misplaced));
    }
}
