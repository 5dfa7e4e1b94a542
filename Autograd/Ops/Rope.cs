using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Autograd;

/// <summary>Rotary position embedding.</summary>
public static class RopeOps
{
    extension(Tensor x)
    {
        /// <summary>
        /// Rotary position embedding (Su et al., arXiv:2104.09864), with the halves of a head as Llama pairs them: elements i and i + headSize/2
        /// of each head are turned by position · θ^(-2i/headSize). x [batch, tokens, heads · headSize] to the same shape.
        /// </summary>
        /// <param name="positions">[batch, tokens], or [tokens] for all samples alike.</param>
        /// <param name="heads">Number of heads that lie side by side in the last axis.</param>
        /// <param name="theta">Base of the frequencies.</param>
        /// <exception cref="ShapeException">The positions do not fit, or the last axis is no multiple of 2 · heads.</exception>
        public Tensor Rope(IndexTensor positions, int heads, float theta = 10000f)
        {
            ArgumentOutOfRangeException.ThrowIfNegativeOrZero(heads);
            if (x.Shape.Rank != 3) throw new ShapeException($"Rope: x must be [batch, tokens, heads · headSize], found {x.Shape}.");
            if (x.Shape[2] % (2 * heads) != 0) throw new ShapeException($"Rope: the last axis of x {x.Shape} must be a multiple of 2 · {heads} heads.");
            int batch = x.Shape[0], tokens = x.Shape[1];
            if (positions.Shape != [batch, tokens] && positions.Shape != [tokens])
                throw new ShapeException($"Rope: positions must be [{batch}, {tokens}] or [{tokens}] for x {x.Shape}, found {positions.Shape}.");
            SameDevice.Require("Rope", x, positions);
            return Tape.Add(new RopeFunction(x, positions, heads, theta), x);
        }
    }

    private sealed class RopeFunction : Function
    {
        private readonly Tensor _x;
        private readonly IndexTensor _positions;
        private readonly RopeArgs _args;

        public RopeFunction(Tensor x, IndexTensor positions, int heads, float theta)
        {
            _x = x;
            _positions = positions;
            _args = new RopeArgs(x.Shape[0] * x.Shape[1], heads, x.Shape[2] / heads, theta);
            Output = Allocate(x.Shape, x.Device);
            x.Device.Backend.Rope(x.Buffer, positions.Buffer, _args, 1f, new GradientTarget(Output.Buffer, false));
        }

        public override void Backward(DeviceBuffer outputGradient)
            => _x.Device.Backend.Rope(outputGradient, _positions.Buffer, _args, -1f, _x.GradientTarget());
    }
}
