using System.Runtime.CompilerServices;
using System.Text;

namespace MiniVlp.Tensors;

/// <summary>
/// The sizes of a tensor's axes, outermost first, at most six: <c>Shape s = [batch, tokens, width];</c>. An empty shape is a scalar.
/// Elements lie in row-major order without gaps.
/// </summary>
[CollectionBuilder(typeof(Shape), nameof(Create))]
public readonly struct Shape : IEquatable<Shape>
{
    /// <summary>The largest number of axes.</summary>
    public const int MaxRank = 6;

    private readonly Axes _axes;

    private Shape(ReadOnlySpan<int> sizes)
    {
        if (sizes.Length > MaxRank) throw new ShapeException($"A shape has at most {MaxRank} axes, not {sizes.Length}.");
        long length = 1;
        for (int i = 0; i < sizes.Length; i++)
        {
            if (sizes[i] < 0) throw new ShapeException($"Axis {i} of a shape has the negative size {sizes[i]}.");
            _axes[i] = sizes[i];
            length *= sizes[i];
            if (length > int.MaxValue) throw new ShapeException($"A tensor has at most {int.MaxValue} elements; [{string.Join(", ", sizes.ToArray())}] has more.");
        }

        Rank = sizes.Length;
        Length = (int)length;
    }

    /// <summary>Number of axes.</summary>
    public int Rank { get; }

    /// <summary>Number of elements: the product of the sizes, 1 for a scalar.</summary>
    public int Length { get => Rank == 0 ? 1 : field; }

    /// <summary>Size of an axis; negative counts from the end, so <c>shape[-1]</c> is the last.</summary>
    /// <exception cref="ShapeException">There is no such axis.</exception>
    public int this[int axis] => _axes[Axis(axis)];

    /// <summary>Makes a shape of the given sizes.</summary>
    /// <exception cref="ShapeException">More than six axes, a negative size, or more than 2³¹-1 elements.</exception>
    public static Shape Create(ReadOnlySpan<int> sizes) => new(sizes);

    /// <summary>Equal when rank and all sizes are.</summary>
    public static bool operator ==(Shape left, Shape right) => left.Equals(right);

    /// <summary>The opposite of ==.</summary>
    public static bool operator !=(Shape left, Shape right) => !left.Equals(right);

    /// <summary>The axis as an index from the front: -1 becomes <see cref="Rank"/> - 1.</summary>
    /// <exception cref="ShapeException">There is no such axis.</exception>
    public int Axis(int axis)
    {
        int fromFront = axis < 0 ? axis + Rank : axis;
        if ((uint)fromFront >= (uint)Rank) throw new ShapeException($"Axis {axis} does not exist in the shape {this}.");
        return fromFront;
    }

    /// <summary>Product of the sizes of the axes in front of <paramref name="axis"/>.</summary>
    public int LengthBefore(int axis)
    {
        int length = 1;
        for (int i = 0; i < Axis(axis); i++) length *= _axes[i];
        return length;
    }

    /// <summary>Product of the sizes of the axes behind <paramref name="axis"/>.</summary>
    public int LengthAfter(int axis)
    {
        int length = 1;
        for (int i = Axis(axis) + 1; i < Rank; i++) length *= _axes[i];
        return length;
    }

    /// <summary>The same shape with one size changed.</summary>
    public Shape With(int axis, int size)
    {
        Span<int> sizes = stackalloc int[MaxRank];
        CopyTo(sizes);
        sizes[Axis(axis)] = size;
        return new Shape(sizes[..Rank]);
    }

    /// <summary>The same shape without one axis.</summary>
    public Shape Without(int axis)
    {
        int removed = Axis(axis), n = 0;
        Span<int> sizes = stackalloc int[MaxRank];
        for (int i = 0; i < Rank; i++)
            if (i != removed) sizes[n++] = _axes[i];
        return new Shape(sizes[..n]);
    }

    /// <summary>Copies the sizes; <paramref name="sizes"/> holds at least <see cref="Rank"/> elements.</summary>
    public void CopyTo(Span<int> sizes)
    {
        for (int i = 0; i < Rank; i++) sizes[i] = _axes[i];
    }

    /// <summary>The sizes as an array.</summary>
    public int[] ToArray()
    {
        int[] sizes = new int[Rank];
        CopyTo(sizes);
        return sizes;
    }

    /// <summary>Enumerates the sizes, outermost first.</summary>
    public IEnumerator<int> GetEnumerator() => ((IEnumerable<int>)ToArray()).GetEnumerator();

    /// <inheritdoc/>
    public bool Equals(Shape other)
    {
        if (Rank != other.Rank) return false;
        for (int i = 0; i < Rank; i++)
            if (_axes[i] != other._axes[i]) return false;
        return true;
    }

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is Shape other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Rank, Length, Rank > 0 ? _axes[0] : 0);

    /// <summary>For instance <c>[2, 197, 768]</c>.</summary>
    public override string ToString()
    {
        StringBuilder text = new("[");
        for (int i = 0; i < Rank; i++)
        {
            if (i > 0) text.Append(", ");
            text.Append(_axes[i]);
        }

        return text.Append(']').ToString();
    }

    [InlineArray(MaxRank)]
    private struct Axes
    {
        private int _first;
    }
}

/// <summary>Operands do not fit together; the message names them, states the rule and shows the shapes.</summary>
/// <param name="message">What was expected and what was found.</param>
public sealed class ShapeException(string message) : ArgumentException(message);
