using System.Runtime.CompilerServices;
using MiniVlp.Kernels;

namespace MiniVlp.Tensors;

/// <summary>
/// A contiguous, row-major array of float32 on a device. Operations are extension methods in MiniVlp.Autograd.
/// Memory belongs to the <see cref="TensorScope"/> that was open at creation; without one, to whoever disposes it, or the garbage collector.
/// </summary>
public sealed class Tensor : IDisposable
{
    private readonly bool _ownsMemory;
    private DeviceBuffer _buffer;
    private DeviceBuffer _gradient;
    private Tensor? _gradientView;
    private bool _gradientIsWritten;

    internal Tensor(Shape shape, Device device, TensorScope? owner)
    {
        Shape = shape;
        Device = device;
        _buffer = device.Backend.Rent(shape.Length);
        _ownsMemory = true;
        owner?.Own(this);
    }

    private Tensor(Shape shape, Device device, DeviceBuffer view)
    {
        Shape = shape;
        Device = device;
        _buffer = view;
    }

    /// <summary>Sizes of the axes.</summary>
    public Shape Shape { get; }

    /// <summary>Where the elements are.</summary>
    public Device Device { get; }

    /// <summary>The elements, for kernels.</summary>
    /// <exception cref="ObjectDisposedException">The memory was given back.</exception>
    public DeviceBuffer Buffer
    {
        get
        {
            if (IsReleased) ThrowReleased();
            return _buffer;
        }
    }

    /// <summary>
    /// Whether a backward pass computes the gradient of this tensor. Set it on an input whose gradient is wanted; results of operations
    /// have it when one of their operands does.
    /// </summary>
    public bool NeedsGradient { get; set; }

    /// <summary>
    /// Whether the memory was given back, by <see cref="Dispose"/>, by the scope, or by a backward pass that had used it; a view has none any
    /// more when the tensor that it looks at has not.
    /// </summary>
    public bool IsReleased => _buffer.IsNull || ViewOf is { IsReleased: true };

    /// <summary>∂loss/∂this after a backward pass, with the shape of this tensor; null before, or when it did not take part.</summary>
    public Tensor? Gradient
    {
        get
        {
            if (!_gradientIsWritten) return null;
            if (_gradientView is null || _gradientView._buffer != _gradient) _gradientView = new Tensor(Shape, Device, _gradient);
            return _gradientView;
        }
    }

    /// <summary>Whether a gradient is there.</summary>
    public bool HasGradient => _gradientIsWritten;

    /// <summary>A tensor with the given values.</summary>
    /// <param name="values">Row-major, as many as the shape has elements.</param>
    /// <param name="shape">Sizes of the axes.</param>
    /// <param name="device">Where to put it; the CPU when null.</param>
    /// <exception cref="ShapeException">The number of values is not that of the shape.</exception>
    public static Tensor FromArray(ReadOnlySpan<float> values, Shape shape, Device? device = null)
    {
        if (values.Length != shape.Length) throw new ShapeException($"FromArray: {values.Length} values do not fill the shape {shape} of {shape.Length} elements.");
        Tensor tensor = new(shape, device ?? Device.Cpu, TensorScope.Current);
        tensor.Device.Backend.Upload(values, tensor._buffer);
        return tensor;
    }

    /// <summary>A tensor of one element without axes.</summary>
    public static Tensor FromScalar(float value, Device? device = null) => Full([], value, device);

    /// <summary>A tensor of zeros.</summary>
    public static Tensor Zeros(Shape shape, Device? device = null) => Full(shape, 0f, device);

    /// <summary>A tensor with all elements equal to <paramref name="value"/>.</summary>
    public static Tensor Full(Shape shape, float value, Device? device = null)
    {
        Tensor tensor = new(shape, device ?? Device.Cpu, TensorScope.Current);
        tensor.Device.Backend.Fill(tensor._buffer, value);
        return tensor;
    }

