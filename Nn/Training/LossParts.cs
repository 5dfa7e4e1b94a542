using System.Collections;
using MiniVlp.Autograd;
using MiniVlp.Tensors;

namespace MiniVlp.Nn.Training;

/// <summary>One term of a loss.</summary>
/// <param name="Name">Short and lower-case, as it stands in logs: <c>itc</c>, <c>itm</c>, <c>mlm</c>, <c>lm</c>, <c>wpa</c>, <c>pixels</c>.</param>
/// <param name="Value">The term before its weight, a scalar.</param>
/// <param name="Weight">Its factor in the total.</param>
public readonly record struct LossPart(string Name, Tensor Value, float Weight);

/// <summary>What a term of the loss came to in one step.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Value">Before its weight.</param>
public readonly record struct LossPartValue(string Name, float Value);

/// <summary>A loss in named, weighted parts; the total is Σ weight · value. <c>new LossParts { { "itc", itc }, { "wpa", wpa, 0.1f } }</c>.</summary>
public sealed class LossParts : IEnumerable<LossPart>
{
    private readonly List<LossPart> _parts = [];
    private Tensor? _total;

    /// <summary>Number of parts.</summary>
    public int Count => _parts.Count;

    /// <summary>Σ weight · value, a scalar; asked for while the tape records, and the same tensor each time.</summary>
    /// <exception cref="InvalidOperationException">There is no part.</exception>
    public Tensor Total
    {
        get
        {
            if (_parts.Count == 0) throw new InvalidOperationException("LossParts: a loss needs at least one part.");
            if (_total is not null) return _total;
            foreach (LossPart part in _parts)
            {
                Tensor value = part.Value.Shape.Rank == 0 ? part.Value : part.Value.Reshape([]);
                Tensor weighted = part.Weight == 1f ? value : value * part.Weight;
                _total = _total is null ? weighted : _total + weighted;
            }

            return _total!;
        }
    }

    /// <summary>Adds a part.</summary>
    /// <param name="name">Its name, not used yet.</param>
    /// <param name="value">One element.</param>
    /// <param name="weight">Its factor in the total; with 0 it is only shown.</param>
    /// <exception cref="ArgumentException">The name is empty or taken.</exception>
    /// <exception cref="ShapeException">The value has more than one element.</exception>
    /// <exception cref="InvalidOperationException">The total was asked for already.</exception>
    public void Add(string name, Tensor value, float weight = 1f)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(value);
        if (value.Shape.Length != 1) throw new ShapeException($"LossParts: the part '{name}' must have one element, its shape is {value.Shape}.");
        if (_total is not null) throw new InvalidOperationException($"LossParts: the part '{name}' comes too late, the total was asked for already.");
        if (_parts.Exists(part => string.Equals(part.Name, name, StringComparison.Ordinal))) throw new ArgumentException($"LossParts: there is a part '{name}' already.", nameof(name));
        _parts.Add(new LossPart(name, value, weight));
    }

    /// <inheritdoc/>
    public IEnumerator<LossPart> GetEnumerator() => _parts.GetEnumerator();

    /// <inheritdoc/>
    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    /// <summary>The total, then the parts, as one tensor that is not on the tape: [1 + parts]. One download instead of many, and it outlives the backward pass.</summary>
    internal Tensor Gather()
    {
        Tensor total = Total;
        using (Tape.NoGradient())
            return Tensor.Concatenate(0, [total.Reshape([1]), .. _parts.Select(part => part.Value.Reshape([1]))]);
    }

    /// <summary>The parts with the values that <see cref="Gather"/> held.</summary>
    internal LossPartValue[] Named(ReadOnlySpan<float> gathered)
    {
        LossPartValue[] named = new LossPartValue[_parts.Count];
        for (int i = 0; i < named.Length; i++) named[i] = new LossPartValue(_parts[i].Name, gathered[i + 1]);
        return named;
    }
}
