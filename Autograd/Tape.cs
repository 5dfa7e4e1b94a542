using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Autograd;

/// <summary>
/// Records the operations of its thread while it is open and runs them backwards. It owns every tensor created meanwhile: a step is
/// <code>
/// using Tape tape = Tape.Record();
/// Tensor loss = model.Loss(images, tokens);
/// tape.Backward(loss);
/// </code>
/// and nothing in it is disposed by hand. Backward returns the memory of each intermediate result as soon as it was used for the last
/// time. A tape belongs to one thread and does not cross an await.
/// </summary>
public sealed class Tape : TensorScope
{
    [ThreadStatic]
    private static Tape? _recording;

    [ThreadStatic]
    private static Stack<List<Function>>? _spareLists;

    private readonly List<Function> _functions = _spareLists?.TryPop(out List<Function>? spare) == true ? spare : [];
    private HashSet<Tensor>? _retained;
    private readonly Tape? _outer;
    private bool _ranBackward;
    private bool _isClosed;

    private Tape()
    {
        _outer = _recording;
        _recording = this;
    }

    /// <summary>Whether operations on this thread are being recorded.</summary>
    public static bool IsRecording => _recording is not null;

    /// <summary>Opens a tape; it records until Backward or Dispose.</summary>
    public static Tape Record() => new();

    /// <summary>Pauses recording until the result is disposed, for a momentum encoder or a metric in the middle of a step.</summary>
    public static IDisposable NoGradient() => new Pause();

    /// <summary>
    /// Puts an operation on the tape and returns its output. The output needs a gradient when an operand does; otherwise, or when no tape
    /// is open, nothing is recorded and what the operation saved for its backward pass goes back at once.
    /// </summary>
    /// <param name="function">The operation, already computed.</param>
    /// <param name="operands">The tensors it read that may need a gradient; null for one that is absent.</param>
    public static Tensor Add(Function function, params ReadOnlySpan<Tensor?> operands)
    {
        AnomalyDetection.Current?.Computed(function, operands);
        if (_recording is { } tape)
        {
            foreach (Tensor? operand in operands)
            {
                if (operand is not { NeedsGradient: true }) continue;
                function.Output.NeedsGradient = true;
                tape._functions.Add(function);
                return function.Output;
            }
        }

        function.Release();
        return function.Output;
    }

    /// <summary>Records an operation whose parameters are hidden in a function, so that its operands do not tell whether it needs a gradient.</summary>
    internal static Tensor AddAlways(Function function)
    {
        function.Output.NeedsGradient = true;
        _recording!._functions.Add(function);
        return function.Output;
    }

    /// <summary>Keeps the elements and the gradient of an intermediate result through Backward, until the tape is disposed.</summary>
    /// <returns>The tensor itself.</returns>
    public Tensor Retain(Tensor tensor)
    {
        (_retained ??= []).Add(tensor);
        if (tensor.ViewOf is { } source) _retained.Add(source);
        tensor.KeepsGradient = true;
        return tensor;
    }

    /// <summary>
    /// Computes ∂loss/∂t for every tensor t that needs a gradient and took part, adding to gradients that are there already.
    /// Recording ends; intermediate results lose their memory as the pass goes by, <paramref name="loss"/> itself stays.
    /// </summary>
    /// <param name="loss">A tensor computed on this tape; when it has more than one element, their sum is the loss.</param>
    /// <param name="seed">∂objective/∂loss, shaped as the loss; ones when null.</param>
    /// <exception cref="InvalidOperationException">The pass ran before, or no operand of the loss needs a gradient.</exception>
    /// <exception cref="ObjectDisposedException">The tape was disposed.</exception>
    /// <exception cref="ShapeException">The seed is shaped otherwise.</exception>
    public void Backward(Tensor loss, Tensor? seed = null)
    {
        if (seed is not null) Tensor.RequireSameShape("Backward", loss, seed);
        Backward(loss, seed?.Buffer ?? default);
    }

    /// <summary>The same with the seed as a buffer; a null buffer stands for ones.</summary>
    internal void Backward(Tensor loss, DeviceBuffer seed)
    {
        ObjectDisposedException.ThrowIf(_isClosed, this);
        if (_ranBackward) throw new InvalidOperationException("Backward runs once per tape: its intermediate results are gone. Record a new one.");
        if (!loss.NeedsGradient) throw new InvalidOperationException("Backward: the loss does not depend on any tensor with NeedsGradient that was used while this tape was recording.");
        _ranBackward = true;
        loss.KeepsGradient = true;
        Tape? recording = _recording;
        _recording = null;
        try
        {
            AnomalyDetection? anomalies = AnomalyDetection.Current;
            GradientTarget target = loss.GradientTarget();
            IBackend backend = loss.Device.Backend;
            if (!seed.IsNull) backend.PassGradient(seed, target);
            else if (target.Accumulate) backend.Affine(target.Buffer, 1f, 1f, target with { Accumulate = false });
            else backend.Fill(target.Buffer, 1f);

            for (int i = _functions.Count - 1; i >= 0; i--)
            {
                Function function = _functions[i];
                Tensor output = function.Output;
                if (output.HasGradient)
                {
                    function.Backward(output.GradientBuffer);
                    anomalies?.Differentiated(function);
                }

                function.Release();
                if (ReferenceEquals(output, loss) || _retained?.Contains(output) == true) continue;
                output.ReleaseGradient();
                if (!ReferenceEquals(output, loss.ViewOf)) output.ReleaseElements();
            }
        }
        finally
        {
            _functions.Clear();
            _recording = recording;
            if (ReferenceEquals(_recording, this)) _recording = _outer;
        }
    }

    /// <inheritdoc/>
    protected override void Closing()
    {
        _isClosed = true;
        foreach (Function function in _functions) function.Release();
        _functions.Clear();
        (_spareLists ??= new()).Push(_functions);
        if (ReferenceEquals(_recording, this)) _recording = _outer;
    }

    private sealed class Pause : IDisposable
    {
        private readonly Tape? _paused = _recording;

        public Pause() => _recording = null;

        public void Dispose() => _recording = _paused;
    }
}
