using MiniVlp.Kernels;

namespace MiniVlp.Tensors;

/// <summary>A contiguous, row-major array of int32 on a device: token ids, labels, positions, masks (1 = attend, 0 = ignore).</summary>
public sealed class IndexTensor : IDisposable
{
    private readonly bool _ownsMemory;
    private DeviceBuffer _buffer;

    /// <summary>A tensor of integers with undefined contents; integers have no gradient, so anyone may fill one.</summary>
    public IndexTensor(Shape shape, Device? device = null)
        : this(shape, device ?? Device.Cpu, TensorScope.Current)
    {
    }

    private IndexTensor(Shape shape, Device device, TensorScope? owner)
    {
        Shape = shape;
        Device = device;
        _buffer = device.Backend.Rent(shape.Length, ElementType.Int32);
        _ownsMemory = true;
        owner?.Own(this);
    }

    private IndexTensor(Shape shape, Device device, DeviceBuffer view)
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
    public DeviceBuffer Buffer => _buffer.IsNull || ViewOf is { _buffer.IsNull: true } ? throw new ObjectDisposedException(nameof(IndexTensor), $"The memory of this tensor {Shape} was given back.") : _buffer;

    /// <summary>A tensor with the given values.</summary>
    /// <exception cref="ShapeException">The number of values is not that of the shape.</exception>
    public static IndexTensor FromArray(ReadOnlySpan<int> values, Shape shape, Device? device = null)
    {
        if (values.Length != shape.Length) throw new ShapeException($"FromArray: {values.Length} values do not fill the shape {shape} of {shape.Length} elements.");
        IndexTensor tensor = new(shape, device);
        tensor.CopyFrom(values);
        return tensor;
    }

    /// <summary>A tensor of integers with undefined contents that no scope owns: for state that outlives every step.</summary>
    public static IndexTensor CreatePersistent(Shape shape, Device device) => new(shape, device, owner: null);

    /// <summary>Replaces the elements by host values, exactly as many; not for a view.</summary>
    /// <exception cref="ShapeException">The number of values is not that of the shape.</exception>
    public void CopyFrom(ReadOnlySpan<int> values)
    {
        if (values.Length != Shape.Length) throw new ShapeException($"CopyFrom: {values.Length} values for the {Shape.Length} elements of {Shape}.");
        Device.Backend.Upload(values, Buffer);
        KnownRange = ViewOf is null ? RangeOf(values) : null;
        if (ViewOf is { } source) source.KnownRange = null;
    }

    /// <summary>Replaces as many elements as <paramref name="source"/> has, from element <paramref name="start"/> on; not for a view.</summary>
    /// <param name="source">On the device of this tensor.</param>
    /// <param name="start">The first element that is replaced, in row-major order.</param>
    /// <exception cref="ShapeException">The elements do not fit in.</exception>
    /// <exception cref="ArgumentException">The tensors are on different devices.</exception>
    public void CopyFrom(IndexTensor source, int start)
    {
        if (start < 0 || start > Shape.Length - source.Shape.Length) throw new ShapeException($"CopyFrom: the {source.Shape.Length} elements of {source.Shape} do not fit into {Shape} from element {start} on.");
        if (!ReferenceEquals(Device, source.Device)) throw new ArgumentException($"CopyFrom: both tensors must be on one device, but they are on {Device} and {source.Device}.", nameof(source));
        Device.Backend.Copy(source.Buffer, Buffer.Slice(start, source.Shape.Length));
        KnownRange = null;
        if (ViewOf is { } viewed) viewed.KnownRange = null;
        GC.KeepAlive(source);
    }

    /// <summary>Rows start .. start + count - 1 of the leading axis; a view: [n, ...] to [count, ...].</summary>
    /// <exception cref="ShapeException">The rows do not lie inside, or there is no axis.</exception>
    public IndexTensor Slice(int start, int count)
    {
        if (Shape.Rank == 0 || start < 0 || count < 0 || start > Shape[0] - count) throw new ShapeException($"Slice: rows {start} .. {start} + {count} do not lie inside {Shape}.");
        int row = Shape.LengthAfter(0);
        return new IndexTensor(Shape.Create([count, .. Shape.ToArray()[1..]]), Device, Buffer.Slice(start * row, count * row)) { ViewOf = ViewOf ?? this, KnownRange = KnownRange };
    }

    /// <summary>0, 1, ..., <paramref name="count"/> - 1.</summary>
    public static IndexTensor Range(int count, Device? device = null)
    {
        int[] values = new int[count];
        for (int i = 0; i < count; i++) values[i] = i;
        return FromArray(values, [count], device);
    }

    /// <summary>The same elements under another shape; the memory stays with this tensor.</summary>
    /// <exception cref="ShapeException">The shapes differ in their number of elements.</exception>
    public IndexTensor Reshape(Shape shape)
    {
        if (shape.Length != Shape.Length) throw new ShapeException($"Reshape: {Shape} has {Shape.Length} elements, {shape} has {shape.Length}.");
        return new IndexTensor(shape, Device, Buffer) { ViewOf = ViewOf ?? this, KnownRange = KnownRange };
    }

    /// <summary>
    /// Bounds of the elements, known without asking the device: what came from the host has been looked at there, and an operation that makes
    /// indices says what they lie between. Null: unknown. A kernel that writes integers writes to a tensor of its own.
    /// </summary>
    internal IndexRange? KnownRange { get; set; }

    /// <summary>Copies the elements to the host.</summary>
    public int[] ToArray()
    {
        int[] values = new int[Shape.Length];
        Device.Backend.Download(Buffer, values);
        return values;
    }

    /// <summary>Gives the memory back.</summary>
    public void Dispose()
    {
        if (_ownsMemory && !_buffer.IsNull) Device.Backend.Return(_buffer);
        _buffer = default;
    }

    /// <summary>The tensor whose memory this one looks at; null for one with memory of its own.</summary>
    internal IndexTensor? ViewOf { get; private init; }

    /// <summary>Shape and device, without the elements.</summary>
    public override string ToString() => $"IndexTensor {Shape} on {Device}";

    private static IndexRange? RangeOf(ReadOnlySpan<int> values)
    {
        if (values.Length == 0) return null;
        int smallest = values[0], largest = values[0], largestNegative = int.MinValue;
        foreach (int value in values)
        {
            smallest = Math.Min(smallest, value);
            largest = Math.Max(largest, value);
            if (value < 0) largestNegative = Math.Max(largestNegative, value);
        }

        return new IndexRange(smallest, largest, largestNegative);
    }
}

/// <summary>Bounds of integers.</summary>
/// <param name="Smallest">The smallest.</param>
/// <param name="Largest">The largest.</param>
/// <param name="LargestNegative">The largest of those below 0, by which labels that are ignored are told from wrong ones; int.MinValue without any.</param>
internal readonly record struct IndexRange(int Smallest, int Largest, int LargestNegative = int.MinValue);
