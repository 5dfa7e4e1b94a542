using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using MiniVlp.Bench.Workloads;

namespace MiniVlp.Bench.Peers;

/// <summary>One file of times.</summary>
/// <param name="IsTier">Whether it is ours alone with narrower vectors than the machine has.</param>
/// <param name="Peak">The best of all measurements of the machine in it; null when there was none.</param>
/// <param name="Rows">The workloads in their order.</param>
/// <param name="Errors">Those without a result.</param>
/// <param name="Software">Versions.</param>
internal sealed record CpuReportPart(
    bool IsTier, MachinePeak? Peak, IReadOnlyList<ComparisonRow> Rows, IReadOnlyList<ErrorLine> Errors, IReadOnlyDictionary<string, string> Software)
{
    public int Threads => Rate.Threads;

    /// <summary>Peak rates of the threads that measured.</summary>
    public MachineRate Rate => Peak?.AllCores ?? new MachineRate(0, 0, 0, "not measured", 0);

    public string Title => Threads == 1 ? "one thread" : string.Create(CultureInfo.InvariantCulture, $"{Threads} threads");

    public static CpuReportPart Read(string path, bool isTier)
    {
        MachinePeak? peak = null;
        List<ComparisonRow> rows = [];
        List<ErrorLine> errors = [];
        Dictionary<string, string> software = new(StringComparer.Ordinal);
        foreach (JsonNode line in RowsFile.Read(path))
        {
            if (line["peak"] is not null)
            {
                MachinePeak again = line.Deserialize<PeakLine>(RowsFile.Indented)!.Peak;
                peak = peak?.Or(again) ?? again;
            }
            else if (line["software"] is not null)
            {
                foreach ((string name, string version) in line.Deserialize<SoftwareLine>(RowsFile.Indented)!.Software) software[name] = version;
            }
            else if (line["error"] is not null)
            {
                errors.Add(line.Deserialize<ErrorLine>(RowsFile.Indented)!);
            }
            else if (line["ours"] is not null)
            {
                rows.Add(line.Deserialize<ComparisonRow>(RowsFile.Indented)!);
            }
        }

        return new CpuReportPart(isTier, peak, [.. rows.OrderBy(row => OrderOf(row.Name))], errors, software);
    }

    public RooflineRow RoofOf(ComparisonRow row) => row.RoofUnder(Rate);

    private static int OrderOf(string name)
    {
        for (int i = 0; i < CpuSuite.All.Count; i++)
            if (CpuSuite.All[i].Name == name) return i;
        return CpuSuite.All.Count;
    }
}
