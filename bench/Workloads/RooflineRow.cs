namespace MiniVlp.Bench.Workloads;

/// <summary>A workload's time beside the least time that the machine allows it.</summary>
/// <param name="Name">Of the workload.</param>
/// <param name="Time">As measured.</param>
/// <param name="GigaflopsPerSecond">At the median.</param>
/// <param name="GigabytesPerSecond">At the median, counting what cannot be helped.</param>
/// <param name="Bound">What limits it: arithmetic, memory or cache.</param>
/// <param name="ShareOfBound">The least time over the median.</param>
/// <param name="BestShareOfBound">The least time over the best.</param>
public sealed record RooflineRow(
    string Name, Timing Time, double GigaflopsPerSecond, double GigabytesPerSecond, string Bound, double ShareOfBound, double BestShareOfBound)
{
    /// <summary>Puts a measurement under the roof of the threads that made it.</summary>
    public static RooflineRow Of(Workload workload, Timing time, MachineRate rate)
    {
        Bound bound = rate.BoundOf(workload);
        return new RooflineRow(
            workload.Name,
            time,
            workload.Operations / time.MedianMilliseconds / 1e6,
            workload.Bytes / time.MedianMilliseconds / 1e6,
            bound.By,
            bound.Milliseconds / time.MedianMilliseconds,
            bound.Milliseconds / time.BestMilliseconds);
    }
}
