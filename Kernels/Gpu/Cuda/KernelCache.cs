using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Reflection;
using System.Security.Cryptography;
using System.Text;
using ILGPU;

namespace MiniVlp.Kernels.Gpu.Cuda;

/// <summary>
/// PTX of kernels from files, or from the compiler where there is no good one. A file's name holds a hash of all that its text depends on; a
/// new build of any assembly that the kernel comes from is another file. Files are written beside their place and renamed, and damaged ones are
/// written anew. No failure of the file system is an error here.
/// </summary>
/// <param name="target">What the PTX is for.</param>
/// <param name="folder">Where the files are; null: nowhere, every process compiles for itself.</param>
internal sealed class KernelCache(PtxTarget target, string? folder) : IDisposable
{
    /// <summary>Name of the environment variable with the folder, or <c>off</c>.</summary>
    public const string Variable = "MINIVLP_KERNEL_CACHE";

    private const string Format = "minivlp-ptx-1";
    private const int LongestName = 80;
    private const int MaxFileBytes = 64 << 20;

    private static readonly ConcurrentDictionary<Assembly, HashSet<Assembly>> Closures = new();
    private readonly PtxCompiler _compiler = new(target);

    /// <summary>Kernels that had to be compiled so far.</summary>
    public int CompiledCount { get; private set; }

    /// <summary>What the PTX is for.</summary>
    public PtxTarget Target => target;

    /// <summary>Whether there is a folder.</summary>
    public bool IsKept => folder is not null;

    /// <summary>The folder of the user's cache, unless the environment names another or turns it off.</summary>
    public static string? DefaultFolder()
    {
        if (Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } chosen)
            return chosen.Equals("off", StringComparison.OrdinalIgnoreCase) ? null : chosen;
        string root = Environment.GetEnvironmentVariable("XDG_CACHE_HOME") is { Length: > 0 } cache && Path.IsPathFullyQualified(cache)
            ? cache
            : Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData);
        return root.Length > 0 ? Path.Combine(root, "minivlp", "kernels") : null;
    }

    /// <summary>The PTX of a kernel.</summary>
    /// <exception cref="NotSupportedException">See <see cref="PtxCompiler.Compile"/>.</exception>
    public PtxKernel Get(GpuKernelInfo kernel)
    {
        if (folder is null) return Compile(kernel);
        string path = PathOf(kernel);
        if (TryRead(path) is { } text) return new PtxKernel(kernel.Name, text);
        PtxKernel compiled = Compile(kernel);
        TryWrite(path, compiled.Text);
        return compiled;
    }

    /// <summary>Compiles the kernels that have no good file, on all processors.</summary>
    /// <param name="kernels">Kernels for this target.</param>
    /// <param name="onKernel">Is told the name of each kernel when it is there; by several threads.</param>
    /// <param name="cancellation">Stops between two kernels.</param>
    /// <exception cref="NotSupportedException">See <see cref="PtxCompiler.Compile"/>.</exception>
    public void Fill(IReadOnlyList<GpuKernelInfo> kernels, Action<string>? onKernel, CancellationToken cancellation)
        => PtxCompiler.ForEach(
            target, kernels,
            (compiler, kernel) =>
            {
                string path = PathOf(kernel);
                if (TryRead(path) is null) TryWrite(path, compiler.Compile(kernel).Text);
                onKernel?.Invoke(kernel.Name);
            },
            cancellation);

    /// <summary>The file of a kernel.</summary>
    public string PathOf(GpuKernelInfo kernel)
    {
        StringBuilder key = new();
        key.Append(CultureInfo.InvariantCulture, $"{Format}\n{target}\n{kernel.Type.FullName}\n{kernel.GroupSize} {kernel.MinGroupsPerMultiprocessor} {kernel.ClusterSize} {kernel.KeepsOrder}\n");
        foreach (Guid version in Assemblies(kernel.Type).Append(typeof(Context).Assembly).Select(assembly => assembly.ManifestModule.ModuleVersionId).Order()) key.Append(version).Append('\n');
        string hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(key.ToString())))[..32];
        string name = kernel.Name.Length <= LongestName ? kernel.Name : kernel.Name[..LongestName];
        return Path.Combine(folder ?? string.Empty, $"{name}-{target.ArchitectureFor(kernel.Level)}-{hash}.ptx");
    }

    public void Dispose() => _compiler.Dispose();

    private PtxKernel Compile(GpuKernelInfo kernel)
    {
        CompiledCount++;
        return _compiler.Compile(kernel);
    }

    /// <summary>The assemblies of the kernel and of its type arguments, and all that these refer to, without those of .NET.</summary>
    private static HashSet<Assembly> Assemblies(Type type)
    {
        HashSet<Assembly> found = [];
        foreach (Assembly assembly in Parts(type).Select(part => part.Assembly).Distinct()) found.UnionWith(Closures.GetOrAdd(assembly, Closure));
        return found;
    }

    [UnconditionalSuppressMessage("Trimming", "IL2026", Justification = "A trimmed program is one build; fewer references make no difference.")]
    private static HashSet<Assembly> Closure(Assembly root)
    {
        HashSet<Assembly> found = [root];
        for (Queue<Assembly> open = new([root]); open.TryDequeue(out Assembly? assembly);)
        {
            foreach (AssemblyName reference in assembly.GetReferencedAssemblies().Where(reference => !IsFramework(reference)))
                if (TryLoad(reference) is { } other && found.Add(other)) open.Enqueue(other);
        }

        return found;
    }

    private static Assembly? TryLoad(AssemblyName name)
    {
        try
        {
            return Assembly.Load(name);
        }
        catch (Exception exception) when (exception is IOException or BadImageFormatException)
        {
            return null;
        }
    }

    private static bool IsFramework(AssemblyName name)
        => name.Name is null or "mscorlib" or "netstandard" || name.Name.StartsWith("System", StringComparison.Ordinal) || name.Name.StartsWith("Microsoft.", StringComparison.Ordinal);

    private static IEnumerable<Type> Parts(Type type) => type.GetGenericArguments().SelectMany(Parts).Prepend(type);

    private static string? TryRead(string path)
    {
        try
        {
            FileInfo file = new(path);
            if (!file.Exists || file.Length > MaxFileBytes) return null;
            string[] parts = File.ReadAllText(path).Split('\n', 2);
            return parts.Length == 2 && parts[0] == FirstLine(parts[1]) ? parts[1] : null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static void TryWrite(string path, string text)
    {
        string temporary = $"{path}.{Guid.NewGuid():N}.tmp";
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            File.WriteAllText(temporary, $"{FirstLine(text)}\n{text}");
            File.Move(temporary, path, overwrite: true);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            TryDelete(temporary);
        }
    }

    private static void TryDelete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // It was not there, or the folder takes no changes.
        }
    }

    private static string FirstLine(string text) => $"// {Format} {Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)))}";
}
