using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Autograd;

/// <summary>Random masks and random tensors. All numbers are a function of the generator's seed and position alone.</summary>
public static class RandomOps
{
    extension(Tensor x)
    {
        /// <summary>
        /// Each element is 0 with probability <paramref name="rate"/>, else x / (1 - rate), so that the expectation stays (Srivastava et al., 2014).
        /// The mask is not stored but drawn again for the gradient.
        /// </summary>
        /// <param name="rate">Probability of dropping, in [0, 1).</param>
        /// <param name="generator">Where to draw from; <see cref="Generator.Current"/> when null.</param>
        /// <exception cref="ArgumentOutOfRangeException">The rate is not in [0, 1).</exception>
        public Tensor Dropout(float rate, Generator? generator = null)
        {
            RequireRate(rate);
            return rate == 0f ? x : Tape.Add(new DropoutFunction(x, rate, 1, generator ?? Generator.Current), x);
        }

        /// <summary>
        /// Each sample (index of the leading axis) is 0 with probability <paramref name="rate"/>, else x / (1 - rate): stochastic depth for the
        /// branch of a residual block (Huang et al., arXiv:1603.09382).
        /// </summary>
        /// <param name="rate">Probability of dropping, in [0, 1).</param>
        /// <param name="generator">Where to draw from; <see cref="Generator.Current"/> when null.</param>
        /// <exception cref="ArgumentOutOfRangeException">The rate is not in [0, 1).</exception>
        /// <exception cref="ShapeException">The tensor is a scalar.</exception>
        public Tensor DropPath(float rate, Generator? generator = null)
        {
            RequireRate(rate);
            int run = x.Shape.LengthAfter(0);
            return rate == 0f || run == 0 ? x : Tape.Add(new DropoutFunction(x, rate, run, generator ?? Generator.Current), x);
        }
    }

    extension(Tensor)
    {
        /// <summary>A tensor of numbers uniform in [low, high).</summary>
        public static Tensor RandomUniform(Shape shape, float low = 0f, float high = 1f, Generator? generator = null, Device? device = null)
        {
            Tensor y = Tensor.Zeros(shape, device);
            y.Device.Backend.RandomUniform(y.Buffer, low, high, Reserve(generator, shape.Length));
            return y;
        }

        /// <summary>A tensor of normally distributed numbers.</summary>
        public static Tensor RandomNormal(Shape shape, float mean = 0f, float standardDeviation = 1f, Generator? generator = null, Device? device = null)
        {
            Tensor y = Tensor.Zeros(shape, device);
            y.Device.Backend.RandomNormal(y.Buffer, mean, standardDeviation, Reserve(generator, shape.Length));
            return y;
        }

        /// <summary>A tensor of normally distributed numbers, drawn again while more than <paramref name="limit"/> deviations away from the mean.</summary>
        /// <exception cref="ArgumentOutOfRangeException">The limit is below 0.01, where hardly a number would pass.</exception>
        public static Tensor RandomTruncatedNormal(
            Shape shape, float mean = 0f, float standardDeviation = 1f, float limit = 2f, Generator? generator = null, Device? device = null)
        {
            if (!(limit >= 0.01f)) throw new ArgumentOutOfRangeException(nameof(limit), limit, "RandomTruncatedNormal: the limit is at least 0.01 deviations.");
            Tensor y = Tensor.Zeros(shape, device);
            y.Device.Backend.RandomTruncatedNormal(y.Buffer, mean, standardDeviation, limit, Reserve(generator, 4L * shape.Length));
            return y;
        }
    }

    private static void RequireRate(float rate)
    {
        if (!(rate >= 0f && rate < 1f)) throw new ArgumentOutOfRangeException(nameof(rate), rate, "The rate is a probability in [0, 1).");
    }

    private static RandomStream Reserve(Generator? generator, long count)
    {
        generator ??= Generator.Current;
        RandomStream stream = new(generator.Seed, generator.Position);
        generator.Position += (ulong)((count + 3) / 4);
        return stream;
    }

    private sealed class DropoutFunction : Function
    {
        private readonly Tensor _x;
        private readonly float _rate;
        private readonly int _run;
        private readonly RandomStream _random;

        public DropoutFunction(Tensor x, float rate, int run, Generator generator)
        {
            (_x, _rate, _run) = (x, rate, run);
            _random = Reserve(generator, x.Shape.Length / run);
            Output = Allocate(x.Shape, x.Device);
            x.Device.Backend.Dropout(x.Buffer, rate, run, _random, new GradientTarget(Output.Buffer, false));
        }

        public override void Backward(DeviceBuffer outputGradient)
            => _x.Device.Backend.Dropout(outputGradient, _rate, _run, _random, _x.GradientTarget());
    }
}
