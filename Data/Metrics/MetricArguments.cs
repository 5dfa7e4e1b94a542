namespace MiniVlp.Data.Metrics;

/// <summary>Checks that metrics share.</summary>
internal static class MetricArguments
{
    public static void NeedReference<T>(IReadOnlyList<T> references)
    {
        ArgumentNullException.ThrowIfNull(references);
        if (references.Count == 0)
        {
            throw new ArgumentException("A candidate needs at least one reference to be compared with, and has none.", nameof(references));
        }
    }
}
