namespace MiniVlp.Data.Datasets;

/// <summary>How a <see cref="DataLoader{TBatch}"/> walks over its data.</summary>
public sealed record DataLoaderOptions
{
    /// <summary>Samples per batch, at least 1.</summary>
    public required int BatchSize { get; init; }

    /// <summary>Decides the order and every sample's generator.</summary>
    public ulong Seed { get; init; }

    /// <summary>A new order every epoch; false for evaluation.</summary>
    public bool Shuffle { get; init; } = true;

    /// <summary>Leaves out the last samples of an epoch that do not fill a batch.</summary>
    public bool DropLast { get; init; } = true;

    /// <summary>Threads that build batches; 0 builds each batch on the consumer's thread when it asks.</summary>
    public int Workers { get; init; } = 2;

    /// <summary>Batches that may be ready or under way before the consumer asks, at least 1.</summary>
    public int Prefetch { get; init; } = 4;

    /// <summary>The epoch to stop before, counted from 0; null goes on for ever.</summary>
    public long? Epochs { get; init; }

    /// <summary>A saved <see cref="DataLoader{TBatch}.Epoch"/> to continue from.</summary>
    public long StartEpoch { get; init; }

    /// <summary>A saved <see cref="DataLoader{TBatch}.Position"/> to continue from.</summary>
    public int StartPosition { get; init; }
}
