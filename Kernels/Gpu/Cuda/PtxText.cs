using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace MiniVlp.Kernels.Gpu.Cuda;

/// <summary>
/// Mends the PTX that ILGPU writes: branches that it wrongly takes for uniform, the target, the alignment of shared memory, moves of a register
/// to itself, bodies of intrinsics that nobody calls. Names lose the counters of the context, so that the same kernel always has the same text.
/// </summary>
internal static partial class PtxText
{
    /// <summary>128-bit accesses need it; ILGPU aligns shared memory to its element type alone.</summary>
    private const int StaticSharedAlignment = 16;

    /// <summary>Rows of 128 bytes that ldmatrix reads.</summary>
    private const int DynamicSharedAlignment = 128;

    /// <summary>The period of the 128-byte swizzle of TMA and wgmma.</summary>
    private const int SwizzledSharedAlignment = 1024;

    /// <summary>One module with the kernel as its entry point.</summary>
    public static string Clean(string ptx, GpuKernelInfo kernel, PtxTarget target)
    {
        (List<string> items, string entry) = Split(ptx);
        StringBuilder text = new();
        text.Append(CultureInfo.InvariantCulture, $"// {kernel.Name}: {kernel.GroupSize} threads, {kernel.DynamicSharedBytes} bytes of dynamic shared memory\n");
        text.Append(CultureInfo.InvariantCulture, $".version {target.PtxVersion}\n.target {target.ArchitectureFor(kernel.Level)}\n.address_size 64\n\n");
        foreach (string item in Reachable(items, entry)) text.Append(item).Append('\n');
        string module = text.Append(entry).ToString();

        // ILGPU takes the results of calls, atomics and inline PTX for uniform. After bra.uni the threads of a warp need not meet again.
        module = ConditionalUniformBranch().Replace(module, "${branch}");
        module = MoveToItself().Replace(module, string.Empty);
        module = SharedAlignment().Replace(module, match => Align(match, kernel));
        module = EntryName().Replace(module, $".visible .entry {kernel.Name}(");
        if (kernel.ClusterSize > 1)
            module = GroupLimit().Replace(module, string.Create(CultureInfo.InvariantCulture, $"$0\n.reqnctapercluster {kernel.ClusterSize}, 1, 1"));
        return Renumber(module);
    }

    /// <summary>The declarations and functions at the top level, and the entry point; what stands before the first of them is dropped.</summary>
    private static (List<string> Items, string Entry) Split(string ptx)
    {
        List<string> items = [];
        string entry = string.Empty;
        StringBuilder item = new();
        bool started = false, inBody = false;
        foreach (string line in ptx.ReplaceLineEndings("\n").Split('\n'))
        {
            if (!started && !line.StartsWith(".visible", StringComparison.Ordinal) && !line.StartsWith(".extern", StringComparison.Ordinal)
                && !line.StartsWith(".const", StringComparison.Ordinal) && !line.StartsWith(".global", StringComparison.Ordinal) && !line.StartsWith(".func", StringComparison.Ordinal))
            {
                continue;
            }

            started = true;
            item.Append(line).Append('\n');
            if (line == "{") inBody = true;
            if (inBody ? line != "}" : !line.EndsWith(';')) continue;
            string finished = item.ToString();
            if (finished.StartsWith(".visible .entry", StringComparison.Ordinal)) entry = finished;
            else if (!items.Contains(finished, StringComparer.Ordinal)) items.Add(finished);
            item.Clear();
            (started, inBody) = (false, false);
        }

        return entry.Length > 0 ? (items, entry) : throw new FormatException("The PTX holds no entry point.");
    }

