namespace MiniVlp.Nn.Optimizers;

/// <summary>
/// The learning rate of each step: it rises linearly from 0 during the warm-up and then stays, or falls linearly or along a cosine to its final
/// value at the last step, as transformers' get_cosine_schedule_with_warmup and its kin do.
/// </summary>
public sealed class LearningRateSchedule
{
    private readonly double _peak, _final;
    private readonly int _warmUp, _total;
    private readonly Func<double, double> _remaining;
    private readonly Func<int, double>? _rule;

    private LearningRateSchedule(double peak, int warmUp, int total, double final, Func<double, double> remaining)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(warmUp);
        ArgumentOutOfRangeException.ThrowIfLessThan(total, warmUp);
        (_peak, _warmUp, _total, _final, _remaining) = (peak, warmUp, total, final, remaining);
    }

    private LearningRateSchedule(Func<int, double> rule)
        : this(0, 0, int.MaxValue, 0, static _ => 0) => _rule = rule;

    /// <summary>Any other rule, such as one whose length becomes known only while training goes on.</summary>
    /// <param name="rule">The learning rate of a step, the first being 0.</param>
    public static LearningRateSchedule FromRule(Func<int, double> rule) => new(rule);

    /// <summary>The same rate after the warm-up.</summary>
    /// <param name="learningRate">The rate.</param>
    /// <param name="warmUp">Steps of the warm-up.</param>
    public static LearningRateSchedule Constant(double learningRate, int warmUp = 0) => new(learningRate, warmUp, int.MaxValue, learningRate, static _ => 1);

    /// <summary>A straight line from the peak to <paramref name="final"/>.</summary>
    /// <param name="peak">The rate at the end of the warm-up.</param>
    /// <param name="warmUp">Steps of the warm-up.</param>
    /// <param name="total">All steps.</param>
    /// <param name="final">The rate from step <paramref name="total"/> on.</param>
    public static LearningRateSchedule Linear(double peak, int warmUp, int total, double final = 0) => new(peak, warmUp, total, final, static progress => 1 - progress);

    /// <summary>Half a cosine from the peak to <paramref name="final"/> (Loshchilov and Hutter, arXiv:1608.03983).</summary>
    /// <param name="peak">The rate at the end of the warm-up.</param>
    /// <param name="warmUp">Steps of the warm-up.</param>
    /// <param name="total">All steps.</param>
    /// <param name="final">The rate from step <paramref name="total"/> on.</param>
    public static LearningRateSchedule Cosine(double peak, int warmUp, int total, double final = 0)
        => new(peak, warmUp, total, final, static progress => 0.5 * (1 + Math.Cos(Math.PI * progress)));

    /// <summary>The learning rate of a step; the first is 0.</summary>
    public double At(int step)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(step);
        if (_rule is not null) return _rule(step);
        if (step < _warmUp) return _peak * step / _warmUp;
        double progress = Math.Min(1, (double)(step - _warmUp) / Math.Max(1, _total - _warmUp));
        return _final + ((_peak - _final) * _remaining(progress));
    }
}
