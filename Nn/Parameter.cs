using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Nn;

/// <summary>
/// A tensor that training changes. It is declared with a name, a shape and an initializer, and has no memory until
/// <see cref="Module.Initialize"/> or a checkpoint gives it values.
/// </summary>
public sealed class Parameter
{
    private Tensor? _value;

    internal Parameter(string name, Shape shape, Initializer initializer)
    {
        Name = name;
        Shape = shape;
        Initializer = initializer;
    }

    /// <summary>Name inside its module, such as <c>weight</c>; the full name is the path of modules in front of it.</summary>
    public string Name { get; }

    /// <summary>Sizes of the axes.</summary>
    public Shape Shape { get; }

    /// <summary>How <see cref="Module.Initialize"/> fills it.</summary>
    public Initializer Initializer { get; }

    /// <summary>Whether training changes it; false freezes it, and no gradient is computed for it.</summary>
    public bool IsTrainable
    {
        get;
        set
        {
            field = value;
            if (_value is not null) _value.NeedsGradient = value;
        }
    } = true;

    /// <summary>Whether it has values.</summary>
    public bool IsInitialized => _value is not null || Packed is not null;

    /// <summary>The values.</summary>
    /// <exception cref="InvalidOperationException">It has none yet, or they were packed.</exception>
    public Tensor Value => _value ?? throw new InvalidOperationException(Packed is null
        ? $"The parameter '{Name}' {Shape} has no values yet: call Initialize(device, seed) on the model or load a checkpoint."
        : $"The parameter '{Name}' {Shape} was packed for inference and is only there to be multiplied by: load the model again to train or save it.");

    /// <summary>The values as the right operand of matrix products, once <see cref="Module.PackWeights"/> has rearranged them; else null.</summary>
    public PackedWeight? Packed { get; private set; }

    /// <summary>∂loss/∂value, or null when no backward pass has reached it since <see cref="ClearGradient"/>.</summary>
    public Tensor? Gradient => _value?.Gradient;

    /// <summary>The values, so that a parameter can stand where an operation takes a tensor.</summary>
    public static implicit operator Tensor(Parameter parameter) => parameter.Value;

    /// <summary>Forgets the gradient and keeps its memory.</summary>
    public void ClearGradient() => _value?.ClearGradient();

    /// <summary>Gives it values; their memory moves to <paramref name="device"/>.</summary>
    /// <param name="values">Row-major, as many as the shape has elements.</param>
    /// <param name="device">Where they are kept.</param>
    /// <exception cref="ShapeException">Too many or too few values.</exception>
    public void Assign(ReadOnlySpan<float> values, Device device)
    {
        if (values.Length != Shape.Length) throw new ShapeException($"Parameter '{Name}': {values.Length} values for the shape {Shape}.");
        if (_value is not null && ReferenceEquals(_value.Device, device))
        {
            _value.CopyFrom(values);
            return;
        }

        Release();
        _value = Tensor.CreatePersistent(values, Shape, device);
        _value.NeedsGradient = IsTrainable;
    }

    /// <summary>Gives the memory back.</summary>
    internal void Release()
    {
        _value?.Dispose();
        _value = null;
        Packed?.Dispose();
        Packed = null;
    }

    /// <summary>Rearranges the values, seen as a matrix of as many rows as the first axis has, for products, and gives up the values as they were.</summary>
    internal void Pack(WeightFormat format)
    {
        if (Packed is not null) throw new InvalidOperationException($"The parameter '{Name}' {Shape} is packed already.");
        Tensor value = Value;
        Packed = value.Device.Backend.PackWeight(value.Buffer, Shape[0], Shape.Length / Shape[0], format);
        value.Dispose();
        _value = null;
    }
}
