using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using MiniVlp.Bench.Workloads;

namespace MiniVlp.Bench.Peers;

/// <summary>Everything that one run of bench/cpu/run measured, as a page and as one JSON document.</summary>
/// <param name="facts">Date, processor, commit; versions.</param>
/// <param name="parts">The files: times beside the peers, and with narrower vectors.</param>
/// <param name="memory">Peak memory.</param>
internal sealed class CpuReport(IReadOnlyDictionary<string, string> facts, IReadOnlyList<CpuReportPart> parts, IReadOnlyList<MemoryUse> memory)
{
    private readonly ILookup<string, MemoryUse> _memory = memory.ToLookup(use => use.Name, StringComparer.Ordinal);

    /// <summary>Reads a folder: <c>facts.json</c>; <c>peers-N.jsonl</c> with N threads; <c>tier-NAME.jsonl</c>; <c>memory.jsonl</c>.</summary>
    public static CpuReport Read(string folder)
    {
        SortedDictionary<string, string> facts = new(StringComparer.Ordinal);
        string factsFile = Path.Combine(folder, "facts.json");
        if (File.Exists(factsFile))
            foreach ((string name, JsonNode? value) in JsonNode.Parse(File.ReadAllText(factsFile))!.AsObject()) facts[name] = (string)value!;
        List<CpuReportPart> parts = [];
        foreach (string path in Directory.GetFiles(folder, "*.jsonl").Order(StringComparer.Ordinal))
        {
            string name = Path.GetFileNameWithoutExtension(path);
            if (name is "memory") continue;
            CpuReportPart part = CpuReportPart.Read(path, isTier: name.StartsWith("tier-", StringComparison.Ordinal));
            foreach ((string software, string version) in part.Software) facts[software] = version;
            if (part.Rows.Count > 0 || part.Errors.Count > 0) parts.Add(part);
        }

        string memoryFile = Path.Combine(folder, "memory.jsonl");
        return new CpuReport(facts, parts, File.Exists(memoryFile) ? [.. RowsFile.Read(memoryFile).Select(line => line.Deserialize<MemoryUse>(RowsFile.Indented)!)] : []);
    }

    /// <summary>Tables, those of the most threads first.</summary>
    public string ToMarkdown()
    {
        StringBuilder text = new();
        text.Append(CultureInfo.InvariantCulture, $"# {facts.GetValueOrDefault("processor", "CPU")}, {facts.GetValueOrDefault("date", "no date")}\n\n");
        foreach ((string name, string value) in facts.Where(fact => fact.Key is not ("processor" or "date"))) text.Append(CultureInfo.InvariantCulture, $"- {name}: {value}\n");
        text.Append("""

            Ratio: the peer's median time over ours, taken in turns in one process; in brackets the same of the best times; above 1, ours is faster. Bound: what
            limits the workload (the longer of operations at the peak rate and bytes at the bandwidth; what fits half of the last-level cache counts its rate),
            and the share of it at the median and, in brackets, at the best time. Target: beside the faster peer, by medians. Memory: most resident pages while it
            runs, each library in a process of its own; in brackets what is above the idle process with the library loaded.

            """);
        bool hasMemory = memory.Count > 0;
        foreach (CpuReportPart part in parts.Where(part => !part.IsTier).OrderByDescending(part => part.Threads))
        {
            text.Append(CultureInfo.InvariantCulture, $"\n## {part.Title}\n\nPeak: {part.Rate}.\n\n");
            AppendPeers(text, part, hasMemory);
            hasMemory = false;
            AppendErrors(text, part);
        }

        foreach (CpuReportPart part in parts.Where(part => part.IsTier))
        {
            text.Append(CultureInfo.InvariantCulture, $"\n## Ours with {part.Peak!.Vectors}-bit vectors, {part.Title}\n\nPeak: {part.Rate}.\n\n");
            text.Append("| workload | ms (best) | rate | bound | of it (best) |\n|---|---:|---:|---|---:|\n");
            foreach (ComparisonRow row in part.Rows)
            {
                RooflineRow roof = part.RoofOf(row);
                text.Append(CultureInfo.InvariantCulture, $"| {row.Name} | {Times(row.Ours)} | {Rate(roof)} | {roof.Bound} | {Share(roof)} |\n");
            }

            AppendErrors(text, part);
        }

        return text.ToString();
    }

