using MiniVlp.Data.Images;
using MiniVlp.Data.Metrics;
using MiniVlp.Data.Scenes;

namespace MiniVlp.Cli.Evaluation;

/// <summary>One figure of a task, with what can be had without looking.</summary>
/// <param name="Name">What was measured.</param>
/// <param name="Value">The figure.</param>
/// <param name="Interval">95 % bootstrap interval over the samples.</param>
/// <param name="Constant">The figure of the best answer that is the same for all samples; null where there is no such thing.</param>
/// <param name="Chance">The figure of guessing; null where there is no such thing.</param>
/// <param name="Samples">Number of samples behind it.</param>
/// <param name="IsShare">Whether it is a share, to be shown in percent.</param>
public sealed record TaskScore(string Name, double Value, ConfidenceInterval Interval, double? Constant, double? Chance, int Samples, bool IsShare = true)
{
    /// <summary>The mean of a value of each sample.</summary>
    public static TaskScore OfMean(string name, IReadOnlyList<double> values, double? constant, double? chance, ulong seed)
        => new(name, values.Average(), Bootstrap.OfMean(values, seed: seed), constant, chance, values.Count);
}

/// <summary>One sample with what the model made of it, for a sheet of examples.</summary>
/// <param name="Image">The picture.</param>
/// <param name="Text">What was asked; empty when nothing was.</param>
/// <param name="Expected">What would have been right.</param>
/// <param name="Answer">What the model said.</param>
/// <param name="IsRight">Whether that is right.</param>
/// <param name="Map">Where the model looked; null when it does not tell.</param>
/// <param name="Box">Where the right thing is.</param>
public sealed record TaskExample(RgbImage Image, string Text, string Expected, string Answer, bool IsRight, HeatMap? Map = null, SceneBox? Box = null);

/// <summary>What the evaluation of a task gave.</summary>
/// <param name="Task">Name of the task.</param>
/// <param name="Scores">The figures, the first of them first.</param>
/// <param name="Examples">The first samples.</param>
/// <param name="Confusion">Which class was taken for which, where there are classes.</param>
/// <param name="Notes">What has to be known to read the figures.</param>
public sealed record TaskResult(string Task, IReadOnlyList<TaskScore> Scores, IReadOnlyList<TaskExample> Examples, ConfusionMatrix? Confusion = null, IReadOnlyList<string>? Notes = null)
{
    /// <summary>Examples that belong side by side on a sheet; null where they are a list.</summary>
    public int? Columns { get; init; }
}
