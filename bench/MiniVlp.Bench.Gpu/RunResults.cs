using System.Text.Json.Serialization;

namespace MiniVlp.Bench.Gpu;

/// <summary>What bench/gpu/run measured, as it writes it.</summary>
internal sealed record RunResults
{
    /// <summary>Day of the run.</summary>
    public required string Date { get; init; }

    /// <summary>The driver's name of the card.</summary>
    public required string Card { get; init; }

    /// <summary>Version of the driver, compute capability, versions of PyTorch and .NET, commit: in the order to print them.</summary>
    public IReadOnlyDictionary<string, string> Facts { get; init; } = new Dictionary<string, string>(StringComparer.Ordinal);

    /// <summary>Whether the peer's figures are invented, to try the script out.</summary>
    public bool DryRun { get; init; }

    /// <summary>Of the whole run.</summary>
    public double Seconds { get; init; }

    /// <summary>The parts of the run in order.</summary>
    public IReadOnlyList<SectionResult> Sections { get; init; } = [];

    /// <summary>The workloads that were timed, or should have been.</summary>
    public IReadOnlyList<RowResult> Rows { get; init; } = [];
}

/// <summary>A part of the run.</summary>
/// <param name="Name">Of the part.</param>
/// <param name="Seconds">That it took.</param>
/// <param name="Note">What it found, or why it ended early; null for nothing.</param>
/// <param name="Failed">Whether it found something wrong, or did not run.</param>
internal sealed record SectionResult(string Name, double Seconds, string? Note, bool Failed);

/// <summary>One workload, ours and the peer's.</summary>
internal sealed record RowResult
{
    /// <summary>The part of the run that it belongs to.</summary>
    public required string Section { get; init; }

    /// <summary>Of the workload.</summary>
    public required string Name { get; init; }

    /// <summary>Floating-point operations of one run; 0 where memory is what counts.</summary>
    public double Operations { get; init; }

    /// <summary>Bytes that one run cannot help reading and writing; 0 where arithmetic is what counts.</summary>
    public double Bytes { get; init; }

    /// <summary>Whether the row measures the bandwidth that others are a share of.</summary>
    public bool IsCopy { get; init; }

    /// <summary>ratio: the peer's time over ours; copy: bytes over time as a share of a copy's; runs: that ours runs.</summary>
    public string TargetKind { get; init; } = "ratio";

    /// <summary>What is aimed at, lowest first; none for a row that is only informative.</summary>
    public IReadOnlyList<double> Targets { get; init; } = [];

    /// <summary>This library.</summary>
    public SideResult Ours { get; init; } = new();

    /// <summary>PyTorch.</summary>
    public SideResult Peer { get; init; } = new();

    /// <summary>The peer's median over ours: above 1, ours is faster.</summary>
    [JsonPropertyOrder(1)]
    public double? Ratio => Peer.Milliseconds / Ours.Milliseconds;
}

/// <summary>One side of a row; the times are medians over rounds that alternate between the sides.</summary>
internal sealed record SideResult
{
    /// <summary>Median of one run.</summary>
    public double? Milliseconds { get; init; }

    /// <summary>Shortest of one run.</summary>
    public double? BestMilliseconds { get; init; }

    /// <summary>Device memory taken at most.</summary>
    public double? PeakBytes { get; init; }

    /// <summary>Why there is no time.</summary>
    public string? Error { get; init; }

    /// <summary>Whether the reason is that memory did not suffice.</summary>
    public bool OutOfMemory { get; init; }
}
