using System.Text.Json.Nodes;
using MiniVlp.Kernels;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;

namespace MiniVlp.Nn.Pretraining;

/// <summary>
/// Keeps a second model as the exponential moving average of a trained one: copy = m · copy + (1 - m) · online, as the momentum encoders of MoCo
/// (arXiv:1911.05722) and ALBEF (arXiv:2107.07651), the teacher of DINO (arXiv:2104.14294), and averaged weights for evaluation. The copy is
/// frozen; run it under <c>Tape.NoGradient()</c>. In MoCo and ALBEF the update comes before the copy's forward pass of the same step.
/// </summary>
public sealed class MomentumEncoder : ITrainingState
{
    private readonly List<(string Name, Parameter Online, Parameter Copy)> _pairs = [];
    private readonly MomentumSchedule _schedule;

    /// <summary>Makes <paramref name="copy"/> equal to <paramref name="online"/>, on its device, and freezes it.</summary>
    /// <param name="online">The model that is trained; its parameters have values.</param>
    /// <param name="copy">A model of the same structure.</param>
    /// <param name="schedule">m of each update.</param>
    /// <exception cref="ArgumentException">The models have different parameters.</exception>
    public MomentumEncoder(Module online, Module copy, MomentumSchedule schedule)
        : this(online.NamedParameters(), copy.NamedParameters(), schedule)
    {
    }

    /// <summary>Pairs parameters in order, makes the copies equal and freezes them: for an average over a part of a model.</summary>
    /// <param name="online">The parameters that are trained.</param>
    /// <param name="copy">As many, of the same names and shapes.</param>
    /// <param name="schedule">m of each update.</param>
    /// <exception cref="ArgumentException">Names or shapes differ.</exception>
    public MomentumEncoder(IEnumerable<(string Name, Parameter Parameter)> online, IEnumerable<(string Name, Parameter Parameter)> copy, MomentumSchedule schedule)
    {
        _schedule = schedule;
        (string Name, Parameter Parameter)[] sources = [.. online], targets = [.. copy];
        if (sources.Length != targets.Length) throw new ArgumentException($"MomentumEncoder: the models must have the same parameters, but they have {sources.Length} and {targets.Length}.", nameof(copy));
        HashSet<Parameter> trained = [.. sources.Select(source => source.Parameter)], seen = [];
        for (int i = 0; i < sources.Length; i++)
        {
            (string name, Parameter source) = sources[i];
            (string targetName, Parameter target) = targets[i];
            if (!string.Equals(name, targetName, StringComparison.Ordinal) || source.Shape != target.Shape)
                throw new ArgumentException($"MomentumEncoder: the models must have the same parameters, but number {i} is '{name}' {source.Shape} and '{targetName}' {target.Shape}.", nameof(copy));
            if (trained.Contains(target)) throw new ArgumentException($"MomentumEncoder: '{name}' is shared by both models; the copy must have parameters of its own.", nameof(copy));
            if (seen.Add(target)) _pairs.Add((name, source, target));
        }

        foreach ((_, Parameter source, Parameter target) in _pairs)
        {
            target.Assign(source.Value.ToArray(), source.Value.Device);
            target.IsTrainable = false;
        }
    }

    /// <summary>Updates so far.</summary>
    public int UpdateCount { get; private set; }

    /// <inheritdoc/>
    public IEnumerable<(string Name, Tensor Value)> Tensors => _pairs.Select(pair => (pair.Name, pair.Copy.Value));

    /// <summary>The next update, with the schedule's m at <see cref="UpdateCount"/>; the count is part of the saved state.</summary>
    public void Update() => Update(UpdateCount);

    /// <summary>copy = m · copy + (1 - m) · online for all parameters.</summary>
    /// <param name="step">Where the schedule stands; the first update is 0.</param>
    /// <exception cref="InvalidOperationException">A parameter was moved to another device than its copy.</exception>
    public void Update(int step)
    {
        double momentum = _schedule.At(step);
        foreach ((string name, Parameter online, Parameter copy) in _pairs)
        {
            if (!ReferenceEquals(online.Value.Device, copy.Value.Device))
                throw new InvalidOperationException($"MomentumEncoder: '{name}' is on {online.Value.Device}, its copy on {copy.Value.Device}; make the momentum encoder after the model was moved.");
        }

        foreach (IGrouping<IBackend, LerpSegment> pairs in _pairs.GroupBy(pair => pair.Copy.Value.Device.Backend, pair => new LerpSegment(pair.Copy.Value.Buffer, pair.Online.Value.Buffer)))
            pairs.Key.Lerp([.. pairs], momentum);
        UpdateCount++;
    }

    /// <inheritdoc/>
    public JsonObject SaveCounters() => new() { ["updates"] = UpdateCount };

    /// <inheritdoc/>
    public void RestoreCounters(JsonObject? counters) => UpdateCount = counters?["updates"] is JsonValue value && value.TryGetValue(out int count) && count >= 0
        ? count
        : throw new InvalidDataException($"MomentumEncoder: 'updates' must be a number of at least 0, found {counters?["updates"]?.ToJsonString() ?? "nothing"}.");
}
