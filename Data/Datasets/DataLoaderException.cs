namespace MiniVlp.Data.Datasets;

/// <summary>A batch could not be built; the inner exception is the cause and names the sample.</summary>
public sealed class DataLoaderException : Exception
{
    internal DataLoaderException(long epoch, int position, int[] indices, Exception cause)
        : base(Describe(epoch, position, indices, cause), cause)
    {
        Epoch = epoch;
        Position = position;
        Indices = indices;
    }

    /// <summary>The pass over the data.</summary>
    public long Epoch { get; }

    /// <summary>Place of the batch's first sample in the epoch's order.</summary>
    public int Position { get; }

    /// <summary>The batch's samples, as indices in the data set.</summary>
    public IReadOnlyList<int> Indices { get; }

    private static string Describe(long epoch, int position, int[] indices, Exception cause)
    {
        string samples = string.Join(", ", indices.Take(8)) + (indices.Length > 8 ? ", ..." : string.Empty);
        return $"The batch at epoch {epoch}, position {position} (samples {samples}) could not be built: {cause.Message}";
    }
}
