using MiniVlp.Kernels;

namespace MiniVlp.Nn.Optimizers;

/// <summary>
/// Gradient descent: with g = gradient + λ p and velocity v = μ v + g, p = p - η v, or p - η (g + μ v) with Nesterov's look ahead. Without
/// momentum it has no state.
/// </summary>
/// <param name="groups">What it changes.</param>
/// <param name="learningRate">η.</param>
/// <param name="momentum">μ in [0, 1).</param>
/// <param name="isNesterov">Whether a step looks ahead.</param>
public sealed class Sgd(IEnumerable<ParameterGroup> groups, double learningRate, double momentum = 0, bool isNesterov = false)
    : Optimizer(groups, learningRate, momentum == 0 ? [] : ["momentum_buffer"])
{
    private protected override void Update(IBackend backend, IReadOnlyList<ParameterStep> steps) => backend.Sgd(
    [
        .. steps.Select(step => new SgdSegment(
            new SgdStep((float)step.LearningRate, (float)momentum, (float)step.WeightDecay, isNesterov),
            step.Value.Buffer,
            step.Gradient.Buffer,
            step.State.Count == 0 ? default : step.State[0].Buffer)),
    ]);
}
