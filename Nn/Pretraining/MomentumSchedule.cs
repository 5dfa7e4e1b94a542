namespace MiniVlp.Nn.Pretraining;

/// <summary>The momentum m of each update of a <see cref="MomentumEncoder"/>.</summary>
public sealed class MomentumSchedule
{
    private readonly double _start, _final;
    private readonly int _total;

    private MomentumSchedule(double start, double final, int total)
    {
        RequireMomentum(start, nameof(start));
        RequireMomentum(final, nameof(final));
        (_start, _final, _total) = (start, final, total);
    }

    /// <summary>The same m throughout: 0.999 in MoCo (arXiv:1911.05722), 0.995 in ALBEF and BLIP (arXiv:2107.07651, 2201.12086).</summary>
    /// <param name="momentum">m in [0, 1].</param>
    public static MomentumSchedule Constant(double momentum) => new(momentum, momentum, 1);

    /// <summary>m_t = final - (final - start) (cos(π t / total) + 1) / 2: 0.996 to 1 in BYOL and DINO (arXiv:2006.07733, 2104.14294).</summary>
    /// <param name="start">m of update 0, in [0, 1].</param>
    /// <param name="total">Updates until <paramref name="final"/> is reached, at least 1.</param>
    /// <param name="final">m from then on, in [0, 1].</param>
    public static MomentumSchedule Cosine(double start, int total, double final = 1)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(total, 1);
        return new MomentumSchedule(start, final, total);
    }

    /// <summary>m of an update; the first is 0.</summary>
    public double At(int step)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(step);
        return _final - ((_final - _start) * 0.5 * (1 + Math.Cos(Math.PI * Math.Min(1, (double)step / _total))));
    }

    private static void RequireMomentum(double momentum, string name)
    {
        if (!(momentum is >= 0 and <= 1)) throw new ArgumentOutOfRangeException(name, momentum, "The momentum must lie in [0, 1].");
    }
}
