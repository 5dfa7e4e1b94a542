using System.Globalization;
using MiniVlp.Bench.Workloads;

namespace MiniVlp.Bench.Peers;

/// <summary>One workload in all libraries.</summary>
/// <param name="Name">Of the workload.</param>
/// <param name="Operations">As the workload counts them.</param>
/// <param name="Bytes">As the workload counts them.</param>
/// <param name="Rounds">Turns of each library.</param>
/// <param name="Ours">MiniVlp.</param>
/// <param name="Torch">libtorch; null where it was left out.</param>
/// <param name="Onnx">ONNX Runtime; null where it has no such workload, or was left out.</param>
internal sealed record ComparisonRow(string Name, double Operations, double Bytes, int Rounds, Timing Ours, Timing? Torch, Timing? Onnx)
{
    public const string Header =
        "workload                       ours ms    GFLOP/s      GB/s       bound  of it |   torch ms  ratio (best) |    onnx ms  ratio (best) | rounds";

    /// <summary>Median of the faster peer over ours; null without a peer.</summary>
    public double? Ratio => Least(Torch?.MedianMilliseconds, Onnx?.MedianMilliseconds) / Ours.MedianMilliseconds;

    /// <summary>The same of the best times.</summary>
    public double? BestRatio => Least(Torch?.BestMilliseconds, Onnx?.BestMilliseconds) / Ours.BestMilliseconds;

    /// <summary>Beside the least time that a machine allows.</summary>
    public RooflineRow RoofUnder(MachineRate rate) => RooflineRow.Of(new Workload(Name, Operations, Bytes, _ => throw new NotSupportedException()), Ours, rate);

    /// <summary>A line of the table; a ratio is the other library's median over ours, and in brackets the same of the best times: above 1, ours is faster.</summary>
    public string ToText(MachineRate rate)
    {
        RooflineRow roof = RoofUnder(rate);
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{Name,-28} {Ours.MedianMilliseconds,9:F3} {roof.GigaflopsPerSecond,10:F1} {roof.GigabytesPerSecond,9:F1} {roof.Bound,11} {roof.ShareOfBound,6:P0} | {Peer(Torch)} | {Peer(Onnx)} | {Rounds,5}");
    }

    private static double? Least(double? a, double? b) => a is null ? b : b is null ? a : Math.Min(a.Value, b.Value);

    private string Peer(Timing? peer) => peer is null
        ? "         -      -        "
        : string.Create(
            CultureInfo.InvariantCulture,
            $"{peer.MedianMilliseconds,10:F3} {peer.MedianMilliseconds / Ours.MedianMilliseconds,6:F2} ({peer.BestMilliseconds / Ours.BestMilliseconds,4:F2})");
}
