using System.Text.Json.Nodes;

namespace MiniVlp.Cli.CapFilt;

/// <summary>How many texts of one source were kept, and how right that was.</summary>
/// <param name="Texts">All.</param>
/// <param name="Kept">Those in the new data set.</param>
/// <param name="Duplicates">Synthetic texts that say what the kept web text says.</param>
/// <param name="Judged">Those of which the data knows whether they are true.</param>
/// <param name="True">Of these, the true ones.</param>
/// <param name="Accepted">Of the judged ones, those that the filter found to match (kept or duplicates).</param>
/// <param name="TrueAccepted">Of these, the true ones.</param>
public sealed record CaptionCounts(int Texts, int Kept, int Duplicates, int Judged, int True, int Accepted, int TrueAccepted)
{
    /// <summary>Share of the judged texts that are true, before the filter.</summary>
    public double TrueShare => (double)True / Judged;

    /// <summary>Share of the accepted texts that are true; NaN where the truth of none is known.</summary>
    public double Precision => (double)TrueAccepted / Accepted;

    /// <summary>Share of the true texts that are accepted.</summary>
    public double Recall => (double)TrueAccepted / True;

    /// <summary>Share of the false texts that are dropped.</summary>
    public double NoiseFound => 1 - ((double)(Accepted - TrueAccepted) / (Judged - True));

    /// <summary>Counts the decisions on texts of one source.</summary>
    public static CaptionCounts Of(IEnumerable<CaptionDecision> decisions, CaptionSource source)
    {
        CaptionCounts counts = new(0, 0, 0, 0, 0, 0, 0);
        foreach (CaptionDecision decision in decisions)
        {
            if (decision.Source != source) continue;
            bool duplicate = decision.Decision == CaptionDecision.Duplicate, accepted = decision.IsKept || duplicate, judged = decision.Truth is not null, isTrue = decision.Truth == true;
            counts = new CaptionCounts(
                counts.Texts + 1,
                counts.Kept + (decision.IsKept ? 1 : 0),
                counts.Duplicates + (duplicate ? 1 : 0),
                counts.Judged + (judged ? 1 : 0),
                counts.True + (isTrue ? 1 : 0),
                counts.Accepted + (judged && accepted ? 1 : 0),
                counts.TrueAccepted + (isTrue && accepted ? 1 : 0));
        }

        return counts;
    }

    /// <summary>For <c>--json</c>; figures on truth are null where nothing is known.</summary>
    public JsonObject ToJson() => new()
    {
        ["texts"] = Texts,
        ["kept"] = Kept,
        ["kept_share"] = JsonNumber.Of((double)Kept / Texts),
        ["duplicates"] = Duplicates,
        ["judged"] = Judged,
        ["true_share"] = JsonNumber.Of(TrueShare),
        ["precision"] = JsonNumber.Of(Precision),
        ["recall"] = JsonNumber.Of(Recall),
        ["noise_found"] = JsonNumber.Of(NoiseFound),
    };
}

/// <summary>What came out.</summary>
/// <param name="Pictures">Pictures that were looked at.</param>
/// <param name="Shards">Shards that were written.</param>
/// <param name="Web">The texts of the data set.</param>
/// <param name="Synthetic">The captioner's texts.</param>
public sealed record CapFiltSummary(int Pictures, int Shards, CaptionCounts Web, CaptionCounts Synthetic)
{
    /// <summary>Pairs of the new data set.</summary>
    public int Pairs => Web.Kept + Synthetic.Kept;
}