    /// <summary>A tensor of zeros that no scope owns: for parameters and optimizer state, which outlive every step.</summary>
    public static Tensor CreatePersistent(Shape shape, Device device)
    {
        Tensor tensor = new(shape, device, owner: null);
        device.Backend.Fill(tensor._buffer, 0f);
        return tensor;
    }

    /// <summary>A tensor with the given values that no scope owns.</summary>
    /// <param name="values">Row-major, as many as the shape has elements.</param>
    /// <param name="shape">Sizes of the axes.</param>
    /// <param name="device">Where to put it.</param>
    /// <exception cref="ShapeException">The number of values is not that of the shape.</exception>
    public static Tensor CreatePersistent(ReadOnlySpan<float> values, Shape shape, Device device)
    {
        if (values.Length != shape.Length) throw new ShapeException($"CreatePersistent: {values.Length} values do not fill the shape {shape} of {shape.Length} elements.");
        Tensor tensor = new(shape, device, owner: null);
        device.Backend.Upload(values, tensor._buffer);
        return tensor;
    }

    /// <summary>Copies the elements to the host.</summary>
    public float[] ToArray()
    {
        float[] values = new float[Shape.Length];
        CopyTo(values);
        return values;
    }

    /// <summary>Copies the elements to the host; <paramref name="destination"/> is exactly as long.</summary>
    public void CopyTo(Span<float> destination)
    {
        if (destination.Length != Shape.Length) throw new ShapeException($"CopyTo: {destination.Length} places for the {Shape.Length} elements of {Shape}.");
        Device.Backend.Download(Buffer, destination);
    }

    /// <summary>Replaces the elements by host values, exactly as many.</summary>
    public void CopyFrom(ReadOnlySpan<float> values)
    {
        if (values.Length != Shape.Length) throw new ShapeException($"CopyFrom: {values.Length} values for the {Shape.Length} elements of {Shape}.");
        Device.Backend.Upload(values, Buffer);
    }

    /// <summary>Copies the elements of another tensor of the same shape and device, outside of any gradient.</summary>
    public void CopyFrom(Tensor source)
    {
        RequireSameShape("CopyFrom", this, source);
        if (!ReferenceEquals(Device, source.Device)) throw new ArgumentException($"CopyFrom: both tensors must be on one device, but they are on {Device} and {source.Device}.", nameof(source));
        Device.Backend.Copy(source.Buffer, Buffer);
    }

    /// <summary>The value of a tensor of one element.</summary>
    /// <exception cref="ShapeException">There is more than one element.</exception>
    public float Item()
    {
        if (Shape.Length != 1) throw new ShapeException($"Item: the tensor must have one element, its shape is {Shape}.");
        Span<float> value = stackalloc float[1];
        Device.Backend.Download(Buffer, value);
        return value[0];
    }

    /// <summary>
    /// A view of the same elements that takes part in no gradient of this one; the memory stays with this tensor.
    /// </summary>
    public Tensor Detach() => View(Shape, 0);

    /// <summary>
    /// Where a backward kernel adds its part of the gradient of this tensor; "not needed" when <see cref="NeedsGradient"/> is false.
    /// The first call rents the memory and asks for it to be overwritten, every later call asks for accumulation: so a target
    /// that was asked for must be written.
    /// </summary>
    public GradientTarget GradientTarget()
    {
        if (!NeedsGradient) return default;
        if (_gradient.IsNull) _gradient = Device.Backend.Rent(Shape.Length);
        GradientTarget target = new(_gradient, _gradientIsWritten);
        _gradientIsWritten = true;
        return target;
    }

    /// <summary>Forgets the gradient but keeps its memory for the next backward pass.</summary>
    public void ClearGradient() => _gradientIsWritten = false;

    /// <summary>Gives the memory of the elements and of the gradient back.</summary>
    public void Dispose()
    {
        if (_ownsMemory && !_buffer.IsNull) Device.Backend.Return(_buffer);
        _buffer = default;
        ReleaseGradient();
    }

