using MiniVlp.Kernels;

namespace MiniVlp.Nn.Optimizers;

/// <summary>
/// Keeps a second model as the exponential moving average of a trained one: copy = m · copy + (1 - m) · online, as the momentum encoders of MoCo
/// (arXiv:1911.05722) and ALBEF (arXiv:2107.07651) and as averaged weights for evaluation. The copy is frozen.
/// </summary>
public sealed class MomentumCopy
{
    private readonly List<(Parameter Online, Parameter Copy)> _pairs = [];

    /// <summary>Makes <paramref name="copy"/> equal to <paramref name="online"/> and freezes it.</summary>
    /// <param name="online">The model that is trained; its parameters have values.</param>
    /// <param name="copy">A model of the same structure.</param>
    /// <exception cref="ArgumentException">The models have different parameters.</exception>
    public MomentumCopy(Module online, Module copy)
        : this(online.NamedParameters(), copy.NamedParameters())
    {
    }

    /// <summary>Pairs parameters in order, makes the copies equal and freezes them.</summary>
    /// <param name="online">The parameters that are trained.</param>
    /// <param name="copy">As many, of the same names and shapes.</param>
    /// <exception cref="ArgumentException">Names or shapes differ.</exception>
    public MomentumCopy(IEnumerable<(string Name, Parameter Parameter)> online, IEnumerable<(string Name, Parameter Parameter)> copy)
    {
        (string Name, Parameter Parameter)[] sources = [.. online], targets = [.. copy];
        if (sources.Length != targets.Length) throw new ArgumentException($"MomentumCopy: the models must have the same parameters, but they have {sources.Length} and {targets.Length}.", nameof(copy));
        HashSet<Parameter> seen = [];
        for (int i = 0; i < sources.Length; i++)
        {
            (string name, Parameter source) = sources[i];
            (string targetName, Parameter target) = targets[i];
            if (!string.Equals(name, targetName, StringComparison.Ordinal) || source.Shape != target.Shape)
                throw new ArgumentException($"MomentumCopy: the models must have the same parameters, but number {i} is '{name}' {source.Shape} and '{targetName}' {target.Shape}.", nameof(copy));
            if (ReferenceEquals(source, target)) throw new ArgumentException($"MomentumCopy: '{name}' is shared by both models; the copy must have parameters of its own.", nameof(copy));
            if (seen.Add(target)) _pairs.Add((source, target));
        }

        foreach ((Parameter source, Parameter target) in _pairs)
        {
            target.Assign(source.Value.ToArray(), source.Value.Device);
            target.IsTrainable = false;
        }
    }

    /// <summary>copy = momentum · copy + (1 - momentum) · online, for all parameters.</summary>
    /// <param name="momentum">m in [0, 1]: 0.995 in ALBEF, 0.999 in MoCo.</param>
    public void Update(double momentum)
    {
        if (!(momentum is >= 0 and <= 1)) throw new ArgumentOutOfRangeException(nameof(momentum), momentum, "The momentum must lie in [0, 1].");
        foreach (IGrouping<IBackend, LerpSegment> pairs in _pairs.GroupBy(pair => pair.Copy.Value.Device.Backend, pair => new LerpSegment(pair.Copy.Value.Buffer, pair.Online.Value.Buffer)))
            pairs.Key.Lerp([.. pairs], momentum);
    }
}
