using MiniVlp.Autograd;
using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Nn.Training;

/// <summary>
/// A loss and its gradients as one CUDA graph. After <see cref="WarmUpRuns"/> steps that run as always, the next one is recorded, and from then on
/// a step gives the driver one launch for the forward and the backward pass instead of one for each kernel; see
/// <see cref="Trainer.TrainStep(LossGraph)"/>. It pays where a step is many small kernels. On devices without graphs every step runs as always, so
/// the same program trains anywhere, to the same bits.
/// </summary>
/// <remarks>
/// The loss reads its batch from tensors that stay: each step begins with <see cref="Tensor.CopyFrom(ReadOnlySpan{float})"/> and
/// <see cref="IndexTensor.CopyFrom(ReadOnlySpan{int})"/> into them. Inside of it nothing may come from the host or go there, which the device refuses while it
/// records, and nothing may be drawn at random, such as dropout, which is refused at once: a graph repeats what it recorded. What the loss decides in C#
/// is decided once, and what its operations check of their operands, such as token ids, is checked once. Norm, clipping and optimizer stay outside, because a step whose gradients are not finite must not be taken.
/// The device memory that the two passes work in stays with the graph until it is disposed.
/// </remarks>
public sealed class LossGraph : IDisposable
{
    private readonly Func<LossParts> _loss;
    private GpuGraph? _graph;
    private Recorded[] _recorded = [];
    private IReadOnlyList<Parameter>? _parameters;
    private MatMulPrecision _precision;
    private LossParts _parts = [];
    private Tensor? _values;
    private int _runs;

    /// <summary>A loss in parts.</summary>
    /// <param name="loss">Computes the loss from tensors that stay; it runs while a tape records.</param>
    public LossGraph(Func<LossParts> loss)
    {
        ArgumentNullException.ThrowIfNull(loss);
        _loss = loss;
    }

    /// <summary>A loss in one piece.</summary>
    /// <param name="loss">Computes a scalar from tensors that stay; it runs while a tape records.</param>
    public LossGraph(Func<Tensor> loss)
    {
        ArgumentNullException.ThrowIfNull(loss);
        _loss = () => new LossParts { { "loss", loss() } };
    }

    /// <summary>Steps that run as always before one is recorded: kernels are compiled in them, and memory settles.</summary>
    public static int WarmUpRuns => 3;

    /// <summary>Whether there is a graph to launch; false in the first steps, and on devices without graphs.</summary>
    public bool IsRecorded => _graph?.IsValid == true;

    /// <summary>Bytes of device memory that stay with the graph; 0 before it is recorded.</summary>
    public long HeldBytes => _graph?.HeldBytes ?? 0;

    /// <summary>Gives graph and memory back.</summary>
    public void Dispose()
    {
        Forget();
        _values?.Dispose();
        _values = null;
    }

    /// <summary>Puts loss and gradients of what the tensors hold now onto the device; gradients from before were cleared.</summary>
    /// <param name="parameters">What is trained; the same list each time.</param>
    /// <param name="isEager">Runs operation by operation in any case.</param>
    internal void Run(IReadOnlyList<Parameter> parameters, bool isEager)
    {
        Device device = DeviceOf(parameters);
        if (isEager || device.Backend is not GpuBackend { SupportsGraphs: true } gpu || _runs < WarmUpRuns)
        {
            RunEagerly(device);
        }
        else
        {
            if (!IsRecorded || !ReferenceEquals(_parameters, parameters) || _precision != gpu.Precision || !ClaimGradients()) Record(gpu, parameters);
            _graph!.Launch();
        }
    }

    /// <summary>Waits for the total and the parts of the last <see cref="Run"/>.</summary>
    internal (float Total, LossPartValue[] Parts) Read()
    {
        float[] values = _values!.ToArray();
        return (values[0], _parts.Named(values));
    }

    private static Device DeviceOf(IReadOnlyList<Parameter> parameters)
    {
        Device? device = null;
        foreach (Parameter parameter in parameters)
        {
            if (!parameter.IsInitialized) continue;
            device ??= parameter.Value.Device;
            if (!ReferenceEquals(device, parameter.Value.Device))
                throw new InvalidOperationException($"LossGraph: all of the model must be on one device, but '{parameter.Name}' is on {parameter.Value.Device} and others are on {device}.");
        }

        return device ?? throw new InvalidOperationException("LossGraph: the model has no values yet: call Initialize(device, seed) on it or load a checkpoint.");
    }

    private void RunEagerly(Device device)
    {
        ulong position = Generator.Current.Position;
        using Tape tape = Tape.Record();
        Tensor gathered = Backward(tape);
        if (Generator.Current.Position != position)
            throw new InvalidOperationException("LossGraph: the loss draws random numbers, such as dropout, and a graph would repeat those of the step that was recorded. Train such a loss with Trainer.TrainStep(Func<Tensor>).");
        if (_values is null || _values.Shape != gathered.Shape)
        {
            _values?.Dispose();
            _values = Tensor.CreatePersistent(gathered.Shape, device);
        }

        _values.CopyFrom(gathered);
        _runs++;
    }

    private Tensor Backward(Tape tape)
    {
        _parts = _loss();
        Tensor gathered = _parts.Gather();
        tape.Backward(_parts.Total);
        return gathered;
    }

    private void Record(GpuBackend gpu, IReadOnlyList<Parameter> parameters)
    {
        Forget();
        foreach (Parameter parameter in parameters) parameter.ClearGradient();
        _graph = gpu.Capture(() =>
        {
            using Tape tape = Tape.Record();
            _values!.CopyFrom(Backward(tape));
        });
        _recorded = [.. parameters.Where(parameter => parameter.IsInitialized).Select(Recorded.Of)];
        (_parameters, _precision) = (parameters, gpu.Precision);
    }

    /// <summary>Makes the gradients that a launch will write those of their parameters; false where values or gradients are not where they were, or not wanted any more.</summary>
    private bool ClaimGradients() => Array.TrueForAll(_recorded, recorded => recorded.TryClaim());

    private void Forget()
    {
        _graph?.Dispose();
        _graph = null;
        _recorded = [];
    }

    /// <summary>A parameter as it was when the graph was recorded.</summary>
    /// <param name="Parameter">The parameter.</param>
    /// <param name="Value">Where its values lay.</param>
    /// <param name="Gradient">Where its gradient was written; null when it had none.</param>
    /// <param name="IsTrainable">Whether a gradient was wanted.</param>
    private readonly record struct Recorded(Parameter Parameter, DeviceBuffer Value, DeviceBuffer Gradient, bool IsTrainable)
    {
        public static Recorded Of(Parameter parameter) => new(parameter, parameter.Value.Buffer, parameter.Gradient?.Buffer ?? default, parameter.IsTrainable);

        public bool TryClaim()
            => Parameter.IsInitialized && Parameter.Value.Buffer == Value && Parameter.IsTrainable == IsTrainable
                && (Gradient.IsNull || Parameter.Value.GradientTarget().Buffer == Gradient);
    }
}
