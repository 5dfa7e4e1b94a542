using MiniVlp.Tensors;
using ScottPlot;

namespace MiniVlp.Cli.Training;

/// <summary>The loss over the steps as a picture.</summary>
public static class LossChart
{
    private const int Width = 900, Height = 500;

    /// <summary>Writes <c>loss.png</c>: the loss of every step, its running mean, and the loss of guessing.</summary>
    /// <param name="path">The file; it appears whole or not at all.</param>
    /// <param name="rows">The history; nothing is written when it is empty.</param>
    /// <param name="batchSize">Guessing has the loss ln(batch size).</param>
    public static void Save(string path, IReadOnlyList<TrainingMetrics> rows, int batchSize)
    {
        if (rows.Count == 0) return;
        double[] steps = [.. rows.Select(row => (double)row.Step)];
        using Plot plot = new();
        ScottPlot.Plottables.Scatter raw = plot.Add.ScatterLine(steps, [.. rows.Select(row => (double)row.Loss)], Color.FromHex("#b9c7e4"));
        raw.LegendText = "loss";
        ScottPlot.Plottables.Scatter mean = plot.Add.ScatterLine(steps, RunningMean(rows), Color.FromHex("#2856a3"));
        mean.LineWidth = 2.5f;
        mean.LegendText = "running mean";
        ScottPlot.Plottables.HorizontalLine chance = plot.Add.HorizontalLine(Math.Log(batchSize), 1.5f, Color.FromHex("#b0643c"), LinePattern.Dashed);
        chance.LegendText = "guessing";
        plot.XLabel("step");
        plot.YLabel("loss");
        plot.Axes.SetLimitsY(0, Math.Max(Math.Log(batchSize), rows.Max(row => float.IsFinite(row.Loss) ? row.Loss : 0)) * 1.08);
        plot.ShowLegend(Alignment.UpperRight);
        AtomicFile.WriteAllBytes(path, plot.GetImageBytes(Width, Height, ImageFormat.Png));
    }

    /// <summary>An exponential mean over about a fiftieth of the run, without the pull of its start.</summary>
    public static double[] RunningMean(IReadOnlyList<TrainingMetrics> rows)
    {
        double decay = 1 - (1 / Math.Clamp(rows.Count / 50.0, 1, 200));
        double[] mean = new double[rows.Count];
        double sum = 0, weight = 0;
        for (int i = 0; i < mean.Length; i++)
        {
            sum = (decay * sum) + ((1 - decay) * rows[i].Loss);
            weight = (decay * weight) + (1 - decay);
            mean[i] = weight > 0 ? sum / weight : rows[i].Loss;
        }

        return mean;
    }
}
