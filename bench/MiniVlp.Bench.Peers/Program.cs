using System.Globalization;
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

TorchSharp.torch.set_num_threads(options.Threads);
MachinePeak peak = MachinePeak.Measure(options.Threads);
using Device device = Device.CreateCpu(options.Threads);
Comparison comparison = new(device, options, peak);
List<ComparisonRow> rows = [];
if (!options.Json) Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{device}, {options.Threads} threads, clock: {options.Clock}; peak {peak.GigaflopsPerSecond:F0} GFLOP/s, {peak.GigabytesPerSecond:F0} GB/s"));
if (!options.Json) Console.WriteLine(ComparisonRow.Header);
foreach (Workload workload in CpuSuite.All)
{
    if (options.Filter is not null && !workload.Name.Contains(options.Filter, StringComparison.Ordinal)) continue;
    ComparisonRow row = comparison.Measure(workload);
    rows.Add(row);
    if (!options.Json) Console.WriteLine(row.ToString());
}

if (options.Json) Console.WriteLine(JsonSerializer.Serialize(new { peak, clock = options.Clock, rows }, new JsonSerializerOptions(JsonSerializerDefaults.Web) { WriteIndented = true }));
return 0;
