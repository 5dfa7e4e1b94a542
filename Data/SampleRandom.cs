namespace MiniVlp.Data;

/// <summary>
/// A small counter-based generator (SplitMix64; Steele, Lea and Flood 2014): draw n is a hash of seed + n, so a sample that owns its
/// own generator gets the same numbers whichever thread prepares it and in whatever order. Not for secrets.
/// </summary>
public struct SampleRandom
{
    private const ulong Golden = 0x9E3779B97F4A7C15UL;

    private ulong _state;

    /// <summary>Starts the sequence of <paramref name="seed"/>.</summary>
    /// <param name="seed">Any number; near seeds give unrelated sequences.</param>
    public SampleRandom(ulong seed)
    {
        _state = Mix(seed + Golden);
    }

    /// <summary>The generator of one sample: its numbers depend on the three arguments and on nothing else.</summary>
    /// <param name="seed">The run's seed.</param>
    /// <param name="epoch">The pass over the data.</param>
    /// <param name="index">The sample's place in the data set (not in the shuffled order).</param>
    public static SampleRandom For(ulong seed, long epoch, long index)
    {
        ulong key = Mix(seed + Golden);
        key = Mix((key ^ (ulong)epoch) + Golden);
        return new SampleRandom(key ^ (ulong)index);
    }

    /// <summary>64 random bits.</summary>
    public ulong NextUInt64()
    {
        _state += Golden;
        return Mix(_state);
    }

    /// <summary>A number in [0, 1) with 53 random bits.</summary>
    public double NextDouble()
    {
        return (NextUInt64() >> 11) * (1.0 / (1UL << 53));
    }

    /// <summary>A number in [0, 1) with 24 random bits.</summary>
    public float NextSingle()
    {
        return (NextUInt64() >> 40) * (1.0f / (1U << 24));
    }

    /// <summary>A number in [<paramref name="minimum"/>, <paramref name="maximum"/>), each equally likely.</summary>
    /// <param name="minimum">The smallest value.</param>
    /// <param name="maximum">One past the largest value; must be greater than <paramref name="minimum"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException">The range is empty.</exception>
    public int Next(int minimum, int maximum)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(minimum, maximum);
        ulong range = (ulong)((long)maximum - minimum);

        // Lemire's multiply-shift; the few low products that would favour some values are drawn again.
        ulong threshold = ((1UL << 32) - range) % range;
        ulong product;
        do
        {
            product = (NextUInt64() >> 32) * range;
        }
        while ((product & 0xFFFFFFFFUL) < threshold);

        return (int)(minimum + (long)(product >> 32));
    }

    /// <summary>A whole number in [0, <paramref name="count"/>), each equally likely.</summary>
    /// <param name="count">How many values there are, at least 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">The range is empty.</exception>
    public int Next(int count)
    {
        return Next(0, count);
    }

    /// <summary>A number in [<paramref name="minimum"/>, <paramref name="maximum"/>).</summary>
    /// <param name="minimum">The smallest value.</param>
    /// <param name="maximum">The bound above.</param>
    public double Uniform(double minimum, double maximum)
    {
        return minimum + ((maximum - minimum) * NextDouble());
    }

    /// <summary>True with the given probability.</summary>
    /// <param name="probability">In [0, 1].</param>
    public bool Chance(double probability)
    {
        return NextDouble() < probability;
    }

    /// <summary>Puts the values in random order (Fisher and Yates).</summary>
    /// <param name="values">Changed in place.</param>
    public void Shuffle<T>(Span<T> values)
    {
        for (int i = values.Length - 1; i > 0; i--)
        {
            int j = Next(i + 1);
            (values[i], values[j]) = (values[j], values[i]);
        }
    }

    private static ulong Mix(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9UL;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBUL;
        return z ^ (z >> 31);
    }
}
