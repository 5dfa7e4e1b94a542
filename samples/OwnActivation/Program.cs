// Writes an activation of one's own and trains with it. An element-wise operation is a type: its formula and its derivative are all
// that the kernels, the tape and the layers need.
//
//   dotnet run -c Release --project samples/OwnActivation
using MiniVlp.Autograd;
using MiniVlp.Kernels;
using MiniVlp.Nn;
using MiniVlp.Nn.Optimizers;
using MiniVlp.Nn.Training;
using MiniVlp.Samples;
using MiniVlp.Tensors;

// The derivative against a difference quotient: x.Apply<Snake>() is recorded on the tape like any built-in operation.
float[] points = [-4f, -1f, -0.2f, 0f, 0.3f, 1f, 5f];
using Tensor x = Tensor.FromArray(points, [points.Length]);
x.NeedsGradient = true;
using (Tape tape = Tape.Record()) tape.Backward(x.Apply<Snake>().Sum());
float[] slopes = x.Gradient!.ToArray();
for (int i = 0; i < points.Length; i++)
{
    double quotient = (Snake.Forward(points[i] + 1e-2f) - Snake.Forward(points[i] - 1e-2f)) / 2e-2;
    Console.WriteLine(FormattableString.Invariant($"x {points[i],5:0.0}   snake {Snake.Forward(points[i]),7:0.0000}   slope {slopes[i],7:0.0000}   difference quotient {quotient,7:0.0000}"));
}

// A network with it learns sin(3x) on [-1, 1].
const int Count = 256, Steps = 400;
float[] inputs = [.. Enumerable.Range(0, Count).Select(i => -1f + (2f * i / (Count - 1)))];
float[] targets = [.. inputs.Select(value => MathF.Sin(3 * value))];
using SineNetwork network = new();
network.Initialize(Device.Cpu, seed: 1);
using AdamW optimizer = new(ParameterGroup.SplitByDecay(network.NamedParameters(), weightDecay: 0), learningRate: 1e-2);
Trainer trainer = new(network, optimizer, new TrainerOptions { Schedule = LearningRateSchedule.Cosine(peak: 1e-2, warmUp: 20, total: Steps) });
for (int step = 1; step <= Steps; step++)
{
    StepResult result = trainer.TrainStep(() =>
    {
        Tensor error = network.Forward(Tensor.FromArray(inputs, [Count, 1])) - Tensor.FromArray(targets, [Count, 1]);
        return (error * error).Mean();
    });
    if (step % 100 == 0) Console.WriteLine(FormattableString.Invariant($"step {step}  mean squared error {result.Loss:0.000000}"));
}

namespace MiniVlp.Samples
{
    /// <summary>snake(x) = x + sin² x, for functions that repeat themselves (arXiv:2006.08195).</summary>
    internal readonly struct Snake : IUnaryOp
    {
        public static float Forward(float x) => x + (MathF.Sin(x) * MathF.Sin(x));

        public static float Derivative(float x, float y) => 1f + MathF.Sin(2f * x);
    }

    internal sealed class SineNetwork : Module
    {
        private readonly Linear _first;
        private readonly Linear _second;

        public SineNetwork()
        {
            _first = Add("first", new Linear(1, 32, initializer: Initializers.Normal(1f)));
            _second = Add("second", new Linear(32, 1));
        }

        // Linear<Snake> runs the activation in the epilogue of the matrix product.
        public Tensor Forward(Tensor x) => _second.Forward(x.Linear<Snake>(_first.Weight, _first.Bias!));
    }
}
