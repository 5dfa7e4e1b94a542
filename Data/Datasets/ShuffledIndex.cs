namespace MiniVlp.Data.Datasets;

/// <summary>
/// Walks over the indices 0..Count-1, every epoch in another order: epoch e of a seed is always the same permutation (Fisher and Yates),
/// so that (<see cref="Epoch"/>, <see cref="Position"/>) is all that a resumed run has to know. Not thread-safe.
/// </summary>
public sealed class ShuffledIndex
{
    private readonly ulong _seed;
    private readonly bool _shuffle;
    private readonly int[] _order;
    private long _orderedEpoch = -1;

    /// <summary>Starts at epoch 0, position 0.</summary>
    /// <param name="count">Number of samples, at least 1.</param>
    /// <param name="seed">Decides every permutation.</param>
    /// <param name="shuffle">False: every epoch is 0, 1, 2, ...</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="count"/> is below 1.</exception>
    public ShuffledIndex(int count, ulong seed, bool shuffle = true)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        _seed = seed;
        _shuffle = shuffle;
        _order = new int[count];
    }

    /// <summary>Number of samples.</summary>
    public int Count => _order.Length;

    /// <summary>The pass over the data that the next index belongs to.</summary>
    public long Epoch { get; private set; }

    /// <summary>How many indices of this epoch have been handed out, or left out at its end.</summary>
    public int Position { get; private set; }

    /// <summary>Continues from a saved place.</summary>
    /// <param name="epoch">A saved <see cref="Epoch"/>.</param>
    /// <param name="position">A saved <see cref="Position"/>, in [0, <see cref="Count"/>).</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such place.</exception>
    public void Restore(long epoch, int position)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(epoch);
        ArgumentOutOfRangeException.ThrowIfNegative(position);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(position, Count);
        Epoch = epoch;
        Position = position;
    }

    /// <summary>
    /// The next indices: <paramref name="size"/> of them, or the fewer that the epoch still has. A batch never crosses into the next epoch.
    /// </summary>
    /// <param name="size">Most indices to return, at least 1.</param>
    /// <param name="dropLast">Skips what is left of an epoch when it is less than <paramref name="size"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException">
    /// <paramref name="size"/> is below 1, or over <see cref="Count"/> while <paramref name="dropLast"/> is set.
    /// </exception>
    public int[] Take(int size, bool dropLast = false)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(size, 1);
        if (dropLast)
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThan(size, Count);
            if (Count - Position < size)
            {
                NextEpoch();
            }
        }

        Order();
        int[] indices = _order.AsSpan(Position, Math.Min(size, Count - Position)).ToArray();
        Position += indices.Length;
        if (Position == Count || (dropLast && Count - Position < size))
        {
            NextEpoch();
        }

        return indices;
    }

    private void NextEpoch()
    {
        Epoch++;
        Position = 0;
    }

    private void Order()
    {
        if (_orderedEpoch == Epoch)
        {
            return;
        }

        for (int i = 0; i < _order.Length; i++)
        {
            _order[i] = i;
        }

        if (_shuffle)
        {
            // No sample has index -1, so the permutation shares no numbers with any sample's own generator.
            SampleRandom random = SampleRandom.For(_seed, Epoch, -1);
            random.Shuffle(_order.AsSpan());
        }

        _orderedEpoch = Epoch;
    }
}
