using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Autograd;

/// <summary>Gradient checkpointing.</summary>
public static class CheckpointOps
{
    extension(Tensor x)
    {
        /// <summary>
        /// y = body(x), keeping only x for the backward pass, which computes the body again (Chen et al., arXiv:1604.06174). The result and
        /// all gradients are bit-identical to body(x): random numbers are drawn again from the same position.
        /// </summary>
        /// <param name="body">A function of x that creates its result from x and from parameters; it may use dropout.</param>
        public Tensor Checkpoint(Func<Tensor, Tensor> body)
        {
            if (!Tape.IsRecording) return body(x);
            CheckpointFunction function = new(x, body);
            return Tape.AddAlways(function);
        }
    }

    private sealed class CheckpointFunction : Function
    {
        private readonly Tensor _x;
        private readonly Func<Tensor, Tensor> _body;
        private readonly ulong _seed;
        private readonly ulong _position;

        public CheckpointFunction(Tensor x, Func<Tensor, Tensor> body)
        {
            _x = x;
            _body = body;
            _seed = Generator.Current.Seed;
            _position = Generator.Current.Position;
            using IDisposable pause = Tape.NoGradient();
            using TensorScope scope = new();
            Tensor y = body(x);
            Output = ReferenceEquals(y, x) ? x.Detach() : scope.Keep(y);
            if (ReferenceEquals(y, x)) scope.Keep(Output);
        }

        public override void Backward(DeviceBuffer outputGradient)
        {
            Generator generator = Generator.Current;
            Generator.Current = new Generator(_seed, _position);
            try
            {
                using Tape tape = Tape.Record();
                Tensor input = _x.Detach();
                input.NeedsGradient = _x.NeedsGradient;
                Tensor y = _body(input);
                if (!y.NeedsGradient) return;

                // The second tape adds to the very buffer that holds the gradient of x so far, as the first one would have done.
                _x.MoveGradientTo(input);
                tape.Backward(y, outputGradient);
                if (_x.HasGradient) _x.Device.Backend.PassGradient(input.GradientBuffer, _x.GradientTarget());
                else input.MoveGradientTo(_x);
            }
            finally
            {
                Generator.Current = generator;
            }
        }
    }
}
