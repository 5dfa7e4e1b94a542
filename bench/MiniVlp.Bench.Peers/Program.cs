// The workloads of bench/Workloads on MiniVlp, libtorch and ONNX Runtime; see bench/README.md. bench/cpu/run makes one table of everything.
using System.Text.Json;
using MiniVlp.Bench.Peers;
using MiniVlp.Bench.Workloads;
using MiniVlp.Tensors;

Options options;
try
{
    options = Options.Parse(args);
}
catch (ArgumentException exception)
{
    Console.Error.WriteLine(exception.Message);
    Console.Error.WriteLine(Options.Usage);
    return 2;
}

if (options.Report is { } folder)
{
    CpuReport report = CpuReport.Read(folder);
    File.WriteAllText(options.Out + ".md", report.ToMarkdown());
    File.WriteAllText(options.Out + ".json", report.ToJson());
    return 0;
}

IReadOnlyList<Workload> workloads = CpuSuite.Select(options.Growth ? CpuSuite.Growth : CpuSuite.All, options.Filter);
if (options.List)
{
    foreach (Workload workload in workloads) Console.WriteLine(workload.Name);
    return 0;
}

RowsFile? file = options.Rows is null ? null : new RowsFile(options.Rows);
if (options.Memory is { } library)
{
    if (workloads.Count != 1)
    {
        Console.Error.WriteLine($"--memory takes one workload, and --filter {options.Filter} fits {workloads.Count}.");
        return 2;
    }

    MemoryUse? use = MemoryMeter.Measure(workloads[0], library, options.Threads);
    string text = use is null ? $"{workloads[0].Name}: {library} has none" : use.ToString();
    if (use is not null) file?.Add(use);
    Console.WriteLine(text);
    return 0;
}

if (!options.OursOnly) TorchThreads.Set(options.Threads);
MachinePeak peak = MachinePeak.Measure(options.Threads);
file?.Add(Versions.OfThisProcess(options.OursOnly));
file?.Add(new PeakLine(peak));
using Device device = Device.CreateCpu(options.Threads);
Comparison comparison = new(device, options);
List<ComparisonRow> rows = [];
bool isTable = !options.Json;
if (isTable) Console.WriteLine($"{device}, clock: {options.Clock}; peak: {peak.AllCores}");
if (isTable) Console.WriteLine(ComparisonRow.Header);
foreach (Workload workload in workloads)
{
    if (file?.IsDone(workload.Name) == true) continue;
    file?.Start(workload.Name);
    ComparisonRow row = comparison.Measure(workload);
    rows.Add(row);
    file?.Add(row);
    if (isTable) Console.WriteLine(row.ToText(peak.AllCores));
}

// Again at the end: a neighbour on the machine may have held back the first one.
file?.Add(new PeakLine(MachinePeak.Measure(options.Threads)));
if (options.Json) Console.WriteLine(JsonSerializer.Serialize(new { peak, clock = options.Clock, rows }, RowsFile.Indented));
return 0;
