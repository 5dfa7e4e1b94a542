using System.Globalization;

namespace MiniVlp.Bench.Peers;

/// <summary>What the name of a workload says: the kind, the sizes and the rest.</summary>
/// <param name="Full">The name.</param>
/// <param name="Kind">Its first part.</param>
/// <param name="Batch">The number behind b in a part of its own, as in gemm_b12_197x197x64 or vit_b32_fwd_b8; 0 without one.</param>
/// <param name="Width">The number behind w, as in vit_w384_fwd_b8; 0 without one.</param>
/// <param name="Sizes">As in 1576x768; empty without any.</param>
internal sealed record WorkloadName(string Full, string Kind, long Batch, long Width, long[] Sizes)
{
    private static readonly string[] Formats = ["_packed", "_bf16", "_int8"];

    /// <summary>Of a vision transformer.</summary>
    public TorchVitSizes VitSizes => Width > 0 ? new TorchVitSizes(2, Width / 64, Width, 4 * Width, 32) : Full.Contains("_l14_", StringComparison.Ordinal) ? TorchVitSizes.Large14 : TorchVitSizes.Base32;

    public bool IsBackward => Full.EndsWith("_bwd", StringComparison.Ordinal);

    public bool IsCausal => Full.Contains("_causal", StringComparison.Ordinal);

    /// <summary>How our weights are kept does not change what the others do: they have float32, and ONNX Runtime packs constants by itself.</summary>
    public static string OfPeer(string name) => Formats.FirstOrDefault(suffix => name.EndsWith(suffix, StringComparison.Ordinal)) is { } format ? name[..^format.Length] : name;

    public static WorkloadName Parse(string name)
    {
        string[] parts = name.Split('_');
        long batch = 0, width = 0;
        long[] sizes = [];
        foreach (string part in parts.AsSpan(1))
        {
            string[] numbers = part.Split('x');
            if (part.StartsWith('b') && long.TryParse(part.AsSpan(1), CultureInfo.InvariantCulture, out long number)) batch = number;
            else if (part.StartsWith('w') && long.TryParse(part.AsSpan(1), CultureInfo.InvariantCulture, out number)) width = number;
            else if (numbers.Length > 1 && Array.TrueForAll(numbers, n => long.TryParse(n, CultureInfo.InvariantCulture, out _))) sizes = Array.ConvertAll(numbers, n => long.Parse(n, CultureInfo.InvariantCulture));
        }

        return new WorkloadName(name, parts[0], batch, width, sizes);
    }
}
