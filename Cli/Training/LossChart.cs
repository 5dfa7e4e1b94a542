using MiniVlp.Nn.Training;
using MiniVlp.Tensors;
using ScottPlot;

namespace MiniVlp.Cli.Training;

/// <summary>The loss over the steps as a picture.</summary>
public static class LossChart
{
    private const int Width = 900, Height = 500;

    private static readonly Color[] PartColors = [.. ((string[])["#2f855a", "#c05621", "#805ad5", "#b83280"]).Select(Color.FromHex)];

    /// <summary>
    /// Writes <c>loss.png</c>: the loss of every step, its running mean, that of each part where there are several, and, dashed, what a part comes to
    /// for a model that guesses.
    /// </summary>
    /// <param name="path">The file; it appears whole or not at all.</param>
    /// <param name="rows">The history; nothing is written when it is empty.</param>
    /// <param name="levels">Chance levels of the parts.</param>
    public static void Save(string path, IReadOnlyList<TrainingMetrics> rows, IReadOnlyList<ChanceLevel> levels)
    {
        if (rows.Count == 0) return;
        double[] steps = [.. rows.Select(row => (double)row.Step)];
        using Plot plot = new();
        AddLine([.. rows.Select(row => (double)row.Loss)], "loss", Color.FromHex("#b9c7e4"), 1);
        Color total = Color.FromHex("#2856a3");
        AddLine(RunningMean(rows), "running mean", total, 2.5f);
        float highest = rows.Max(row => float.IsFinite(row.Loss) ? row.Loss : 0);
        IReadOnlyList<string> parts = MetricsHistory.PartNames(rows);
        for (int i = 0; i < parts.Count; i++)
        {
            string name = parts[i];
            Color color = parts.Count == 1 ? total : PartColors[i % PartColors.Length];
            if (parts.Count > 1) AddLine(RunningMean(rows, row => row.Part(name)), name, color, 1.5f);
            if (levels.FirstOrDefault(level => level.Part == name) is not { } level) continue;
            ScottPlot.Plottables.HorizontalLine chance = plot.Add.HorizontalLine(level.Loss, 1.2f, color, LinePattern.Dashed);
            chance.LegendText = parts.Count == 1 ? "guessing" : $"guessing {name}";
            highest = Math.Max(highest, level.Loss);
        }

        plot.XLabel("step");
        plot.YLabel("loss");
        plot.Axes.SetLimitsY(Math.Min(0, rows.Min(row => float.IsFinite(row.Loss) ? row.Loss : 0)), highest * 1.08);
        plot.ShowLegend(Alignment.UpperRight);
        AtomicFile.WriteAllBytes(path, plot.GetImageBytes(Width, Height, ImageFormat.Png));

        void AddLine(double[] values, string name, Color color, float width)
        {
            ScottPlot.Plottables.Scatter line = plot.Add.ScatterLine(steps, values, color);
            line.LegendText = name;
            line.LineWidth = width;
        }
    }

    /// <summary>An exponential mean over about a fiftieth of the run, without the pull of its start.</summary>
    public static double[] RunningMean(IReadOnlyList<TrainingMetrics> rows) => RunningMean(rows, row => row.Loss);

    private static double[] RunningMean(IReadOnlyList<TrainingMetrics> rows, Func<TrainingMetrics, double> value)
    {
        double decay = 1 - (1 / Math.Clamp(rows.Count / 50.0, 1, 200));
        double[] mean = new double[rows.Count];
        double sum = 0, weight = 0;
        for (int i = 0; i < mean.Length; i++)
        {
            double now = value(rows[i]);
            if (!double.IsNaN(now))
            {
                sum = (decay * sum) + ((1 - decay) * now);
                weight = (decay * weight) + (1 - decay);
            }

            mean[i] = weight > 0 ? sum / weight : now;
        }

        return mean;
    }
}
