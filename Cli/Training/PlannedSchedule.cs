using MiniVlp.Nn.Optimizers;

namespace MiniVlp.Cli.Training;

/// <summary>
/// Linear warm-up, then half a cosine down to a floor, over a number of steps that may become known only after the first of them.
/// </summary>
/// <param name="peak">Largest learning rate.</param>
/// <param name="warmupShare">Share of the steps in which it rises.</param>
/// <param name="warmupSteps">Steps in which it rises, instead of a share.</param>
/// <param name="finalShare">The floor as a share of the peak.</param>
public sealed class PlannedSchedule(float peak, double warmupShare, int? warmupSteps = null, double finalShare = 0)
{
    /// <summary>Steps of warm-up while the number of all steps is unknown.</summary>
    private const int UnplannedWarmup = 50;

    /// <summary>Steps in all.</summary>
    public int? TotalSteps { get; set; }

    /// <summary>As a trainer takes it.</summary>
    public LearningRateSchedule ToSchedule() => LearningRateSchedule.FromRule(At);

    /// <summary>Learning rate of a step; the first is 0.</summary>
    public double At(int step)
    {
        double warmup = warmupSteps ?? (TotalSteps is { } total ? Math.Max(1, Math.Round(total * warmupShare)) : UnplannedWarmup);
        if (step < warmup) return peak * (step + 1) / warmup;
        double done = TotalSteps is { } all ? Math.Min(1, (step - warmup) / Math.Max(1, all - warmup)) : 0;
        return peak * (finalShare + ((1 - finalShare) * 0.5 * (1 + Math.Cos(Math.PI * done))));
    }
}
