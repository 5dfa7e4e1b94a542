using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;

namespace MiniVlp.Bench.Gpu;

/// <summary>Ratios, verdicts and the table of a run.</summary>
internal sealed class RunReport(RunResults results)
{
    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web) { WriteIndented = true, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull };

    /// <summary>Bandwidth of a copy on the device, the better of both sides; null when none was measured.</summary>
    public double? CopyGigabytesPerSecond => results.Rows.Where(row => row.IsCopy)
        .SelectMany(row => new[] { Rate(row.Bytes, row.Ours), Rate(row.Bytes, row.Peer) }).Max() / 1e9;

    /// <summary>Reads what bench/gpu/run wrote.</summary>
    /// <exception cref="JsonException">It is something else.</exception>
    public static RunReport Read(string json) => new(JsonSerializer.Deserialize<RunResults>(json, Json) ?? throw new JsonException("The file holds no results."));

    /// <summary>What was measured, with the ratio, the share of a copy's bandwidth and the verdict of each row.</summary>
    public string ToJson()
    {
        JsonObject document = JsonSerializer.SerializeToNode(results, Json)!.AsObject();
        document["copyGigabytesPerSecond"] = CopyGigabytesPerSecond;
        foreach ((JsonNode? node, RowResult row) in document["rows"]!.AsArray().Zip(results.Rows))
        {
            node!["shareOfCopy"] = ShareOfCopy(row);
            node["verdict"] = Verdict(row);
        }

        return document.ToJsonString(Json) + "\n";
    }

    /// <summary>The run as a page.</summary>
    public string ToMarkdown()
    {
        StringBuilder page = new();
        Line(page, $"# {results.Card}, {results.Date}");
        Line(page, $"");
        if (results.DryRun) Line(page, $"**A dry run: the times of the peer are invented, to try the script out. Nothing below says anything about a GPU.**\n");
        foreach ((string name, string value) in results.Facts) Line(page, $"- {name}: {value}");
        if (CopyGigabytesPerSecond is { } bandwidth) Line(page, $"- copy on the device: {bandwidth:F0} GB/s");
        Line(page, $"- whole run: {results.Seconds:F0} s");
        Line(page, $"");
        Line(page, $"Ratio: the peer's median time over ours, both taken in turns on this card; above 1, ours is faster.");
        Line(page, $"");
        Line(page, $"| section | seconds | |");
        Line(page, $"|---|---:|---|");
        foreach (SectionResult section in results.Sections) Line(page, $"| {section.Name} | {section.Seconds:F1} | {(section.Failed ? "**failed** " : string.Empty)}{Cell(section.Note)} |");
        foreach (IGrouping<string, RowResult> section in results.Rows.GroupBy(row => row.Section, StringComparer.Ordinal)) Table(page, section.Key, [.. section]);
        return page.ToString();
    }

    /// <summary>How a row stands against its targets.</summary>
    public string Verdict(RowResult row)
    {
        if (row.Ours.Error is not null) return row.Ours.OutOfMemory ? "**ours ran out of memory**" : "not measured";
        if (row.Ours.Milliseconds is null) return "not measured";
        if (row.TargetKind == "runs") return row.Peer.OutOfMemory ? "met: the peer ran out of memory" : "met";
        double? value = row.TargetKind == "copy" ? ShareOfCopy(row) : row.Ratio;
        if (row.Targets.Count == 0) return string.Empty;
        if (value is null) return row.Peer.OutOfMemory ? "the peer ran out of memory" : "nothing to compare with";
        return string.Join("; ", row.Targets.Select(target => value >= target
            ? string.Create(CultureInfo.InvariantCulture, $"{target:0.##} met")
            : string.Create(CultureInfo.InvariantCulture, $"{target:0.##} missed by {100 * (1 - (value.Value / target)):F0} %")));
    }

    private static double? Rate(double work, SideResult side) => work / (side.Milliseconds / 1e3);

    private static void Line(StringBuilder page, FormattableString line) => page.Append(line.ToString(CultureInfo.InvariantCulture)).Append('\n');

    /// <summary>Text on one line that does not end its cell.</summary>
    private static string Cell(string? text) => (text ?? string.Empty).ReplaceLineEndings(" ").Replace("|", "\\|", StringComparison.Ordinal);

    private static string Number(double? value, string format) => value?.ToString(format, CultureInfo.InvariantCulture) ?? "-";

    private static string Time(SideResult side)
        => side.Milliseconds is { } milliseconds ? milliseconds.ToString(milliseconds < 10 ? "F4" : "F2", CultureInfo.InvariantCulture)
            : side.OutOfMemory ? "out of memory" : side.Error is not null ? "error" : "-";

    private double? ShareOfCopy(RowResult row) => row is { Bytes: > 0, IsCopy: false } && CopyGigabytesPerSecond is { } copy ? Rate(row.Bytes, row.Ours) / 1e9 / copy : null;

    private void Table(StringBuilder page, string name, IReadOnlyList<RowResult> rows)
    {
        bool hasMemory = rows.Any(row => row.Peer.PeakBytes is not null || row.TargetKind == "runs");
        Line(page, $"");
        Line(page, $"## {name}");
        Line(page, $"");
        Line(page, $"| workload | ours ms | peer ms | ratio | ours | of copy |{(hasMemory ? " ours MiB | peer MiB |" : string.Empty)} target |");
        Line(page, $"|---|---:|---:|---:|---:|---:|{(hasMemory ? "---:|---:|" : string.Empty)}---|");
        foreach (RowResult row in rows)
        {
            string rate = row.Operations > 0 ? Number(Rate(row.Operations, row.Ours) / 1e12, "F1") + " TFLOP/s" : row.Bytes > 0 ? Number(Rate(row.Bytes, row.Ours) / 1e9, "F0") + " GB/s" : "-";
            string memory = hasMemory ? $" {Number(row.Ours.PeakBytes / 1048576, "F0")} | {Number(row.Peer.PeakBytes / 1048576, "F0")} |" : string.Empty;
            string share = ShareOfCopy(row) is { } value ? (100 * value).ToString("F0", CultureInfo.InvariantCulture) + " %" : "-";
            Line(page, $"| {Cell(row.Name)} | {Time(row.Ours)} | {Time(row.Peer)} | {Number(row.Ratio, "F2")} | {rate} | {share} |{memory} {Verdict(row)} |");
        }

        foreach ((string side, string error) in rows.SelectMany(row => new[] { ($"{row.Name}, ours", row.Ours.Error), ($"{row.Name}, peer", row.Peer.Error) }).Where(e => e.Error is not null).Select(e => (e.Item1, e.Error!)))
            Line(page, $"\n- {Cell(side)}: {Cell(error)}");
    }
}
