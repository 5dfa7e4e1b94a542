using System.Globalization;
using System.Text;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Training;

/// <summary>What is recorded of one step.</summary>
/// <param name="Step">Number of the step, from 1.</param>
/// <param name="Epoch">Passes over the data so far, with fraction.</param>
/// <param name="Loss">Of the batch.</param>
/// <param name="LearningRate">Of the step.</param>
/// <param name="GradientNorm">Before clipping.</param>
/// <param name="Temperature">What similarities are divided by; NaN where none is learnt.</param>
/// <param name="SamplesPerSecond">Of this step, data wait included.</param>
/// <param name="DataWaitShare">Share of the time so far that was spent waiting for data.</param>
/// <param name="Seconds">Time in training so far, all runs together.</param>
public readonly record struct TrainingMetrics(
    int Step, double Epoch, float Loss, double LearningRate, double GradientNorm, float Temperature, double SamplesPerSecond, double DataWaitShare, double Seconds)
{
    /// <summary>The terms of the loss before their weights; one may be absent, as when no word of a batch was masked.</summary>
    public IReadOnlyList<LossPartValue> Parts
    {
        get => field ?? [];
        init;
    }

    /// <summary>One of the terms; NaN when it is absent.</summary>
    public float Part(string name)
    {
        foreach (LossPartValue part in Parts)
            if (part.Name == name) return part.Value;
        return float.NaN;
    }
}

/// <summary>The history of a training, as <c>metrics.csv</c>: the columns of <see cref="TrainingMetrics"/>, then one for each part of the loss.</summary>
public sealed class MetricsHistory
{
    private const string Header = "step,epoch,loss,learning_rate,gradient_norm,temperature,samples_per_second,data_wait_share,seconds";

    private static readonly int Columns = Header.Split(',').Length;

    private readonly List<TrainingMetrics> _rows = [];

    /// <summary>In the order of the steps.</summary>
    public IReadOnlyList<TrainingMetrics> Rows => _rows;

    /// <summary>Names of the parts, in the order in which they first occurred.</summary>
    public static IReadOnlyList<string> PartNames(IReadOnlyList<TrainingMetrics> rows) => [.. rows.SelectMany(row => row.Parts).Select(part => part.Name).Distinct(StringComparer.Ordinal)];

    public void Add(TrainingMetrics row) => _rows.Add(row);

    /// <summary>Writes the whole table; the file appears whole or not at all.</summary>
    public void Save(string path)
    {
        StringBuilder text = new(Header);
        IReadOnlyList<string> parts = PartNames(_rows);
        foreach (string name in parts) text.Append(CultureInfo.InvariantCulture, $",{name}");
        text.Append('\n');
        foreach (TrainingMetrics row in _rows)
        {
            text.Append(CultureInfo.InvariantCulture, $"{row.Step},{row.Epoch:0.####},{row.Loss:R},{row.LearningRate:R},{row.GradientNorm:R},{row.Temperature:R},");
            text.Append(CultureInfo.InvariantCulture, $"{row.SamplesPerSecond:0.##},{row.DataWaitShare:0.####},{row.Seconds:0.###}");
            foreach (string name in parts) text.Append(CultureInfo.InvariantCulture, $",{row.Part(name):R}");
            text.Append('\n');
        }

        AtomicFile.WriteAllText(path, text.ToString());
    }

    /// <summary>Reads a table that <see cref="Save"/> wrote, up to a step: what came after the checkpoint is forgotten.</summary>
    /// <exception cref="ToolException">A line is not of this table.</exception>
    public static MetricsHistory Load(string path, int lastStep)
    {
        MetricsHistory history = new();
        if (!File.Exists(path)) return history;
        string[] parts = [];
        int number = 0;
        foreach (string line in File.ReadLines(path))
        {
            number++;
            if (number == 1 && (line == Header || line.StartsWith(Header + ",", StringComparison.Ordinal)))
            {
                parts = line.Split(',')[Columns..];
                continue;
            }

            TrainingMetrics row = Parse(line, parts) ?? throw new ToolException($"{path}: line {number} is not a row of '{Header}'; remove the file to start a new table.");
            if (row.Step <= lastStep) history.Add(row);
        }

        return history;
    }

    private static TrainingMetrics? Parse(string line, string[] parts)
    {
        string[] fields = line.Split(',');
        double[] values = new double[Columns + parts.Length];
        if (fields.Length != values.Length) return null;
        for (int i = 0; i < values.Length; i++)
            if (!double.TryParse(fields[i], NumberStyles.Float, CultureInfo.InvariantCulture, out values[i])) return null;
        return new TrainingMetrics(
            (int)values[0], values[1], (float)values[2], values[3], values[4], (float)values[5], values[6], values[7], values[8])
        {
            Parts = [.. parts.Select((name, i) => new LossPartValue(name, (float)values[Columns + i])).Where(part => !float.IsNaN(part.Value))],
        };
    }
}
