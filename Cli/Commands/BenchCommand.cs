using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using MiniVlp.Bench.Workloads;
using Spectre.Console;

namespace MiniVlp.Cli.Commands;

/// <summary><c>minivlp bench</c>: what the machine can do, then the workloads of bench/README.md and how close each comes to it.</summary>
internal sealed class BenchCommand : ToolCommand
{
    private readonly Option<string> _suite = new("--suite") { Description = "Which workloads.", HelpName = "cpu|mae", DefaultValueFactory = _ => "cpu" };
    private readonly Option<string?> _filter = new("--filter") { Description = "Only workloads whose name holds one of these texts, with commas between; ^ and $ stand for the start and the end of a name.", HelpName = "TEXT" };
    private readonly Option<double> _seconds = OptionRules.Number("--seconds", "Time for each workload.", 0.0, 3600.0, 2.0, "X");

    public BenchCommand(ToolHost host)
        : base("bench", "Time matrix products, operations and models, and compare with the peak of this machine.", host)
    {
        _suite.AcceptOnlyFromAmong("cpu", "mae");
        Add(_suite);
        Add(_filter);
        Add(_seconds);
    }

    protected override int Run(ToolContext context)
    {
        string? filter = context.Arguments.GetValue(_filter);
        IReadOnlyList<Workload> suite = context.Arguments.GetValue(_suite) == "mae" ? CpuSuite.MaskRatios : CpuSuite.All, workloads = CpuSuite.Select(suite, filter);
        if (workloads.Count == 0) throw new ToolException($"--filter {filter}: no workload has this in its name; there are {string.Join(", ", suite.Select(workload => workload.Name))}.");
        TimeSpan time = TimeSpan.FromSeconds(context.Arguments.GetValue(_seconds));
        MachinePeak peak = MachinePeak.Measure(context.ThreadCount);
        context.Console.WriteLine($"peak, {peak.Vectors}-bit vectors: {peak.OneCore}");
        if (context.ThreadCount > 1) context.Console.WriteLine($"peak, {peak.Vectors}-bit vectors: {peak.AllCores}");
        List<(Workload Workload, Timing Time)> timings = [];
        foreach (Workload workload in workloads)
        {
            if (context.Console.Profile.Capabilities.Interactive || context.Json) context.Console.WriteLine($"{workload.Name} ({timings.Count + 1} of {workloads.Count})");
            timings.Add((workload, WorkloadTimer.Measure(workload, context.Device, time, context.Cancellation)));
        }

        // Again at the end: a neighbour on the machine may have held back the first one.
        peak = peak.Or(MachinePeak.Measure(context.ThreadCount));
        RooflineRow[] rows = [.. timings.Select(timing => RooflineRow.Of(timing.Workload, timing.Time, peak.AllCores))];
        if (context.Json) context.WriteJson(ToJson(context, rows, peak));
        else Print(context, rows, peak);
        return ExitCode.Success;
    }

    private static JsonObject ToJson(ToolContext context, IEnumerable<RooflineRow> rows, MachinePeak peak) => new()
    {
        ["device"] = context.Device.ToString(),
        ["threads"] = context.ThreadCount,
        ["peak"] = new JsonObject
        {
            ["vector_bits"] = peak.Vectors,
            ["one_core"] = ToJson(peak.OneCore),
            ["all_cores"] = ToJson(peak.AllCores),
        },
        ["workloads"] = new JsonArray([.. rows.Select(row => (JsonNode?)new JsonObject
        {
            ["name"] = row.Name,
            ["median_ms"] = row.Time.MedianMilliseconds,
            ["best_ms"] = row.Time.BestMilliseconds,
            ["runs"] = row.Time.Runs,
            ["gflops"] = row.GigaflopsPerSecond,
            ["gbytes"] = row.GigabytesPerSecond,
            ["bound"] = row.Bound,
            ["share_of_bound"] = row.ShareOfBound,
            ["best_share_of_bound"] = row.BestShareOfBound,
        })]),
    };

    private static JsonObject ToJson(MachineRate rate) => new()
    {
        ["threads"] = rate.Threads,
        ["gflops"] = rate.GigaflopsPerSecond,
        ["gbytes"] = rate.GigabytesPerSecond,
        ["gbytes_loop"] = rate.MemoryLoop,
        ["cache_gbytes"] = rate.CacheGigabytesPerSecond,
    };

    private static void Print(ToolContext context, IEnumerable<RooflineRow> rows, MachinePeak peak)
    {
        Table table = new() { Border = TableBorder.Simple };
        table.AddColumn("workload");
        foreach (string name in (string[])["median ms", "best ms", "GFLOP/s", "GB/s", "bound", "of it", "best"]) table.AddColumn(new TableColumn(name).RightAligned());
        foreach (RooflineRow row in rows)
        {
            table.AddRow(
                row.Name, Number(row.Time.MedianMilliseconds, "0.000"), Number(row.Time.BestMilliseconds, "0.000"), Number(row.GigaflopsPerSecond, "0.0"),
                Number(row.GigabytesPerSecond, "0.0"), row.Bound, Number(100 * row.ShareOfBound, "0 \\%"), Number(100 * row.BestShareOfBound, "0 \\%"));
        }

        context.Console.Write(table);
        context.Output.WriteLine($"The bound of a workload is the longer of its arithmetic at the peak rate and its bytes at the bandwidth; of it: that time over the median. Peak, best of before and after: {peak.AllCores}.");
    }

    private static string Number(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
}
