using System.Globalization;

namespace MiniVlp.Bench.Peers;

/// <summary>The command line.</summary>
/// <param name="Threads">For each library.</param>
/// <param name="Seconds">For one workload.</param>
/// <param name="Filter">Part of a workload's name, or null for all.</param>
/// <param name="Clock">wall, or cpu: processor time of this process, which other programs on the machine disturb less; for one thread only.</param>
/// <param name="Json">Whether to print JSON instead of a table.</param>
internal sealed record Options(int Threads, double Seconds, string? Filter, string Clock, bool Json)
{
    public const string Usage = "MiniVlp.Bench.Peers [--threads N] [--seconds S] [--filter PART] [--clock wall|cpu] [--json]";

    /// <exception cref="ArgumentException">An option is unknown, lacks its value, or has one that does not do.</exception>
    public static Options Parse(string[] args)
    {
        Options options = new(Environment.ProcessorCount, 5, null, "wall", false);
        for (int i = 0; i < args.Length; i++)
        {
            if (args[i] is "--json")
            {
                options = options with { Json = true };
                continue;
            }

            string value = i + 1 < args.Length ? args[i + 1] : throw new ArgumentException($"{args[i]} needs a value.");
            options = args[i++] switch
            {
                "--threads" when int.TryParse(value, CultureInfo.InvariantCulture, out int threads) && threads > 0 => options with { Threads = threads },
                "--seconds" when double.TryParse(value, CultureInfo.InvariantCulture, out double seconds) && seconds > 0 => options with { Seconds = seconds },
                "--filter" => options with { Filter = value },
                "--clock" when value is "wall" or "cpu" => options with { Clock = value },
                string name => throw new ArgumentException($"{name} {value} is not understood."),
            };
        }

        if (options is { Clock: "cpu", Threads: > 1 }) throw new ArgumentException("--clock cpu is for --threads 1: waiting threads use processor time too.");
        return options;
    }
}
