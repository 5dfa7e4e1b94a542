using System.CommandLine;

namespace MiniVlp.Cli.Commands;

/// <summary>The options that every command has.</summary>
public sealed class CommonOptions
{
    /// <summary>Results as one JSON document on standard output.</summary>
    public Option<bool> Json { get; } = new("--json") { Description = "Print the result as JSON; progress goes to standard error.", Recursive = true };

    /// <summary>Where to compute.</summary>
    public Option<string> Device { get; } = new("--device")
    {
        Description = "cpu, cuda, opencl or auto.",
        HelpName = "cpu|cuda|opencl|auto",
        DefaultValueFactory = _ => "auto",
        Recursive = true,
    };

    /// <summary>Number of threads.</summary>
    public Option<int> Threads { get; } = OptionRules.Number("--threads", "Threads to compute with; 0 is one per processor.", 0, 4096, 0);

    /// <summary>Seed of all random numbers.</summary>
    public Option<int> Seed { get; } = OptionRules.Number("--seed", "Seed of all random numbers; same seed, same result.", 0, int.MaxValue, 0);

    public CommonOptions()
    {
        Device.AcceptOnlyFromAmong("cpu", "cuda", "opencl", "auto");
        Threads.Recursive = true;
        Seed.Recursive = true;
    }

    public void AddTo(RootCommand root)
    {
        root.Add(Json);
        root.Add(Device);
        root.Add(Threads);
        root.Add(Seed);
    }
}
