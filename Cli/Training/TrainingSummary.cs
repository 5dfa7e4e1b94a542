using MiniVlp.Nn.Training;

namespace MiniVlp.Cli.Training;

/// <summary>How a training ended.</summary>
/// <param name="Steps">Steps in all runs together.</param>
/// <param name="Loss">Running mean of the loss at the end.</param>
/// <param name="Seconds">Time in training, all runs together.</param>
/// <param name="IsComplete">False when it was stopped before its end; it can be resumed.</param>
public sealed record TrainingSummary(int Steps, double Loss, double Seconds, bool IsComplete)
{
    /// <summary>Running means of the parts of the loss at the end.</summary>
    public IReadOnlyList<LossPartValue> Parts { get; init; } = [];

    /// <summary>What looked wrong in this run.</summary>
    public IReadOnlyList<TrainingWarning> Warnings { get; init; } = [];
}
