using System.Collections.Concurrent;

namespace MiniVlp.Data.Datasets;

/// <summary>What a batch may depend on besides its indices; nothing here tells which worker builds it.</summary>
/// <typeparam name="TBatch">The batch.</typeparam>
public sealed class BatchContext<TBatch>
{
    private readonly ConcurrentBag<TBatch> _returned;
    private readonly ulong _seed;

    internal BatchContext(long epoch, int position, ulong seed, ConcurrentBag<TBatch> returned, CancellationToken cancellation)
    {
        Epoch = epoch;
        Position = position;
        Cancellation = cancellation;
        _seed = seed;
        _returned = returned;
    }

    /// <summary>The pass over the data.</summary>
    public long Epoch { get; }

    /// <summary>Place of the batch's first sample in the epoch's order.</summary>
    public int Position { get; }

    /// <summary>Set when the loader is being disposed.</summary>
    public CancellationToken Cancellation { get; }

    /// <summary>The generator of one sample in this epoch: a function of seed, epoch and index alone.</summary>
    /// <param name="index">The sample's index in the data set.</param>
    public SampleRandom RandomFor(int index)
    {
        return SampleRandom.For(_seed, Epoch, index);
    }

    /// <summary>Takes a batch that the consumer has given back, to be filled again instead of allocating another.</summary>
    /// <param name="batch">A returned batch, contents as they were.</param>
    public bool TryReuse([System.Diagnostics.CodeAnalysis.MaybeNullWhen(false)] out TBatch batch)
    {
        return _returned.TryTake(out batch);
    }
}