    /// <summary>The same with all digits.</summary>
    public string ToJson() => JsonSerializer.Serialize(
        new
        {
            facts,
            parts = parts.Select(part => new
            {
                part.Threads,
                vectors = part.Peak?.Vectors,
                part.Peak,
                part.IsTier,
                rows = part.Rows.Select(row => new { row.Name, row.Operations, row.Bytes, roof = part.RoofOf(row), row.Torch, row.Onnx, row.Rounds, ratio = row.Ratio, bestRatio = row.BestRatio }),
                part.Errors,
            }),
            memory,
        },
        RowsFile.Indented) + "\n";

    private void AppendPeers(StringBuilder text, CpuReportPart part, bool hasMemory)
    {
        text.Append("| workload | ms (best) | rate | bound | of it (best) | libtorch / ours | ONNX Runtime / ours | target |");
        text.Append(hasMemory ? " MB: ours | libtorch | ONNX Runtime |\n" : "\n");
        text.Append("|---|---:|---:|---|---:|---:|---:|---|").Append(hasMemory ? "---:|---:|---:|\n" : "\n");
        foreach (ComparisonRow row in part.Rows)
        {
            RooflineRow roof = part.RoofOf(row);
            string target = Target.Of(row.Name).Judge(row.Ratio, roof.Bound is "arithmetic" ? 0 : roof.ShareOfBound);
            text.Append(CultureInfo.InvariantCulture, $"| {row.Name} | {Times(row.Ours)} | {Rate(roof)} | {roof.Bound} | {Share(roof)} | {Ratio(row.Torch, row.Ours)} | {Ratio(row.Onnx, row.Ours)} | {target} |");
            if (hasMemory) text.Append(CultureInfo.InvariantCulture, $" {Megabytes(row.Name, "ours")} | {Megabytes(row.Name, "torch")} | {Megabytes(row.Name, "onnx")} |");
            text.Append('\n');
        }
    }

    private static void AppendErrors(StringBuilder text, CpuReportPart part)
    {
        foreach (ErrorLine error in part.Errors) text.Append(CultureInfo.InvariantCulture, $"\n{error.Name}: {error.Error}.\n");
    }

    private string Megabytes(string name, string library)
        => _memory[name].LastOrDefault(use => use.Library == library) is { } use
            ? string.Create(CultureInfo.InvariantCulture, $"{use.PeakMegabytes:0} ({use.PeakMegabytes - use.EmptyMegabytes:0})")
            : "-";

    private static string Times(Timing timing) => $"{Milliseconds(timing.MedianMilliseconds)} ({Milliseconds(timing.BestMilliseconds)})";

    private static string Milliseconds(double value) => value.ToString(value < 1 ? "0.000" : value < 10 ? "0.00" : value < 100 ? "0.0" : "0", CultureInfo.InvariantCulture);

    private static string Rate(RooflineRow roof) => roof.Bound is "arithmetic"
        ? string.Create(CultureInfo.InvariantCulture, $"{roof.GigaflopsPerSecond:0} GFLOP/s")
        : string.Create(CultureInfo.InvariantCulture, $"{roof.GigabytesPerSecond:0.0} GB/s");

    private static string Share(RooflineRow roof) => string.Create(CultureInfo.InvariantCulture, $"{100 * roof.ShareOfBound:0} % ({100 * roof.BestShareOfBound:0})");

    private static string Ratio(Timing? peer, Timing ours) => peer is null
        ? "-"
        : string.Create(CultureInfo.InvariantCulture, $"{peer.MedianMilliseconds / ours.MedianMilliseconds:0.00} ({peer.BestMilliseconds / ours.BestMilliseconds:0.00})");
}
