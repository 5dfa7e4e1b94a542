using System.Diagnostics.CodeAnalysis;
using System.Reflection;

namespace MiniVlp.Kernels.Gpu;

/// <summary>
/// Limits what the catalogue puts in the place of a type parameter: every element-wise operation as epilogue of every shape of matrix product would
/// be thousands of kernels that nobody runs. Others are still compiled when they are first used.
/// </summary>
/// <param name="types">The types to put there.</param>
[AttributeUsage(AttributeTargets.GenericParameter)]
internal class CatalogueAttribute(params Type[] types) : Attribute
{
    public IReadOnlyList<Type> Types => types;
}

/// <summary>
/// What models have behind a matrix product: the activations that a config can name (<c>Activation</c> in MiniVlp.Nn), among them ReLU and the
/// hyperbolic tangent, which poolers and classifiers here ask for by type.
/// </summary>
internal sealed class EpilogueActivationsAttribute() : CatalogueAttribute(
    typeof(GpuBackend.NoActivation), typeof(Gelu), typeof(GeluTanh), typeof(QuickGelu), typeof(Relu), typeof(Silu), typeof(Tanh), typeof(Mish));

/// <summary>
/// All kernels of the product: every kernel struct, the generic ones with every type argument that fulfils their constraints, which are the
/// element-wise operations and the strategies (tiles, layouts, terms) of this assembly.
/// </summary>
internal static class KernelCatalogue
{
    /// <summary>A strategy may be generic over another one; deeper nesting does not occur.</summary>
    private const int MaxDepth = 4;

    private static readonly Lazy<IReadOnlyList<GpuKernelInfo>> Kernels = new(() => Of(typeof(IGpuKernel).Assembly));

    /// <summary>The kernels in the order of their names.</summary>
    public static IReadOnlyList<GpuKernelInfo> All => Kernels.Value;

    /// <summary>The kernels of one assembly, closed over its own types.</summary>
    [UnconditionalSuppressMessage("Trimming", "IL2026", Justification = "In a trimmed program the catalogue is smaller; kernels are found where they are used.")]
    public static IReadOnlyList<GpuKernelInfo> Of(Assembly assembly)
    {
        Type[] structs = [.. assembly.GetTypes().Where(type => type is { IsValueType: true, IsEnum: false, IsByRefLike: false })];
        Type[] arguments = [.. structs.Where(type => !IsKernel(type))];
        GpuKernelInfo[] kernels = [.. structs.Where(IsKernel).SelectMany(kernel => Close(kernel, arguments, MaxDepth)).Select(GpuKernelInfo.Of).OrderBy(kernel => kernel.Name, StringComparer.Ordinal)];
        string[] twice = [.. kernels.CountBy(kernel => kernel.Name, StringComparer.Ordinal).Where(pair => pair.Value > 1).Select(pair => pair.Key)];
        return twice.Length == 0 ? kernels : throw new InvalidOperationException($"Two kernels have one name: {string.Join(", ", twice)}.");
    }

    [UnconditionalSuppressMessage("Trimming", "IL2070", Justification = "A kernel that is used keeps its interface.")]
    private static bool IsKernel(Type type) => typeof(IGpuKernel).IsAssignableFrom(type);

    /// <summary>A type with all combinations of type arguments in the place of its parameters; itself where it has none.</summary>
    private static IEnumerable<Type> Close(Type type, Type[] candidates, int depth)
    {
        if (!type.IsGenericTypeDefinition) return [type];
        IEnumerable<Type[]> combinations = [[]];
        foreach (Type parameter in type.GetGenericArguments())
        {
            Type[] choices = [.. Choices(parameter, candidates, depth)];
            combinations = combinations.SelectMany(chosen => choices.Select(choice => (Type[])[.. chosen, choice]));
        }

        return combinations.Select(chosen => TryClose(type, chosen)).OfType<Type>();
    }

    private static IEnumerable<Type> Choices(Type parameter, Type[] candidates, int depth)
    {
        if (parameter.GetCustomAttribute<CatalogueAttribute>() is { } listed) return listed.Types;
        Type[] constraints = [.. parameter.GetGenericParameterConstraints().Where(constraint => constraint.IsInterface)];
        if (constraints.Length == 0 || depth == 0) return [];

        // Public operations come from public types: what else implements them is part of another kernel.
        bool isPublic = constraints.All(constraint => constraint.IsVisible);
        return candidates.Where(candidate => (isPublic ? candidate.IsVisible : !candidate.IsNestedPrivate) && constraints.All(constraint => Implements(candidate, constraint))).SelectMany(candidate => Close(candidate, candidates, depth - 1));
    }

    /// <summary>Compared by definition: a constraint may name the parameter itself, and making the closed type checks the rest.</summary>
    [UnconditionalSuppressMessage("Trimming", "IL2070", Justification = "In a trimmed program the catalogue is smaller.")]
    private static bool Implements(Type candidate, Type constraint)
        => candidate.GetInterfaces().Any(implemented => Definition(implemented) == Definition(constraint));

    private static Type Definition(Type type) => type.IsGenericType ? type.GetGenericTypeDefinition() : type;

    [UnconditionalSuppressMessage("AOT", "IL3050", Justification = "Kernels are compiled at run time: ILGPU needs a just-in-time compiler anyway.")]
    [UnconditionalSuppressMessage("Trimming", "IL2055", Justification = "The arguments are structs, whose constructor is their default value.")]
    private static Type? TryClose(Type definition, Type[] arguments)
    {
        try
        {
            return definition.MakeGenericType(arguments);
        }
        catch (ArgumentException)
        {
            return null;
        }
    }
}
