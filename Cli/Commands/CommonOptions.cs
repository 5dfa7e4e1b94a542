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
        Description = "auto, cpu, cuda, opencl, each GPU with :N for the N-th; ilgpu-cpu runs GPU kernels under a debugger. 'minivlp devices' lists them.",
        HelpName = "auto|cpu|cuda[:N]|opencl[:N]|ilgpu-cpu",
        DefaultValueFactory = _ => "auto",
        Recursive = true,
    };

    /// <summary>How a GPU rounds the operands of matrix products.</summary>
    public Option<string> Precision { get; } = new("--precision")
    {
        Description = "Operands of matrix products on a GPU: float32, tf32 or bf16 (mixed precision: weights, sums, norms and losses stay float32).",
        HelpName = "float32|tf32|bf16",
        DefaultValueFactory = _ => "float32",
        Recursive = true,
    };

    /// <summary>How the CPU keeps the weights of a model that it only runs.</summary>
    public Option<string> Weights { get; } = new("--weights")
    {
        Description = "Weights of a model that is only run, on the CPU: float32, bf16 (half the memory) or int8 (a quarter, one scale for each output).",
        HelpName = "float32|bf16|int8",
        DefaultValueFactory = _ => "float32",
        Recursive = true,
    };

    /// <summary>Number of threads.</summary>
    public Option<int> Threads { get; } = OptionRules.Number("--threads", "Threads to compute with; 0 is one per processor.", 0, 4096, 0);

    /// <summary>Seed of all random numbers.</summary>
    public Option<int> Seed { get; } = OptionRules.Number("--seed", "Seed of all random numbers; same seed, same result.", 0, int.MaxValue, 0);

    public CommonOptions()
    {
        Device.Validators.Add(result =>
        {
            string name = result.GetValueOrDefault<string>() ?? string.Empty;
            if (DeviceChoice.TryParse(name) is null) result.AddError($"--device '{name}': expected auto, cpu, cuda, opencl or ilgpu-cpu; a GPU may have a number behind a colon, as in cuda:1.");
        });
        Precision.AcceptOnlyFromAmong("float32", "tf32", "bf16");
        Weights.AcceptOnlyFromAmong("float32", "bf16", "int8");
        Threads.Recursive = true;
        Seed.Recursive = true;
    }

    public void AddTo(RootCommand root)
    {
        root.Add(Json);
        root.Add(Device);
        root.Add(Precision);
        root.Add(Weights);
        root.Add(Threads);
        root.Add(Seed);
    }
}
