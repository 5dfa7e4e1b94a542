using MiniVlp.Kernels;

namespace MiniVlp.Nn.Optimizers;

/// <summary>What Adam, AdamW and Lamb have in common: two moments and their decays.</summary>
public abstract class AdaptiveOptimizer : Optimizer
{
    private protected AdaptiveOptimizer(IEnumerable<ParameterGroup> groups, double learningRate)
        : base(groups, learningRate, "exp_avg", "exp_avg_sq")
    {
    }

    /// <summary>β₁: decay of the mean of the gradients.</summary>
    public double Beta1 { get; init; } = 0.9;

    /// <summary>β₂: decay of the mean of their squares.</summary>
    public double Beta2 { get; init; } = 0.999;

    /// <summary>ε: added to the root of the second moment.</summary>
    public abstract double Epsilon { get; init; }

    private protected AdamSegment[] Segments(IReadOnlyList<ParameterStep> steps, bool isDecoupled)
    {
        AdamSegment[] segments = new AdamSegment[steps.Count];
        for (int i = 0; i < segments.Length; i++)
        {
            ParameterStep step = steps[i];
            AdamStep arguments = new(
                (float)Beta1, (float)(1 - Beta1), (float)Beta2, (float)(1 - Beta2), (float)Epsilon,
                (float)(1 / (1 - Math.Pow(Beta1, step.Number))), (float)(1 / Math.Sqrt(1 - Math.Pow(Beta2, step.Number))),
                (float)step.LearningRate, (float)step.WeightDecay, isDecoupled);
            segments[i] = new AdamSegment(arguments, step.Value.Buffer, step.Gradient.Buffer, step.State[0].Buffer, step.State[1].Buffer);
        }

        return segments;
    }
}

/// <summary>
/// Adam with decoupled weight decay: m = β₁ m + (1 - β₁) g, v = β₂ v + (1 - β₂) g², p = (1 - η λ) p - η m̂ / (√v̂ + ε), where m̂ and v̂ are corrected
/// for their start at zero (Loshchilov and Hutter, arXiv:1711.05101).
/// </summary>
public sealed class AdamW(IEnumerable<ParameterGroup> groups, double learningRate) : AdaptiveOptimizer(groups, learningRate)
{
    /// <inheritdoc/>
    public override double Epsilon { get; init; } = 1e-8;

    private protected override void Update(IBackend backend, IReadOnlyList<ParameterStep> steps) => backend.Adam(Segments(steps, isDecoupled: true));
}

/// <summary>Adam (Kingma and Ba, arXiv:1412.6980) as AdamW, except that weight decay joins the gradient: g + λ p.</summary>
public sealed class Adam(IEnumerable<ParameterGroup> groups, double learningRate) : AdaptiveOptimizer(groups, learningRate)
{
    /// <inheritdoc/>
    public override double Epsilon { get; init; } = 1e-8;

    private protected override void Update(IBackend backend, IReadOnlyList<ParameterStep> steps) => backend.Adam(Segments(steps, isDecoupled: false));
}

/// <summary>
/// Lamb for large batches: u = m̂ / (√v̂ + ε) + λ p, p = p - η (|p| / |u|) u for each parameter tensor (You et al., arXiv:1904.00962).
/// </summary>
public sealed class Lamb(IEnumerable<ParameterGroup> groups, double learningRate) : AdaptiveOptimizer(groups, learningRate)
{
    /// <inheritdoc/>
    public override double Epsilon { get; init; } = 1e-6;

    private protected override void Update(IBackend backend, IReadOnlyList<ParameterStep> steps) => backend.Lamb(Segments(steps, isDecoupled: true));
}
