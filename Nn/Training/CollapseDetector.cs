using System.Globalization;
using MiniVlp.Autograd;
using MiniVlp.Nn.Pretraining;
using MiniVlp.Tensors;

namespace MiniVlp.Nn.Training;

/// <summary>What can be wrong with a training whose numbers are all finite, or not even that.</summary>
public enum TrainingFault
{
    /// <summary>A part of the loss stays where a model is that looks at nothing.</summary>
    StuckAtChance,

    /// <summary>The features of a queue do not change.</summary>
    DeadQueue,

    /// <summary>All features of a queue are nearly the same.</summary>
    CollapsedFeatures,

    /// <summary>The temperature stays at one of its bounds.</summary>
    TemperatureAtBound,

    /// <summary>A number is NaN or infinite.</summary>
    NotFinite,
}

/// <summary>Something that a <see cref="CollapseDetector"/> has noticed.</summary>
/// <param name="Fault">The kind.</param>
/// <param name="Subject">Name of the part, queue or parameter.</param>
/// <param name="Step">When.</param>
/// <param name="Message">One sentence on what was seen and one on what usually causes it.</param>
public sealed record TrainingWarning(TrainingFault Fault, string Subject, int Step, string Message);

/// <summary>When a <see cref="CollapseDetector"/> takes something for a fault.</summary>
public sealed record CollapseDetectorOptions
{
    /// <summary>Steps at the start in which a loss may be at chance: all are, at first.</summary>
    public int GraceSteps { get; init; } = 300;

    /// <summary>Steps that are looked at together.</summary>
    public int Window { get; init; } = 100;

    /// <summary>A mean this close to a chance level, as a share of it, counts as being there.</summary>
    public float Tolerance { get; init; } = 0.01f;

    /// <summary>Features whose variance is below this share of their mean square are nearly the same.</summary>
    public float SmallestVariance { get; init; } = 0.01f;

    /// <summary>Steps between two looks at a queue, which take a pass over it.</summary>
    public int QueueInterval { get; init; } = 50;
}

/// <summary>
/// Watches a training for the ways in which pre-training fails in silence: a loss that stays at chance, a queue that nobody fills or that holds one
/// feature many times, a temperature at its bound. Each is told once, with its likely causes. It looks at what is logged anyway; only a look at a
/// queue, now and then, computes something.
/// </summary>
/// <param name="options">Thresholds; the defaults when null.</param>
public sealed class CollapseDetector(CollapseDetectorOptions? options = null)
{
    private readonly CollapseDetectorOptions _options = options ?? new();
    private readonly Dictionary<string, Window> _windows = new(StringComparer.Ordinal);
    private readonly Dictionary<string, float[]> _queueMeans = new(StringComparer.Ordinal);
    private readonly HashSet<(TrainingFault, string)> _told = [];
    private int _stepsAtBound;
    private bool _hasBeenInside;

    /// <summary>Looks at a step, at the temperature and, now and then, at the queues of an objective.</summary>
    /// <param name="step">What the step did.</param>
    /// <param name="objective">What was trained; its chance levels are asked for at each step, since they follow what a queue holds.</param>
    /// <param name="batchSize">Samples per step.</param>
    /// <param name="temperature">τ of its <see cref="PretrainingObjective.Temperature"/> after the step, as it was logged; null where there is none.</param>
    /// <returns>What was noticed for the first time.</returns>
    public IReadOnlyList<TrainingWarning> Observe(StepResult step, PretrainingObjective objective, int batchSize, float? temperature)
    {
        ArgumentNullException.ThrowIfNull(objective);
        List<TrainingWarning> warnings = [.. Observe(step, objective.ChanceLevels(batchSize))];
        if (temperature is { } value && objective.Temperature is { } learned) warnings.AddRange(ObserveTemperature(step.Step, learned, value));
        foreach ((string name, ITrainingState state) in objective.State)
            if (state is FeatureQueue queue) warnings.AddRange(ObserveQueue(step.Step, name, queue.Features, queue.Filled));
        return warnings;
    }

    /// <summary>Looks at the loss of a step.</summary>
    /// <param name="step">What the step did.</param>
    /// <param name="levels">Chance levels of the parts at this step, see <see cref="PretrainingObjective.ChanceLevels"/>.</param>
    /// <returns>What was noticed for the first time.</returns>
    public IReadOnlyList<TrainingWarning> Observe(StepResult step, IReadOnlyList<ChanceLevel> levels)
    {
        List<TrainingWarning> warnings = [];
        foreach (LossPartValue part in step.Parts)
        {
            if (!float.IsFinite(part.Value))
            {
                Tell(warnings, TrainingFault.NotFinite, part.Name, step.Step, string.Create(CultureInfo.InvariantCulture,
                    $"The part '{part.Name}' of the loss is {part.Value}. Likely causes: a division by zero or the logarithm of zero in it, or a learning rate too large."));
                continue;
            }

            if (!_windows.TryGetValue(part.Name, out Window? window)) _windows[part.Name] = window = new Window(_options.Window);
            window.Add(part.Value);
            if (step.Step <= _options.GraceSteps || !window.IsFull) continue;
            (double mean, double spread) = window.MeanAndSpread();

            // A loss on its way down passes the level, but is spread out then.
            ChanceLevel? level = levels.Where(level => string.Equals(level.Part, part.Name, StringComparison.Ordinal)).MinBy(level => Math.Abs(mean - level.Loss));
            if (level is null || Math.Abs(mean - level.Loss) > _options.Tolerance * level.Loss || spread > 5 * _options.Tolerance * level.Loss) continue;
            Tell(warnings, TrainingFault.StuckAtChance, part.Name, step.Step, string.Create(CultureInfo.InvariantCulture,
                $"The part '{part.Name}' of the loss has been at {mean:0.0000} for {_options.Window} steps, which is {level.Meaning} ({level.Loss:0.0000}). Likely causes, unless it only needs more steps: {level.Causes}."));
        }

        return warnings;
    }

