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
}
