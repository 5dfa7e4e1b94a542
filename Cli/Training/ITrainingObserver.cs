using MiniVlp.Nn.Training;

namespace MiniVlp.Cli.Training;

/// <summary>Where a training stands.</summary>
/// <param name="Latest">The last step.</param>
/// <param name="SmoothLoss">Running mean of the loss.</param>
/// <param name="SamplesPerSecond">Over the last steps.</param>
/// <param name="TotalSteps">Steps in all; null while the pace is being measured.</param>
/// <param name="TimeLeft">At the present pace; null while it is being measured.</param>
public sealed record TrainingProgress(TrainingMetrics Latest, double SmoothLoss, double SamplesPerSecond, int? TotalSteps, TimeSpan? TimeLeft)
{
    /// <summary>Running means of the parts of the loss.</summary>
    public IReadOnlyList<LossPartValue> SmoothParts { get; init; } = [];
}

/// <summary>Someone who watches a training.</summary>
public interface ITrainingObserver
{
    /// <summary>Called after every step.</summary>
    void Stepped(TrainingProgress progress);

    /// <summary>Called when a checkpoint stands.</summary>
    void Saved(int step);

    /// <summary>Called when something looks wrong, once for each such thing.</summary>
    void Warned(TrainingWarning warning);
}
