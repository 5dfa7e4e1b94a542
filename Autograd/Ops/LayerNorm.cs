using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Autograd;

/// <summary>LayerNorm and its relatives.</summary>
public static class LayerNormOps
{
    extension(Tensor x)
    {
        /// <summary>y = (x - mean) / √(variance + ε) · weight + bias along the last axis (Ba et al., arXiv:1607.06450).</summary>
        /// <param name="weight">[width], or null for ones.</param>
        /// <param name="bias">[width], or null for zeros.</param>
        /// <param name="epsilon">ε, added to the (biased) variance.</param>
        /// <exception cref="ShapeException">Weight or bias is not [width].</exception>
        public Tensor LayerNorm(Tensor? weight = null, Tensor? bias = null, float epsilon = 1e-5f)
        {
            RequireWidth("LayerNorm", x, weight, "weight");
            RequireWidth("LayerNorm", x, bias, "bias");
            return Tape.Add(new LayerNormFunction(x, weight, bias, epsilon), x, weight, bias);
        }

        /// <summary>y = x / √(mean of x² + ε) · weight along the last axis (Zhang and Sennrich, arXiv:1910.07467).</summary>
        /// <param name="weight">[width], or null for ones.</param>
        /// <param name="epsilon">ε, added to the mean square.</param>
        /// <exception cref="ShapeException">The weight is not [width].</exception>
        public Tensor RmsNorm(Tensor? weight = null, float epsilon = 1e-6f)
        {
            RequireWidth("RmsNorm", x, weight, "weight");
            return Tape.Add(new RmsNormFunction(x, weight, epsilon), x, weight);
        }

        /// <summary>
        /// GroupNorm (Wu and He, arXiv:1803.08494): the channels of x [batch, channels, ...] are normalised in groups, each over its channels and all
        /// places, then scaled and shifted by channel.
        /// </summary>
        /// <param name="groups">Number of groups; it divides the channels.</param>
        /// <param name="weight">[channels], or null for ones.</param>
        /// <param name="bias">[channels], or null for zeros.</param>
        /// <param name="epsilon">ε, added to the (biased) variance.</param>
        /// <exception cref="ShapeException">The groups do not divide the channels, or weight or bias is not [channels].</exception>
        public Tensor GroupNorm(int groups, Tensor? weight = null, Tensor? bias = null, float epsilon = 1e-5f)
        {
            ArgumentOutOfRangeException.ThrowIfNegativeOrZero(groups);
            if (x.Shape.Rank < 2 || x.Shape[1] % groups != 0)
                throw new ShapeException($"GroupNorm: x must be [batch, channels, ...] with channels a multiple of {groups} groups, found {x.Shape}.");
            int batch = x.Shape[0], channels = x.Shape[1], places = x.Shape.LengthAfter(1);
            Tensor y = x.Reshape([batch, groups, channels / groups * places]).LayerNorm(null, null, epsilon).Reshape([batch, channels, places]);
            if (weight is not null) y *= PerChannel(weight, "weight");
            if (bias is not null) y += PerChannel(bias, "bias");
            return y.Reshape(x.Shape);

            Tensor PerChannel(Tensor vector, string name) => vector.Shape == [channels]
                ? vector.Reshape([channels, 1]).BroadcastTo([channels, places])
                : throw new ShapeException($"GroupNorm: {name} must be [{channels}], the channels of x {x.Shape}, but it is {vector.Shape}.");
        }
    }

    private static void RequireWidth(string operation, Tensor x, Tensor? vector, string name)
    {
        if (x.Shape.Rank == 0) throw new ShapeException($"{operation}: x needs at least one axis, but it is a scalar.");
        if (vector is null) return;
        if (vector.Shape != [x.Shape[-1]]) throw new ShapeException($"{operation}: {name} must be [{x.Shape[-1]}], the last axis of x {x.Shape}, but it is {vector.Shape}.");
        SameDevice.Require(operation, x, vector);
    }

    private static int Rows(Tensor x) => x.Shape.LengthBefore(-1);

    private sealed class LayerNormFunction : Function
    {
        private readonly Tensor _x;
        private readonly Tensor? _weight;
        private readonly Tensor? _bias;
        private readonly Tensor _statistics;

        public LayerNormFunction(Tensor x, Tensor? weight, Tensor? bias, float epsilon)
        {
            _x = x;
            _weight = weight;
            _bias = bias;
            _statistics = Save(Allocate([Rows(x), 2], x.Device));
            Output = Allocate(x.Shape, x.Device);
            x.Device.Backend.LayerNorm(
                x.Buffer, weight?.Buffer ?? default, bias?.Buffer ?? default, epsilon, x.Shape[-1], Output.Buffer, _statistics.Buffer);
        }

        public override void Backward(DeviceBuffer outputGradient)
        {
            GradientTarget x = _x.GradientTarget(), weight = _weight?.GradientTarget() ?? default;
            _x.Device.Backend.LayerNormBackward(
                _x.Buffer, _weight?.Buffer ?? default, _statistics.Buffer, outputGradient, _x.Shape[-1], x, weight, _bias?.GradientTarget() ?? default);
        }
    }

    private sealed class RmsNormFunction : Function
    {
        private readonly Tensor _x;
        private readonly Tensor? _weight;
        private readonly Tensor _statistics;

        public RmsNormFunction(Tensor x, Tensor? weight, float epsilon)
        {
            _x = x;
            _weight = weight;
            _statistics = Save(Allocate([Rows(x), 2], x.Device));
            Output = Allocate(x.Shape, x.Device);
            x.Device.Backend.RmsNorm(x.Buffer, weight?.Buffer ?? default, epsilon, x.Shape[-1], Output.Buffer, _statistics.Buffer);
        }

        public override void Backward(DeviceBuffer outputGradient)
        {
            GradientTarget x = _x.GradientTarget();
            _x.Device.Backend.RmsNormBackward(
                _x.Buffer, _weight?.Buffer ?? default, _statistics.Buffer, outputGradient, _x.Shape[-1], x, _weight?.GradientTarget() ?? default);
        }
    }
}
