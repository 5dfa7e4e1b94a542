using System.Globalization;

namespace MiniVlp.Bench.Peers;

/// <summary>What a workload is to reach beside the faster of the peers.</summary>
/// <param name="Ratio">The peer's time over ours, at least.</param>
/// <param name="MayBeBandwidth">Whether <see cref="BandwidthShare"/> of what limits it, memory or cache, does as well.</param>
internal sealed record Target(double Ratio, bool MayBeBandwidth)
{
    /// <summary>Share of the measured bandwidth that is as good as a ratio.</summary>
    public const double BandwidthShare = 0.85;

    /// <summary>The target of a workload by its name.</summary>
    public static Target Of(string name) => name.Split('_') switch
    {
        ["gemm", ..] => new Target(1.05, MayBeBandwidth: true),
        ["sdpa", ..] => new Target(1.5, MayBeBandwidth: false),
        ["vit" or "bert" or "clip" or "albef", .. string[] rest] => new Target(rest.Contains("train") ? 1.5 : 1.2, MayBeBandwidth: false),
        _ => new Target(1.2, MayBeBandwidth: true),
    };

    /// <summary>Whether a measurement meets it, and by how much not.</summary>
    /// <param name="ratio">Of the faster peer; null without one.</param>
    /// <param name="bandwidthShare">Of the measured bandwidth; 0 for what arithmetic limits.</param>
    public string Judge(double? ratio, double bandwidthShare)
    {
        string wanted = Ratio.ToString("0.00", CultureInfo.InvariantCulture);
        if (ratio >= Ratio) return $"{wanted} met";
        if (MayBeBandwidth && bandwidthShare >= BandwidthShare) return $"{wanted} or {BandwidthShare:P0} of the bandwidth met";
        return ratio is null ? $"{wanted} not measured" : string.Create(CultureInfo.InvariantCulture, $"{wanted} missed by {1 - (ratio.Value / Ratio):P0}");
    }
}
