using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using MiniVlp.Kernels.Gpu.Cuda;

namespace MiniVlp.Cli.KernelReports;

/// <summary>What ptxas and cuobjdump say about a kernel.</summary>
/// <param name="Name">The kernel.</param>
/// <param name="Succeeded">Whether it assembles.</param>
/// <param name="Log">The messages of ptxas.</param>
/// <param name="Registers">Registers of a thread.</param>
/// <param name="StaticSharedBytes">Static shared memory of a group.</param>
/// <param name="StackBytes">Local memory of a thread: arrays that did not fit into registers.</param>
/// <param name="SpillBytes">Bytes stored and loaded because registers ran out.</param>
/// <param name="Sass">The machine code; empty where it was not asked for.</param>
internal sealed record AssembledKernel(string Name, bool Succeeded, string Log, int Registers, int StaticSharedBytes, int StackBytes, int SpillBytes, SassListing Sass);

/// <summary>NVIDIA's assembler, which needs no GPU: found through MINIVLP_PTXAS or the path.</summary>
internal sealed partial class PtxAssembler
{
    private readonly string _ptxas, _cuobjdump;

    private PtxAssembler(string ptxas, string cuobjdump, Version version)
    {
        _ptxas = ptxas;
        _cuobjdump = cuobjdump;
        Version = version;
    }

    /// <summary>Version of the CUDA toolkit that ptxas belongs to.</summary>
    public Version Version { get; }

    /// <summary>The assembler, or null and why there is none.</summary>
    public static (PtxAssembler? Assembler, string Reason) Find()
    {
        string ptxas = Environment.GetEnvironmentVariable("MINIVLP_PTXAS") is { Length: > 0 } named ? named : "ptxas";
        string beside = Path.Combine(Path.GetDirectoryName(ptxas) ?? string.Empty, OperatingSystem.IsWindows() ? "cuobjdump.exe" : "cuobjdump");
        try
        {
            string text = Run(ptxas, ["--version"]).Output;
            if (VersionText().Match(text) is not { Success: true } match) return (null, $"{ptxas} is not NVIDIA's ptxas.");
            return (new PtxAssembler(ptxas, File.Exists(beside) ? beside : "cuobjdump", Version.Parse(match.Groups["version"].Value)), string.Empty);
        }
        catch (Win32Exception)
        {
            return (null, $"{ptxas} is not here; it belongs to NVIDIA's CUDA toolkit (.ci/cuda-tools fetches it), and MINIVLP_PTXAS may name it.");
        }
    }

    /// <summary>Whether it reads PTX for that target: each toolkit knows the language up to its own release.</summary>
    public bool Reads(PtxTarget target) => Version >= FirstRelease(target.PtxVersion);

    /// <summary>Assembles one kernel for an architecture, in files of its name in a folder.</summary>
    /// <exception cref="FormatException">ptxas says nothing about registers, the stack or spills that can be read here.</exception>
    public AssembledKernel Assemble(PtxKernel kernel, string architecture, string folder, bool disassemble)
    {
        string source = Path.Combine(folder, $"{kernel.Name}.{architecture}.ptx"), binary = Path.ChangeExtension(source, ".cubin");
        File.WriteAllText(source, kernel.Text);
        (int code, string log) = Run(_ptxas, ["-v", "-O3", $"-arch={architecture}", source, "-o", binary]);
        if (code != 0) return new AssembledKernel(kernel.Name, false, log.Trim(), 0, 0, 0, 0, SassListing.Empty);
        SassListing sass = disassemble ? SassListing.Parse(Run(_cuobjdump, ["-sass", binary]).Output) : SassListing.Empty;
        int spills = Stated(SpillStores(), log) + Stated(SpillLoads(), log);
        return new AssembledKernel(kernel.Name, true, log.Trim(), Stated(Registers(), log), Number(Shared(), log), Stated(Stack(), log), spills, sass);
    }

    /// <summary>CUDA 11.8 came with PTX 7.8, 12.0 with 8.0, and so on: the minor numbers go together.</summary>
    private static Version FirstRelease(Version ptx) => new(ptx.Major + 4, ptx.Minor);

    /// <summary>A number that every kernel has: were a missing one 0, another wording of ptxas would pass for a kernel without spills.</summary>
    private static int Stated(Regex pattern, string log)
        => pattern.IsMatch(log) ? Number(pattern, log) : throw new FormatException($"Nothing in what ptxas says matches '{pattern}':\n{log}");

    /// <summary>The sum over the functions of a kernel; 0 where ptxas has no such line, as for shared memory that nobody uses.</summary>
    private static int Number(Regex pattern, string log) => pattern.Matches(log).Sum(match => int.Parse(match.Groups["number"].ValueSpan, CultureInfo.InvariantCulture));

    private static (int Code, string Output) Run(string program, string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true })!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output + errors.Result);
    }

    [GeneratedRegex(@"release (?<version>\d+\.\d+)", RegexOptions.ExplicitCapture, 10_000)]
    private static partial Regex VersionText();

    [GeneratedRegex(@"Used (?<number>\d+) registers", RegexOptions.ExplicitCapture, 10_000)]
    private static partial Regex Registers();

    [GeneratedRegex(@"(?<number>\d+) bytes smem", RegexOptions.ExplicitCapture, 10_000)]
    private static partial Regex Shared();

    [GeneratedRegex(@"(?<number>\d+) bytes stack frame", RegexOptions.ExplicitCapture, 10_000)]
    private static partial Regex Stack();

    [GeneratedRegex(@"(?<number>\d+) bytes spill stores", RegexOptions.ExplicitCapture, 10_000)]
    private static partial Regex SpillStores();

    [GeneratedRegex(@"(?<number>\d+) bytes spill loads", RegexOptions.ExplicitCapture, 10_000)]
    private static partial Regex SpillLoads();
}
