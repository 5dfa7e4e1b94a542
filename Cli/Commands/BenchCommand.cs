using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using MiniVlp.Bench.Workloads;
using Spectre.Console;

namespace MiniVlp.Cli.Commands;

/// <summary><c>minivlp bench</c>: times the workloads of the README.</summary>
internal sealed class BenchCommand : ToolCommand
{
    private readonly Option<string> _suite = new("--suite") { Description = "Which workloads.", HelpName = "cpu", DefaultValueFactory = _ => "cpu" };
    private readonly Option<string?> _filter = new("--filter") { Description = "Only workloads whose name holds this text.", HelpName = "TEXT" };
    private readonly Option<double> _seconds = OptionRules.Number("--seconds", "Time for each workload.", 0.0, 3600.0, 2.0, "X");

    public BenchCommand(ToolHost host)
        : base("bench", "Time matrix products, operations and models.", host)
    {
        _suite.AcceptOnlyFromAmong("cpu");
        Add(_suite);
        Add(_filter);
        Add(_seconds);
    }

    protected override int Run(ToolContext context)
    {
        string filter = context.Arguments.GetValue(_filter) ?? string.Empty;
        Workload[] workloads = [.. CpuSuite.All.Where(workload => workload.Name.Contains(filter, StringComparison.Ordinal))];
        if (workloads.Length == 0) throw new ToolException($"--filter {filter}: no workload has this in its name; there are {string.Join(", ", CpuSuite.All.Select(workload => workload.Name))}.");
        TimeSpan time = TimeSpan.FromSeconds(context.Arguments.GetValue(_seconds));
        MachinePeak peak = MachinePeak.Measure(context.ThreadCount);
        List<Timing> timings = [];
        foreach (Workload workload in workloads) timings.Add(WorkloadTimer.Measure(workload, context.Device, time, context.Cancellation));
        if (context.Json) context.WriteJson(ToJson(context, timings, peak));
        else Print(context, timings, peak);
        return ExitCode.Success;
    }

    private static JsonObject ToJson(ToolContext context, IEnumerable<Timing> timings, MachinePeak peak) => new()
    {
        ["device"] = context.Device.ToString(),
        ["threads"] = context.ThreadCount,
        ["peak_gflops"] = peak.GigaflopsPerSecond,
        ["peak_gbytes"] = peak.GigabytesPerSecond,
        ["workloads"] = new JsonArray([.. timings.Select(timing => (JsonNode?)new JsonObject
        {
            ["name"] = timing.Name,
            ["median_ms"] = timing.MedianMilliseconds,
            ["best_ms"] = timing.BestMilliseconds,
            ["runs"] = timing.Runs,
            ["gflops"] = timing.GigaflopsPerSecond,
            ["gbytes"] = timing.GigabytesPerSecond,
            ["share_of_peak"] = timing.ShareOf(peak),
        })]),
    };

    private static void Print(ToolContext context, IEnumerable<Timing> timings, MachinePeak peak)
    {
        Table table = new() { Border = TableBorder.Simple };
        table.AddColumn("workload");
        foreach (string name in (string[])["median ms", "best ms", "GFLOP/s", "GB/s", "of peak"]) table.AddColumn(new TableColumn(name).RightAligned());
        foreach (Timing timing in timings)
            table.AddRow(timing.Name, Number(timing.MedianMilliseconds, "0.000"), Number(timing.BestMilliseconds, "0.000"), Number(timing.GigaflopsPerSecond, "0.0"), Number(timing.GigabytesPerSecond, "0.0"), Number(100 * timing.ShareOf(peak), "0 \\%"));
        context.Console.Write(table);
        context.Output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"peak of {peak.Threads} threads, measured just now: {peak.GigaflopsPerSecond:0} GFLOP/s, {peak.GigabytesPerSecond:0.0} GB/s"));
    }

    private static string Number(double? value, string format) => value?.ToString(format, CultureInfo.InvariantCulture) ?? string.Empty;
}
