using System.Globalization;
using System.Text;
using MiniVlp.Tensors;
using ScottPlot;

namespace MiniVlp.Cli.Effects;

/// <summary>The table and the pictures of docs/effects.md.</summary>
public static class EffectReport
{
    private const int Width = 720, Height = 360;

    private static readonly Color[] Colors = [Color.FromHex("#2856a3"), Color.FromHex("#b0643c"), Color.FromHex("#3c8d5a"), Color.FromHex("#8a4fa3"), Color.FromHex("#7a7a7a")];

    /// <summary>One line for each effect and data set: the contrast over the seeds, its interval, the verdict.</summary>
    public static string Table(IEnumerable<(string Data, EffectResult Result)> results)
    {
        StringBuilder text = new("| effect | data | contrast | threshold | mean (95 % interval) | seeds | verdict |\n|---|---|---|---:|---:|---|---|\n");
        foreach ((string data, EffectResult result) in results)
        {
            string interval = double.IsFinite(result.HalfWidth) ? string.Create(CultureInfo.InvariantCulture, $"{result.Mean:+0.0;-0.0} ± {result.HalfWidth:0.0}") : Number(result.Mean);
            text.Append(CultureInfo.InvariantCulture, $"| {result.Effect.Claim} ({result.Effect.Source}) | {data} | {Effect.On(result.Effect.ContrastText, data)} | {result.Effect.Threshold:0.#} | {interval} ");
            text.Append(CultureInfo.InvariantCulture, $"| {string.Join(", ", result.Contrasts.Select(Number))} | {Name(result.Verdict)}{(IsUncertain(result) ? "; the interval includes 0" : string.Empty)} |\n");
        }

        return text.ToString();
    }

    /// <summary>Every measure of every condition, mean and range over the seeds.</summary>
    public static string Details(Experiment experiment, IReadOnlyList<EffectRow> rows)
    {
        string[] measures = [.. rows.SelectMany(row => row.Measures.Keys).Distinct(StringComparer.Ordinal)];
        StringBuilder text = new("| condition | " + string.Join(" | ", measures) + " | runs | seconds a run |\n|---|" + string.Concat(Enumerable.Repeat("---:|", measures.Length + 2)) + "\n");
        foreach (string condition in experiment.Conditions)
        {
            EffectRow[] of = [.. rows.Where(row => row.Condition == condition)];
            if (of.Length == 0) continue;
            text.Append(CultureInfo.InvariantCulture, $"| {condition} ");
            foreach (string measure in measures)
            {
                double[] values = [.. of.Select(row => row.Measures.GetValueOrDefault(measure, double.NaN))];
                text.Append(CultureInfo.InvariantCulture, $"| {values.Average():0.0} ({values.Min():0.0} to {values.Max():0.0}) ");
            }

            text.Append(CultureInfo.InvariantCulture, $"| {of.Length} | {of.Average(row => row.Seconds):0} |\n");
        }

        return text.ToString();
    }

    /// <summary>Measures over conditions, lines for each measure, with the range over the seeds.</summary>
    /// <param name="path">The PNG file; it appears whole or not at all.</param>
    /// <param name="experiment">The experiment.</param>
    /// <param name="rows">Its rows, of one data set; nothing is written when there is none.</param>
    /// <param name="measures">Which measures to draw.</param>
    public static void Draw(string path, Experiment experiment, IReadOnlyList<EffectRow> rows, IReadOnlyList<string> measures)
    {
        string[] conditions = [.. experiment.Conditions.Where(condition => rows.Any(row => row.Condition == condition))];
        if (conditions.Length == 0) return;
        using Plot plot = new();
        string[] places = [.. conditions.Select(condition => experiment.PlaceOf(condition).Place).Distinct(StringComparer.Ordinal)];
        (string Measure, string? Line)[] lines = [.. from measure in measures from line in conditions.Select(condition => experiment.PlaceOf(condition).Line).Distinct(StringComparer.Ordinal) select (measure, line)];
        for (int i = 0; i < lines.Length; i++)
        {
            Color color = Colors[i % Colors.Length];
            List<double> positions = [], means = [];
            foreach (string condition in conditions.Where(condition => experiment.PlaceOf(condition).Line == lines[i].Line))
            {
                double[] values = [.. rows.Where(row => row.Condition == condition).Select(row => row.Measures.GetValueOrDefault(lines[i].Measure, double.NaN))];

                // Lines stand a little beside each other, so that their ranges can be told apart.
                double x = Array.IndexOf(places, experiment.PlaceOf(condition).Place) + (0.06 * (i - ((lines.Length - 1) / 2.0)));
                plot.Add.Line(x, values.Min(), x, values.Max()).LineColor = color;
                plot.Add.ScatterPoints([.. values.Select(_ => x)], values, color).MarkerSize = 4;
                positions.Add(x);
                means.Add(values.Average());
            }

            ScottPlot.Plottables.Scatter drawn = plot.Add.ScatterLine(positions.ToArray(), means.ToArray(), color);
            drawn.LineWidth = 2;
            drawn.LegendText = lines[i].Line is { } line ? $"{lines[i].Measure}, {line}" : lines[i].Measure;
        }

        plot.Axes.Bottom.SetTicks([.. places.Select((_, place) => (double)place)], places);
        plot.Axes.SetLimitsX(-0.5, places.Length - 0.5);
        plot.YLabel("%");
        plot.ShowLegend(Edge.Right);
        if (Path.GetDirectoryName(path) is { Length: > 0 } folder) Directory.CreateDirectory(folder);
        AtomicFile.WriteAllBytes(path, plot.GetImageBytes(Width, Height, ImageFormat.Png));
    }

    /// <summary>A verdict in words.</summary>
    public static string Name(EffectVerdict verdict) => verdict switch
    {
        EffectVerdict.Reproduced => "reproduced",
        EffectVerdict.Weak => "on average, not in every seed",
        EffectVerdict.NotReproduced => "not reproduced",
        _ => "incomplete",
    };

    private static bool IsUncertain(EffectResult result)
        => result.Verdict is EffectVerdict.Reproduced or EffectVerdict.Weak && result.Mean - result.HalfWidth <= 0;

    private static string Number(double value) => double.IsNaN(value) ? "-" : value.ToString("+0.0;-0.0;0.0", CultureInfo.InvariantCulture);
}
