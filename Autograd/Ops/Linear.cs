using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Autograd;

/// <summary>The linear layer, with an activation or a residual folded into the same pass over memory.</summary>
public static class LinearOps
{
    extension(Tensor x)
    {
        /// <summary>
        /// y = x · Wᵀ + b + residual: x [..., in] to y [..., out].
        /// Gradients: dx = dy · W, dW = dyᵀ · x, db = Σ dy over the rows, dresidual = dy.
        /// </summary>
        /// <param name="weight">W, [out, in].</param>
        /// <param name="bias">b, [out]; absent when null.</param>
        /// <param name="residual">Added to the result, shaped as it; absent when null.</param>
        /// <exception cref="ShapeException">The shapes do not fit together.</exception>
        public Tensor Linear(Tensor weight, Tensor? bias = null, Tensor? residual = null)
        {
            Shape output = WithResidual(x, Check(x, weight, bias), residual);
            return Tape.Add(new LinearFunction(x, weight, bias, residual, output), x, weight, bias, residual);
        }

        /// <summary>
        /// y = f(x · Wᵀ + b): x [..., in] to y [..., out], the activation applied while the result is still in the cache.
        /// With z = x · Wᵀ + b and dz = dy · f′(z): dx = dz · W, dW = dzᵀ · x, db = Σ dz over the rows.
        /// </summary>
        /// <typeparam name="TActivation">f.</typeparam>
        /// <param name="weight">W, [out, in].</param>
        /// <param name="bias">b, [out]; absent when null.</param>
        /// <exception cref="ShapeException">The shapes do not fit together.</exception>
        public Tensor Linear<TActivation>(Tensor weight, Tensor? bias)
            where TActivation : struct, IUnaryOp
            => Tape.Add(new ActivatedLinearFunction<TActivation>(x, weight, bias, Check(x, weight, bias)), x, weight, bias);
    }

    extension(Tensor x)
    {
        /// <summary>y = x · Wᵀ + b + residual by a packed weight: x [..., in] to y [..., out]. Inference only: there are no gradients.</summary>
        /// <param name="weight">W, [out, in], packed for the device of x.</param>
        /// <param name="bias">b, [out]; absent when null.</param>
        /// <param name="residual">Added to the result, shaped as it; absent when null.</param>
        /// <exception cref="ShapeException">The shapes do not fit together.</exception>
        /// <exception cref="InvalidOperationException">A tape is recording and an operand needs a gradient.</exception>
        public Tensor Linear(PackedWeight weight, Tensor? bias = null, Tensor? residual = null)
        {
            Shape output = Check(x, weight, bias, residual);
            InferenceFunction function = new(output, x.Device);
            x.Device.Backend.MatMulPacked(weight, x.Shape.LengthBefore(-1), x.Buffer, function.Output.Buffer, bias?.Buffer ?? default, residual?.Buffer ?? default);
            return Tape.Add(function);
        }

        /// <summary>y = f(x · Wᵀ + b) by a packed weight: x [..., in] to y [..., out]. Inference only: there are no gradients.</summary>
        /// <typeparam name="TActivation">f.</typeparam>
        /// <param name="weight">W, [out, in], packed for the device of x.</param>
        /// <param name="bias">b, [out]; absent when null.</param>
        /// <exception cref="ShapeException">The shapes do not fit together.</exception>
        /// <exception cref="InvalidOperationException">A tape is recording and an operand needs a gradient.</exception>
        public Tensor Linear<TActivation>(PackedWeight weight, Tensor? bias)
            where TActivation : struct, IUnaryOp
        {
            InferenceFunction function = new(Check(x, weight, bias, null), x.Device);
            x.Device.Backend.MatMulPacked<TActivation>(weight, x.Shape.LengthBefore(-1), x.Buffer, function.Output.Buffer, bias?.Buffer ?? default, default);
            return Tape.Add(function);
        }
    }

    private static Shape Check(Tensor x, PackedWeight weight, Tensor? bias, Tensor? residual)
    {
        if (x.Shape.Rank == 0 || x.Shape[-1] != weight.Inputs)
            throw new ShapeException($"Linear: the last axis of x must be the second of weight, but x is {x.Shape} and the packed weight is [{weight.Outputs}, {weight.Inputs}].");
        if (bias is not null && (bias.Shape.Rank != 1 || bias.Shape[0] != weight.Outputs))
            throw new ShapeException($"Linear: the bias must be [{weight.Outputs}] for the packed weight [{weight.Outputs}, {weight.Inputs}], but it is {bias.Shape}.");
        if (Tape.IsRecording && (x.NeedsGradient || bias is { NeedsGradient: true } || residual is { NeedsGradient: true }))
            throw new InvalidOperationException("Linear: a weight that was packed for inference has no gradients; load the model again to train it.");
        SameDevice.Require("Linear", x, bias);
        return WithResidual(x, x.Shape.With(-1, weight.Outputs), residual);
    }