    /// <summary>What the entry point names, and what that names in turn.</summary>
    private static IEnumerable<string> Reachable(List<string> items, string entry)
    {
        HashSet<string> names = [];
        for (Queue<string> open = new([entry]); open.TryDequeue(out string? text);)
        {
            foreach (string item in items)
                if (DeclaredName(item) is { } name && !names.Contains(name) && Regex.IsMatch(text, $@"(?<![\w%]){name}(?!\w)", RegexOptions.None, TimeSpan.FromMilliseconds(TimeoutMilliseconds)) && names.Add(name)) open.Enqueue(item);
        }

        // A function is declared and then defined: both have its name.
        return items.Where(item => DeclaredName(item) is { } name && (names.Contains(name) || item.StartsWith(".extern .shared", StringComparison.Ordinal)));
    }

    private static string? DeclaredName(string item) => FunctionName().Match(item) is { Success: true } function
        ? function.Groups["name"].Value
        : VariableName().Match(item) is { Success: true } variable ? variable.Groups["name"].Value : null;

    private static string Align(Match match, GpuKernelInfo kernel)
    {
        int least = match.Groups["head"].Value.StartsWith(".extern", StringComparison.Ordinal)
            ? kernel.Level == CudaLevel.Sm90a ? SwizzledSharedAlignment : DynamicSharedAlignment
            : StaticSharedAlignment;
        int alignment = int.Parse(match.Groups["number"].Value, CultureInfo.InvariantCulture);
        return string.Create(CultureInfo.InvariantCulture, $"{match.Groups["head"].Value}{Math.Max(least, alignment)}");
    }

    /// <summary>Numbers the names that end in a counter of ILGPU's anew, in the order in which they appear.</summary>
    private static string Renumber(string module)
    {
        Dictionary<string, int> numbers = new(StringComparer.Ordinal);
        string[] parts = module.Split(".address_size 64\n", 2);
        string body = NumberedName().Replace(parts[1], match =>
        {
            if (!numbers.TryGetValue(match.Groups["number"].Value, out int number)) numbers.Add(match.Groups["number"].Value, number = numbers.Count);
            return string.Create(CultureInfo.InvariantCulture, $"{match.Groups["head"].Value}{number}");
        });
        return $"{parts[0]}.address_size 64\n{body}";
    }

    private const int TimeoutMilliseconds = 10_000;

    [GeneratedRegex(@"(?<branch>@!?%p\d+\s+bra)\.uni\b", RegexOptions.ExplicitCapture, TimeoutMilliseconds)]
    private static partial Regex ConditionalUniformBranch();

    [GeneratedRegex(@"^[ \t]*mov\.\w+\s+(?<register>%\w+), \k<register>;\n", RegexOptions.Multiline | RegexOptions.ExplicitCapture, TimeoutMilliseconds)]
    private static partial Regex MoveToItself();

    [GeneratedRegex(@"(?<head>(\.extern )?\.shared \.align )(?<number>\d+)", RegexOptions.ExplicitCapture, TimeoutMilliseconds)]
    private static partial Regex SharedAlignment();

    [GeneratedRegex(@"\.visible \.entry \w+\(", RegexOptions.ExplicitCapture, TimeoutMilliseconds)]
    private static partial Regex EntryName();

    [GeneratedRegex(@"^\.maxntid .*$", RegexOptions.Multiline | RegexOptions.ExplicitCapture, TimeoutMilliseconds)]
    private static partial Regex GroupLimit();

    [GeneratedRegex(@"^(\.visible )?\.func (\([^)]*\) )?(?<name>\w+)", RegexOptions.ExplicitCapture, TimeoutMilliseconds)]
    private static partial Regex FunctionName();

    [GeneratedRegex(@"^(\.visible |\.extern )?\.(shared|global|const) .*?(?<name>\w+)\s*(\[|=|;)", RegexOptions.ExplicitCapture, TimeoutMilliseconds)]
    private static partial Regex VariableName();

    [GeneratedRegex(@"(?<![\w%.$])(?<head>[A-Za-z_]\w*?_)(?<number>\d+)(?!\w)", RegexOptions.ExplicitCapture, TimeoutMilliseconds)]
    private static partial Regex NumberedName();
}
