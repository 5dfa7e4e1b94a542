using MiniVlp.Kernels;

namespace MiniVlp.Tensors;

/// <summary>
/// A stream of random numbers as a seed and a position, for counter-based kernels (Philox 4x32-10): the numbers drawn are a function of
/// both alone, so they do not depend on threads or device, and saving two integers saves the stream.
/// </summary>
/// <param name="seed">Which stream.</param>
/// <param name="position">How many draws of four numbers were used up.</param>
public sealed class Generator(ulong seed, ulong position = 0)
{
    [ThreadStatic]
    private static Generator? _current;

    /// <summary>The generator that layers such as dropout draw from on this thread; set it to make a run repeatable.</summary>
    public static Generator Current
    {
        get => _current ??= new Generator(0);
        set => _current = value;
    }

    /// <summary>Which stream.</summary>
    public ulong Seed { get; set; } = seed;

    /// <summary>How many counters were used up; each gives four 32-bit numbers.</summary>
    public ulong Position { get; set; } = position;

    /// <summary>Reserves random numbers for <paramref name="count"/> elements and returns the first counter.</summary>
    public ulong Reserve(int count)
    {
        ulong first = Position;
        Position += ((ulong)count + 3) / 4;
        return first;
    }

    /// <summary>A number uniform in [0, 1) with 53 random bits, for what the host decides; uses up one counter.</summary>
    public double NextUniform() => (NextBits() >> 11) * (1.0 / (1UL << 53));

    /// <summary>A whole number in [0, <paramref name="count"/>), each equally likely but for 2⁻³²; uses up one counter.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The count is below 1.</exception>
    public int Next(int count)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        return (int)Math.BigMul(NextBits(), (ulong)count, out _);
    }

    /// <summary>Puts the values in random order (Fisher and Yates); uses up one counter for each but the first.</summary>
    public void Shuffle<T>(Span<T> values)
    {
        for (int i = values.Length - 1; i > 0; i--)
        {
            int j = Next(i + 1);
            (values[i], values[j]) = (values[j], values[i]);
        }
    }

    private ulong NextBits()
    {
        (uint low, uint high, _, _) = Philox.Generate(Seed, Position++);
        return ((ulong)high << 32) | low;
    }
}
