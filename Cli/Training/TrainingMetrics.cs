using System.Globalization;
using System.Text;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Training;

/// <summary>What is recorded of one step.</summary>
/// <param name="Step">Number of the step, from 1.</param>
/// <param name="Epoch">Passes over the data so far, with fraction.</param>
/// <param name="Loss">Of the batch.</param>
/// <param name="LearningRate">Of the step.</param>
/// <param name="GradientNorm">Before clipping.</param>
/// <param name="LogitScale">The factor on similarities.</param>
/// <param name="SamplesPerSecond">Of this step, data wait included.</param>
/// <param name="DataWaitShare">Share of the time so far that was spent waiting for data.</param>
/// <param name="Seconds">Time in training so far, all runs together.</param>
public readonly record struct TrainingMetrics(
    int Step, double Epoch, float Loss, double LearningRate, double GradientNorm, float LogitScale, double SamplesPerSecond, double DataWaitShare, double Seconds);

/// <summary>The history of a training, as <c>metrics.csv</c>.</summary>
public sealed class MetricsHistory
{
    private const string Header = "step,epoch,loss,learning_rate,gradient_norm,logit_scale,samples_per_second,data_wait_share,seconds";

    private readonly List<TrainingMetrics> _rows = [];

    /// <summary>In the order of the steps.</summary>
    public IReadOnlyList<TrainingMetrics> Rows => _rows;

    public void Add(TrainingMetrics row) => _rows.Add(row);

    /// <summary>Writes the whole table; the file appears whole or not at all.</summary>
    public void Save(string path)
    {
        StringBuilder text = new(Header);
        text.Append('\n');
        foreach (TrainingMetrics row in _rows)
        {
            text.Append(CultureInfo.InvariantCulture, $"{row.Step},{row.Epoch:0.####},{row.Loss:R},{row.LearningRate:R},{row.GradientNorm:R},{row.LogitScale:R},");
            text.Append(CultureInfo.InvariantCulture, $"{row.SamplesPerSecond:0.##},{row.DataWaitShare:0.####},{row.Seconds:0.###}\n");
        }

        AtomicFile.WriteAllText(path, text.ToString());
    }

    /// <summary>Reads a table that <see cref="Save"/> wrote, up to a step: what came after the checkpoint is forgotten.</summary>
    /// <exception cref="ToolException">A line is not of this table.</exception>
    public static MetricsHistory Load(string path, int lastStep)
    {
        MetricsHistory history = new();
        if (!File.Exists(path)) return history;
        int number = 0;
        foreach (string line in File.ReadLines(path))
        {
            number++;
            if (number == 1 && line == Header) continue;
            TrainingMetrics row = Parse(line) ?? throw new ToolException($"{path}: line {number} is not a row of '{Header}'; remove the file to start a new table.");
            if (row.Step <= lastStep) history.Add(row);
        }

        return history;
    }

    private static TrainingMetrics? Parse(string line)
    {
        string[] fields = line.Split(',');
        double[] values = new double[9];
        if (fields.Length != values.Length) return null;
        for (int i = 0; i < values.Length; i++)
            if (!double.TryParse(fields[i], NumberStyles.Float, CultureInfo.InvariantCulture, out values[i])) return null;
        return new TrainingMetrics(
            (int)values[0], values[1], (float)values[2], values[3], values[4], (float)values[5], values[6], values[7], values[8]);
    }
}
