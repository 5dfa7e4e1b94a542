using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Nn.Optimizers;

/// <summary>Limits the length of gradients.</summary>
public static class GradientClipping
{
    /// <summary>
    /// Multiplies all gradients by min(1, maxNorm / (norm + 10⁻⁶)), where norm = √Σ g² over all of them together (Pascanu et al., arXiv:1211.5063). When the
    /// norm is infinite or not a number the gradients are left as they are, so that the caller can skip the step.
    /// </summary>
    /// <param name="parameters">Those without a gradient count for nothing.</param>
    /// <param name="maxNorm">The largest norm that is left alone.</param>
    /// <returns>The norm before.</returns>
    public static double ClipByGlobalNorm(IEnumerable<Parameter> parameters, double maxNorm)
    {
        if (!(maxNorm > 0)) throw new ArgumentOutOfRangeException(nameof(maxNorm), maxNorm, "The largest norm must be positive.");
        (IBackend Backend, DeviceBuffer[] Gradients)[] devices =
        [
            .. parameters.Where(parameter => parameter.IsInitialized).Select(parameter => parameter.Gradient).OfType<Tensor>()
                .GroupBy(gradient => gradient.Device.Backend, gradient => gradient.Buffer).Select(group => (group.Key, group.ToArray())),
        ];
        double sum = 0;
        foreach ((IBackend backend, DeviceBuffer[] gradients) in devices) sum += backend.SumOfSquares(gradients);
        double norm = Math.Sqrt(sum), factor = maxNorm / (norm + 1e-6);
        if (!double.IsFinite(norm) || factor >= 1) return norm;
        foreach ((IBackend backend, DeviceBuffer[] gradients) in devices) backend.ScaleInPlace(gradients, (float)factor);
        return norm;
    }
}
