using MiniVlp.Kernels;
using MiniVlp.Tensors;

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
    /// <inheritdoc/>
    protected override void Update(Tensor value, Tensor gradient, IReadOnlyList<Tensor> state, int step, double learningRate, double weightDecay)
        => value.Device.Backend.Sgd(
            new SgdStep((float)learningRate, (float)momentum, (float)weightDecay, isNesterov), value.Buffer, gradient.Buffer, state.Count == 0 ? default : state[0].Buffer);
}
