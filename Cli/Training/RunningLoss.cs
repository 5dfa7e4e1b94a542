using MiniVlp.Nn.Training;

namespace MiniVlp.Cli.Training;

/// <summary>Running means of the loss and its parts over about twenty steps.</summary>
public sealed class RunningLoss
{
    private const double Share = 0.05;

    private readonly List<(string Name, double Value)> _parts = [];

    /// <summary>Goes on from what was recorded before.</summary>
    public RunningLoss(IReadOnlyList<TrainingMetrics> history)
    {
        foreach (TrainingMetrics row in history) Add(row);
    }

    /// <summary>Of the whole loss; NaN before the first step.</summary>
    public double Loss { get; private set; } = double.NaN;

    /// <summary>Of its parts.</summary>
    public IReadOnlyList<LossPartValue> Parts => [.. _parts.Select(part => new LossPartValue(part.Name, (float)part.Value))];

    public void Add(TrainingMetrics row)
    {
        Loss = double.IsNaN(Loss) ? row.Loss : Loss + (Share * (row.Loss - Loss));
        foreach (LossPartValue part in row.Parts)
        {
            int at = _parts.FindIndex(known => known.Name == part.Name);
            if (at < 0) _parts.Add((part.Name, part.Value));
            else _parts[at] = (part.Name, _parts[at].Value + (Share * (part.Value - _parts[at].Value)));
        }
    }
}
