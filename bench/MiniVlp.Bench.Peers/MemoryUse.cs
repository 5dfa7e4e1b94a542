using System.Globalization;
using MiniVlp.Bench.Workloads;

namespace MiniVlp.Bench.Peers;

/// <summary>Memory of one workload in one library, in a process that loads no other: resident pages, as Linux counts them.</summary>
/// <param name="Name">Of the workload.</param>
/// <param name="Library">ours, torch or onnx.</param>
/// <param name="EmptyMegabytes">With the runtime and the library loaded and nothing done.</param>
/// <param name="PreparedMegabytes">With the operands.</param>
/// <param name="PeakMegabytes">The most while it ran, operands included; what preparing them took for a moment is not.</param>
/// <param name="Time">Of the runs behind the first.</param>
internal sealed record MemoryUse(string Name, string Library, double EmptyMegabytes, double PreparedMegabytes, double PeakMegabytes, Timing Time)
{
    public override string ToString()
        => string.Create(CultureInfo.InvariantCulture, $"{Name}, {Library}: {PeakMegabytes:F0} MB at the peak, {PreparedMegabytes:F0} prepared, {EmptyMegabytes:F0} empty; {Time.MedianMilliseconds:F3} ms");
}