    /// <summary>Looks at a learnt temperature. One that begins at a bound, as a trained CLIP's does, says nothing until it has left it: whoever resumes a training shows the earlier values first.</summary>
    /// <param name="step">Number of the step.</param>
    /// <param name="learned">The parameter and its bounds.</param>
    /// <param name="temperature">τ after the step, as it was logged.</param>
    /// <returns>What was noticed for the first time.</returns>
    public IReadOnlyList<TrainingWarning> ObserveTemperature(int step, LearnedTemperature learned, float temperature)
    {
        List<TrainingWarning> warnings = [];
        ArgumentNullException.ThrowIfNull(learned);
        float one = learned.ToTemperature(learned.Lowest), other = learned.ToTemperature(learned.Highest);
        bool isLow = temperature <= Math.Min(one, other), isHigh = temperature >= Math.Max(one, other);
        _hasBeenInside |= float.IsFinite(temperature) && !isLow && !isHigh;
        _stepsAtBound = _hasBeenInside && (isLow || isHigh) ? _stepsAtBound + 1 : 0;
        if (!float.IsFinite(temperature))
            Tell(warnings, TrainingFault.NotFinite, learned.Parameter.Name, step, $"The temperature is {temperature.ToString(CultureInfo.InvariantCulture)}. Likely cause: an update by gradients that were not finite.");
        if (_stepsAtBound < _options.Window) return warnings;
        string causes = isLow
            ? "pairs are told apart too easily (one sample several times in a batch, a leak between picture and text), or its learning rate is too large"
            : "features are not told apart (a collapsed encoder, wrong pairs), or its learning rate is too large";
        Tell(warnings, TrainingFault.TemperatureAtBound, learned.Parameter.Name, step, string.Create(CultureInfo.InvariantCulture,
            $"The temperature has been at its {(isLow ? "lower" : "upper")} bound, {temperature:G4}, for {_stepsAtBound} steps. Likely causes: {causes}."));
        return warnings;
    }

    /// <summary>
    /// Looks at the features of a queue, every <see cref="CollapseDetectorOptions.QueueInterval"/> steps and not in between: one pass over them, and
    /// one feature comes to the host.
    /// </summary>
    /// <param name="step">Number of the step.</param>
    /// <param name="name">Name of the queue.</param>
    /// <param name="features">[places, width].</param>
    /// <param name="filled">Places that have been written; a queue is looked at for collapse in these alone.</param>
    /// <returns>What was noticed for the first time.</returns>
    public IReadOnlyList<TrainingWarning> ObserveQueue(int step, string name, Tensor features, int filled)
    {
        List<TrainingWarning> warnings = [];
        if (step % _options.QueueInterval != 0) return warnings;
        float[] mean;
        float square;
        using (Tape.NoGradient())
        using (TensorScope scope = new())
        {
            Tensor written = filled == 0 ? features : features.Slice(0, filled);
            mean = written.Mean(0).ToArray();
            square = written.Square().Sum(1).Mean().Item();
        }

        double meanSquare = mean.Sum(value => (double)value * value);
        if (!float.IsFinite(square))
        {
            Tell(warnings, TrainingFault.NotFinite, name, step, $"The queue '{name}' holds features that are not finite. Likely cause: the momentum encoder was updated by weights that were not.");
            return warnings;
        }

        // The mean of other features is another one, down to the last bit, except when all are the same.
        bool isDead = _queueMeans.TryGetValue(name, out float[]? before) && before.AsSpan().SequenceEqual(mean);
        bool hasCollapsed = filled > 1 && square - meanSquare < _options.SmallestVariance * square;
        _queueMeans[name] = mean;
        if (isDead)
        {
            string cause = filled == 0
                ? "nothing was ever enqueued: AfterBackward is not called, or does not enqueue"
                : "nothing is enqueued any more, or always the same features: a momentum encoder that is neither updated nor given new data";
            Tell(warnings, TrainingFault.DeadQueue, name, step, $"The features of the queue '{name}' have not changed in {_options.QueueInterval} steps. Likely cause: {cause}.");
        }

        if (hasCollapsed)
        {
            Tell(warnings, TrainingFault.CollapsedFeatures, name, step, string.Create(CultureInfo.InvariantCulture,
                $"The {filled} features in the queue '{name}' are nearly the same: their variance is {Math.Max(0, square - meanSquare):G3} of a mean square of {square:G3}. Likely causes: a collapsed encoder (momentum too small, learning rate too large), or inputs that are all the same."));
        }

        return warnings;
    }

    private void Tell(List<TrainingWarning> warnings, TrainingFault fault, string subject, int step, string message)
    {
        if (_told.Add((fault, subject))) warnings.Add(new TrainingWarning(fault, subject, step, message));
    }

    /// <summary>The last values.</summary>
    private sealed class Window(int size)
    {
        private readonly Queue<float> _values = new(size);

        public bool IsFull => _values.Count == size;

        public void Add(float value)
        {
            if (_values.Count == size) _values.Dequeue();
            _values.Enqueue(value);
        }

        public (double Mean, double Spread) MeanAndSpread()
        {
            double mean = _values.Average(value => (double)value);
            return (mean, Math.Sqrt(_values.Average(value => (value - mean) * (value - mean))));
        }
    }
}
