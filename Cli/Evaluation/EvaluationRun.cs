using MiniVlp.Data.Datasets;

namespace MiniVlp.Cli.Evaluation;

/// <summary>How a data set goes through a model, the same for all tasks.</summary>
/// <param name="Dataset">The samples.</param>
/// <param name="BatchSize">How many go through the model at once.</param>
/// <param name="Examples">How many of the first samples are kept to be shown.</param>
/// <param name="Seed">Of the bootstrap.</param>
/// <param name="Progress">Called with the number of samples done.</param>
/// <param name="Cancellation">Checked between batches.</param>
public sealed record EvaluationRun(
    IImageTextDataset Dataset, int BatchSize = 64, int Examples = 0, ulong Seed = 0, Action<int>? Progress = null, CancellationToken Cancellation = default)
{
    /// <summary>The samples batch by batch, read and decoded by all processors.</summary>
    public IEnumerable<(int Start, ImageTextSample[] Samples)> Batches()
    {
        for (int start = 0; start < Dataset.Count; start += BatchSize)
        {
            Cancellation.ThrowIfCancellationRequested();
            ImageTextSample[] samples = new ImageTextSample[Math.Min(BatchSize, Dataset.Count - start)];
            int first = start;
            InParallel(samples.Length, i => samples[i] = Dataset.Get(first + i));
            yield return (start, samples);
            Progress?.Invoke(start + samples.Length);
        }
    }

    /// <summary>A parallel loop whose first exception comes out as it is: the first damaged sample is what the user has to look at.</summary>
    internal static void InParallel(int count, Action<int> body)
    {
        try
        {
            Parallel.For(0, count, body);
        }
        catch (AggregateException exception)
        {
            throw new InvalidDataException(exception.InnerExceptions[0].Message, exception.InnerExceptions[0]);
        }
    }
}
