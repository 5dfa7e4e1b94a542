using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Autograd;

/// <summary>Losses of a prediction and a target of the same shape, element by element, fused with their reduction.</summary>
public static class PairLossOps
{
    extension(Tensor x)
    {
        /// <summary>Mean, sum or each of (x - t)².</summary>
        /// <param name="target">t, shaped as x.</param>
        /// <param name="reduction">A scalar, or the shape of x without reduction.</param>
        /// <exception cref="ShapeException">The shapes differ.</exception>
        public Tensor MeanSquaredError(Tensor target, Reduction reduction = Reduction.Mean)
            => PairLoss<SquaredError>("MeanSquaredError", x, target, 0f, reduction);

        /// <summary>Mean, sum or each of |x - t|.</summary>
        /// <param name="target">t, shaped as x.</param>
        /// <param name="reduction">A scalar, or the shape of x without reduction.</param>
        /// <exception cref="ShapeException">The shapes differ.</exception>
        public Tensor L1(Tensor target, Reduction reduction = Reduction.Mean)
            => PairLoss<AbsoluteError>("L1", x, target, 0f, reduction);

        /// <summary>Mean, sum or each of d² / (2 β) where |d| &lt; β, else |d| - β / 2, with d = x - t (Girshick, arXiv:1504.08083).</summary>
        /// <param name="target">t, shaped as x.</param>
        /// <param name="beta">β > 0: where the square goes over into the line.</param>
        /// <param name="reduction">A scalar, or the shape of x without reduction.</param>
        /// <exception cref="ShapeException">The shapes differ.</exception>
        public Tensor SmoothL1(Tensor target, float beta = 1f, Reduction reduction = Reduction.Mean)
        {
            if (!(beta > 0f)) throw new ArgumentOutOfRangeException(nameof(beta), beta, "SmoothL1: beta must be positive; with 0 the loss is L1.");
            return PairLoss<SmoothAbsoluteError>("SmoothL1", x, target, beta, reduction);
        }

        /// <summary>
        /// Mean, sum or each of -t log σ(x) - (1 - t) log(1 - σ(x)), in the form max(x, 0) - x t + log(1 + exp(-|x|)) that no logit overflows.
        /// </summary>
        /// <param name="target">t in [0, 1], shaped as x.</param>
        /// <param name="reduction">A scalar, or the shape of x without reduction.</param>
        /// <exception cref="ShapeException">The shapes differ.</exception>
        public Tensor BinaryCrossEntropyWithLogits(Tensor target, Reduction reduction = Reduction.Mean)
            => PairLoss<BinaryCrossEntropy>("BinaryCrossEntropyWithLogits", x, target, 0f, reduction);
    }

    private static Tensor PairLoss<TLoss>(string operation, Tensor x, Tensor target, float beta, Reduction reduction)
        where TLoss : struct, IPairLoss
    {
        Tensor.RequireSameShape(operation, x, target);
        SameDevice.Require(operation, x, target);
        return Tape.Add(new PairLossFunction<TLoss>(x, target, beta, reduction), x, target);
    }

    private sealed class PairLossFunction<TLoss> : Function
        where TLoss : struct, IPairLoss
    {
        private readonly Tensor _x, _target;
        private readonly float _beta;
        private readonly Reduction _reduction;

        public PairLossFunction(Tensor x, Tensor target, float beta, Reduction reduction)
        {
            (_x, _target, _beta, _reduction) = (x, target, beta, reduction);
            Output = Allocate(reduction == Reduction.None ? x.Shape : [], x.Device);
            x.Device.Backend.PairLoss<TLoss>(x.Buffer, target.Buffer, beta, reduction, Output.Buffer);
        }

        public override void Backward(DeviceBuffer outputGradient)
            => _x.Device.Backend.PairLossBackward<TLoss>(_x.Buffer, _target.Buffer, _beta, _reduction, outputGradient, _x.GradientTarget(), _target.GradientTarget());
    }
}
