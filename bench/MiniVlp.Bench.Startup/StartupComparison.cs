using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace MiniVlp.Bench.Startup;

/// <summary>Starts each variant so many times, in turns, so that what else runs on the machine disturbs all of them alike.</summary>
/// <param name="Runs">Counted starts of each.</param>
/// <param name="Only">Names of variants, or null for all.</param>
/// <param name="Model">A folder of a CLIP, or null for an untrained small one.</param>
/// <param name="JsonFile">Where the report goes too, or null.</param>
internal sealed record StartupComparison(int Runs, string[]? Only, string? Model, string? JsonFile)
{
    private const string Query = "a red circle above a blue square";

    /// <exception cref="ArgumentException">An option is unknown, lacks its value, or has one that does not do.</exception>
    public static StartupComparison Parse(string[] args)
    {
        StartupComparison comparison = new(10, null, null, null);
        for (int i = 0; i < args.Length; i += 2)
        {
            string value = i + 1 < args.Length ? args[i + 1] : throw new ArgumentException($"{args[i]} needs a value.");
            comparison = args[i] switch
            {
                "--runs" when int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out int runs) && runs > 0 => comparison with { Runs = runs },
                "--only" => comparison with { Only = value.Split(',') },
                "--model" => comparison with { Model = Path.GetFullPath(value) },
                "--json" => comparison with { JsonFile = value },
                string name => throw new ArgumentException($"{name} {value} is not understood."),
            };
        }

        return comparison.Only?.FirstOrDefault(name => Variant.All.All(variant => variant.Name != name)) is { } unknown
            ? throw new ArgumentException($"--only {unknown}: the variants are {string.Join(", ", Variant.All.Select(variant => variant.Name))}.")
            : comparison;
    }

    /// <summary>Publishes, starts and counts.</summary>
    public StartupReport Run()
    {
        string root = Path.GetFullPath("artifacts/startup");
        (Variant Variant, string Folder, List<Start> Starts, List<double> Searches)[] all =
            [.. Variant.All.Where(variant => Only is null || Only.Contains(variant.Name)).Select(variant => (variant, variant.Publish(root), new List<Start>(), new List<double>()))];
        string tool = Path.Combine(all[0].Folder, "minivlp"), model = Model ?? Path.Combine(root, "model"), index = Path.Combine(root, "index.safetensors");
        if (Model is null) Execute(tool, "train", "--data", "scenes:train:64", "--model", "small", "--steps", "1", "--batch", "16", "--out", model);
        Execute(tool, "embed", "--model", model, "--data", "scenes:validation:4", "--out", index);
        for (int run = 0; run <= Runs; run++)
        {
            foreach ((_, string folder, List<Start> starts, List<double> searches) in all)
            {
                string answer = Execute(Path.Combine(folder, "MiniVlp.Bench.Startup"), "probe", model, "cpu", Stopwatch.GetTimestamp().ToString(CultureInfo.InvariantCulture));
                long start = Stopwatch.GetTimestamp();
                Execute(Path.Combine(folder, "minivlp"), "search", "--model", model, "--index", index, "--json", Query);
                double search = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
                if (run == 0) continue;
                starts.Add(JsonSerializer.Deserialize(answer, StartupJson.Default.Start)!);
                searches.Add(search);
            }
        }

        return new StartupReport(RuntimeInformation.FrameworkDescription, Environment.ProcessorCount, Runs, [.. all.Select(one => Row(one.Variant.Name, one.Folder, one.Starts, one.Searches))]);
    }

    private static VariantRow Row(string name, string folder, List<Start> starts, List<double> searches)
    {
        Step[] steps = [.. starts[0].Steps.Select((step, i) => new Step(
            step.Name, Median(starts.Select(start => start.Steps[i].Ms)), Median(starts.Select(start => start.Steps[i].CompilingMs)), (long)Median(starts.Select(start => (double)start.Steps[i].Methods))))];
        double[] first = [.. starts.Select(start => start.Steps.TakeWhile(step => step.Name != "text 2").Sum(step => step.Ms))];
        double bytes = Directory.GetFiles(folder, "*", SearchOption.AllDirectories).Sum(file => (double)new FileInfo(file).Length);
        return new VariantRow(name, bytes / 1e6, steps, Median(first), first.Min(), Median(starts.Select(start => start.WarmPictureMs)), Median(searches), searches.Min());
    }

    private static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted[sorted.Length / 2];
    }

    private static string Execute(string program, params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, UseShellExecute = false })!;
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0 ? output : throw new InvalidOperationException($"{program} {arguments[0]} ended with {process.ExitCode}.");
    }
}
