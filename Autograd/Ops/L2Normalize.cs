using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Autograd;

/// <summary>Vectors of length 1, as contrastive losses compare them.</summary>
public static class L2NormalizeOps
{
    extension(Tensor x)
    {
        /// <summary>y = x / max(‖x‖, ε) along the last axis.</summary>
        /// <param name="epsilon">ε, the smallest norm that is divided by.</param>
        /// <exception cref="ShapeException">The tensor is a scalar.</exception>
        public Tensor L2Normalize(float epsilon = 1e-12f)
        {
            x.Shape.Axis(-1);
            return Tape.Add(new L2NormalizeFunction(x, epsilon), x);
        }
    }

    private sealed class L2NormalizeFunction : Function
    {
        private readonly Tensor _x;
        private readonly float _epsilon;
        private readonly Tensor _norms;

        public L2NormalizeFunction(Tensor x, float epsilon)
        {
            _x = x;
            _epsilon = epsilon;
            _norms = Save(Allocate([x.Shape.LengthBefore(-1)], x.Device));
            Output = Allocate(x.Shape, x.Device);
            x.Device.Backend.L2Normalize(x.Buffer, epsilon, x.Shape[-1], Output.Buffer, _norms.Buffer);
        }

        public override void Backward(DeviceBuffer outputGradient)
            => _x.Device.Backend.L2NormalizeBackward(Output.Buffer, _norms.Buffer, outputGradient, _epsilon, _x.Shape[-1], _x.GradientTarget());
    }
}