    /// <summary>Shape and device, without the elements.</summary>
    public override string ToString() => $"Tensor {Shape} on {Device}";

    /// <summary>Throws when two shapes differ, naming both operands.</summary>
    /// <exception cref="ShapeException">The shapes differ.</exception>
    public static void RequireSameShape(
        string operation,
        Tensor left,
        Tensor right,
        [CallerArgumentExpression(nameof(left))] string? leftName = null,
        [CallerArgumentExpression(nameof(right))] string? rightName = null)
    {
        if (left.Shape == right.Shape) return;
        string hint = left.Shape.Length == right.Shape.Length ? " They have equally many elements: is a Reshape missing?" : string.Empty;
        throw new ShapeException($"{operation}: the shapes must be equal, but {leftName} is {left.Shape} and {rightName} is {right.Shape}.{hint}");
    }

    /// <summary>The tensor whose memory this one looks at; null for one with memory of its own.</summary>
    internal Tensor? ViewOf { get; private init; }

    /// <summary>A view of part of the elements, without gradient connection.</summary>
    internal Tensor View(Shape shape, int start)
    {
        Tensor view = new(shape, Device, Buffer.Slice(start, shape.Length)) { ViewOf = ViewOf ?? this };
        TensorScope.Current?.Own(view);
        return view;
    }

    /// <summary>
    /// Takes over a gradient buffer that nobody else uses any more instead of copying it; false when a gradient is there already.
    /// </summary>
    internal bool TryAdoptGradient(Tensor from)
    {
        if (from.KeepsGradient || _gradientIsWritten || !from._gradientIsWritten || !_gradient.IsNull || from._gradient.Length != Shape.Length) return false;
        _gradient = from._gradient;
        _gradientIsWritten = true;
        from._gradient = default;
        from._gradientIsWritten = false;
        return true;
    }

    /// <summary>Hands the gradient, or the lack of one, to a tensor of the same shape that has none.</summary>
    internal void MoveGradientTo(Tensor destination)
    {
        destination._gradient = _gradient;
        destination._gradientIsWritten = _gradientIsWritten;
        _gradient = default;
        _gradientIsWritten = false;
    }

    internal DeviceBuffer GradientBuffer => _gradient;

    /// <summary>Whether the gradient stays with this tensor after its operation ran backward: the loss, and what a tape retains.</summary>
    internal bool KeepsGradient { get; set; }

    internal void ReleaseGradient()
    {
        if (!_gradient.IsNull) Device.Backend.Return(_gradient);
        if (_gradientView is not null) _gradientView._buffer = default;
        _gradientView = null;
        _gradient = default;
        _gradientIsWritten = false;
    }

    /// <summary>Gives back the elements but keeps the gradient.</summary>
    internal void ReleaseElements()
    {
        if (_ownsMemory && !_buffer.IsNull) Device.Backend.Return(_buffer);
        _buffer = default;
    }

    private void ThrowReleased() => throw new ObjectDisposedException(
        nameof(Tensor),
        $"The memory of this tensor {Shape} was given back. Read intermediate results before Backward, or Retain them on the tape.");
}

/// <summary>
/// Something that may create a tensor with undefined contents. Only a differentiable operation may (the one subclass is
/// MiniVlp.Autograd.Function, whose Backward is abstract), so that a fused operation without a gradient does not compile.
/// </summary>
public abstract class TensorProducer
{
    private protected TensorProducer()
    {
    }

    /// <summary>A tensor with undefined contents, owned by the current scope.</summary>
    protected static Tensor Allocate(Shape shape, Device device) => new(shape, device, TensorScope.Current);

    /// <summary>A tensor over elements of another one, starting <paramref name="start"/> elements into it; it owns no memory.</summary>
    protected static Tensor AllocateView(Tensor source, Shape shape, int start = 0) => source.View(shape, start);
}