    private static Shape Check(Tensor x, Tensor weight, Tensor? bias)
    {
        if (weight.Shape.Rank != 2) throw new ShapeException($"Linear: the weight must be [out, in], not {weight.Shape}.");
        if (x.Shape.Rank == 0 || x.Shape[-1] != weight.Shape[1])
        {
            string hint = x.Shape.Rank > 0 && x.Shape[-1] == weight.Shape[0] ? " Is the weight transposed?" : string.Empty;
            throw new ShapeException($"Linear: the last axis of x must be the second of weight, but x is {x.Shape} and weight is {weight.Shape}.{hint}");
        }

        if (bias is not null && (bias.Shape.Rank != 1 || bias.Shape[0] != weight.Shape[0]))
            throw new ShapeException($"Linear: the bias must be [{weight.Shape[0]}] for the weight {weight.Shape}, but it is {bias.Shape}.");
        SameDevice.Require("Linear", x, weight, bias);
        return x.Shape.With(-1, weight.Shape[0]);
    }

    private static MatMulArgs ForwardArgs(Tensor x, Tensor weight)
        => new(x.Shape.LengthBefore(-1), weight.Shape[0], weight.Shape[1]) { TransposeB = true };

    private static void Backward(Tensor x, Tensor weight, Tensor? bias, DeviceBuffer dz)
    {
        IBackend backend = x.Device.Backend;
        int rows = x.Shape.LengthBefore(-1), outputs = weight.Shape[0], inputs = weight.Shape[1];
        GradientTarget dx = x.GradientTarget();
        if (dx.IsNeeded) backend.MatMul(new(rows, inputs, outputs) { Beta = dx.Accumulate ? 1f : 0f }, dz, weight.Buffer, dx.Buffer);
        GradientTarget dw = weight.GradientTarget();
        if (dw.IsNeeded) backend.MatMul(new(outputs, inputs, rows) { TransposeA = true, Beta = dw.Accumulate ? 1f : 0f }, dz, x.Buffer, dw.Buffer);
        if (bias is not null) backend.BiasGradient(dz, outputs, bias.GradientTarget());
    }

    /// <summary>The shape of the result, once the residual is known to fit it.</summary>
    private static Shape WithResidual(Tensor x, Shape output, Tensor? residual)
    {
        if (residual is not null && residual.Shape != output)
            throw new ShapeException($"Linear: the residual must have the shape of the result {output}, but it is {residual.Shape}.");
        SameDevice.Require("Linear", x, residual);
        return output;
    }

    /// <summary>The result of an operation without gradients.</summary>
    private sealed class InferenceFunction : Function
    {
        public InferenceFunction(Shape output, Device device) => Output = Allocate(output, device);

        public override void Backward(DeviceBuffer outputGradient) => throw new InvalidOperationException("A packed weight has no gradients.");
    }

    private sealed class LinearFunction : Function
    {
        private readonly Tensor _x;
        private readonly Tensor _weight;
        private readonly Tensor? _bias;
        private readonly Tensor? _residual;

        public LinearFunction(Tensor x, Tensor weight, Tensor? bias, Tensor? residual, Shape output)
        {
            (_x, _weight, _bias, _residual) = (x, weight, bias, residual);
            Output = Allocate(output, x.Device);
            x.Device.Backend.MatMul(ForwardArgs(x, weight), x.Buffer, weight.Buffer, Output.Buffer, bias?.Buffer ?? default, residual?.Buffer ?? default);
        }

        public override void Backward(DeviceBuffer outputGradient)
        {
            LinearOps.Backward(_x, _weight, _bias, outputGradient);
            if (_residual is not null) _x.Device.Backend.PassGradient(outputGradient, _residual.GradientTarget());
        }
    }

    private sealed class ActivatedLinearFunction<TActivation> : Function
        where TActivation : struct, IUnaryOp
    {
        private readonly Tensor _x;
        private readonly Tensor _weight;
        private readonly Tensor? _bias;
        private readonly Tensor? _preActivation;

        public ActivatedLinearFunction(Tensor x, Tensor weight, Tensor? bias, Shape output)
        {
            (_x, _weight, _bias) = (x, weight, bias);
            Output = Allocate(output, x.Device);
            if (Tape.IsRecording && (x.NeedsGradient || weight.NeedsGradient || bias is { NeedsGradient: true }))
                _preActivation = Save(Allocate(output, x.Device));
            x.Device.Backend.MatMul<TActivation>(
                ForwardArgs(x, weight), x.Buffer, weight.Buffer, Output.Buffer, bias?.Buffer ?? default, default, _preActivation?.Buffer ?? default);
        }

        public override void Backward(DeviceBuffer outputGradient)
        {
            IBackend backend = _x.Device.Backend;
            DeviceBuffer dz = backend.Rent(outputGradient.Length);
            backend.UnaryBackward<TActivation>(_preActivation!.Buffer, Output.Buffer, outputGradient, new GradientTarget(dz, Accumulate: false));
            LinearOps.Backward(_x, _weight, _bias, dz);
            backend.Return(dz);
        }
    }
}
