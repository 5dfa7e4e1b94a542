using System.Globalization;

namespace MiniVlp.Bench.Peers;

/// <summary>The command line.</summary>
/// <param name="Threads">For each library.</param>
/// <param name="Seconds">For one workload.</param>
/// <param name="Filter">Parts of names, see <see cref="Workloads.CpuSuite.Select(string)"/>; null for all.</param>
/// <param name="Clock">wall, or cpu: processor time of this process, which other programs on the machine disturb less; for one thread only.</param>
/// <param name="Json">Whether to print JSON instead of a table.</param>
/// <param name="OursOnly">Whether to leave the peers out.</param>
/// <param name="List">Whether to print the names alone.</param>
/// <param name="Growth">Whether to take the workloads that show how cost grows instead of the suite.</param>
/// <param name="Rows">A file of JSON lines that gets each result at once; workloads that it holds already are left out.</param>
/// <param name="Memory">ours, torch or onnx: measure the peak memory of one workload in this library instead of times; null for times.</param>
/// <param name="Report">A folder of such files to make one table of; null for none.</param>
/// <param name="Out">Where the table goes, without .md and .json.</param>
internal sealed record Options(int Threads, double Seconds, string? Filter, string Clock, bool Json, bool OursOnly, bool List, bool Growth, string? Rows, string? Memory, string? Report, string? Out)
{
    public const string Usage = """
        MiniVlp.Bench.Peers [--threads N] [--seconds S] [--filter PARTS] [--clock wall|cpu] [--json | --rows FILE] [--ours]
        MiniVlp.Bench.Peers --memory ours|torch|onnx --filter ^NAME$ [--growth] [--threads N] [--rows FILE]
        MiniVlp.Bench.Peers --list [--growth] [--filter PARTS]
        MiniVlp.Bench.Peers --report FOLDER --out PATH
        """;

    /// <exception cref="ArgumentException">An option is unknown, lacks its value, or has one that does not do.</exception>
    public static Options Parse(string[] args)
    {
        Options options = new(Environment.ProcessorCount, 5, null, "wall", false, false, false, false, null, null, null, null);
        for (int i = 0; i < args.Length; i++)
        {
            if (args[i] is "--json" or "--ours" or "--list" or "--growth")
            {
                options = args[i] switch
                {
                    "--json" => options with { Json = true },
                    "--ours" => options with { OursOnly = true },
                    "--list" => options with { List = true },
                    _ => options with { Growth = true },
                };
                continue;
            }

            string value = i + 1 < args.Length ? args[i + 1] : throw new ArgumentException($"{args[i]} needs a value.");
            options = args[i++] switch
            {
                "--threads" when int.TryParse(value, CultureInfo.InvariantCulture, out int threads) && threads > 0 => options with { Threads = threads },
                "--seconds" when double.TryParse(value, CultureInfo.InvariantCulture, out double seconds) && seconds > 0 => options with { Seconds = seconds },
                "--filter" => options with { Filter = value },
                "--clock" when value is "wall" or "cpu" => options with { Clock = value },
                "--rows" => options with { Rows = value },
                "--memory" when value is "ours" or "torch" or "onnx" => options with { Memory = value },
                "--report" => options with { Report = value },
                "--out" => options with { Out = value },
                string name => throw new ArgumentException($"{name} {value} is not understood."),
            };
        }

        if (options is { Clock: "cpu", Threads: > 1 }) throw new ArgumentException("--clock cpu is for --threads 1: waiting threads use processor time too.");
        if (options is { Report: not null, Out: null }) throw new ArgumentException("--report needs --out PATH.");
        return options;
    }
}
