using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Autograd;

/// <summary>The gradient of operations that hand the output's gradient on unchanged.</summary>
internal static class GradientFlow
{
    /// <summary>
    /// Gives the output's gradient to an operand with equally many elements: the memory changes hands where nobody else needs it, and is
    /// copied or added otherwise. This has to be the last use of the output's gradient.
    /// </summary>
    public static void PassOn(Tensor output, Tensor operand, DeviceBuffer outputGradient)
    {
        if (!operand.NeedsGradient || operand.TryAdoptGradient(output)) return;
        operand.Device.Backend.Affine(outputGradient, 1f, 0f, operand.GradientTarget());
    }
}
