using System.Text.Json.Nodes;

namespace MiniVlp.Cli.CapFilt;

/// <summary>How a data set is bootstrapped.</summary>
public sealed record CapFiltOptions
{
    /// <summary>Captions are drawn from the smallest set of tokens of at least this probability at each place.</summary>
    public float TopP { get; init; } = 0.9f;

    /// <summary>More than 1 writes captions by beam search instead.</summary>
    public int Beams { get; init; } = 1;

    /// <summary>Longest caption in tokens.</summary>
    public int MaxTokens { get; init; } = 20;

    /// <summary>Shortest caption in tokens.</summary>
    public int MinTokens { get; init; } = 1;

    /// <summary>Least probability of a match with which a text is kept.</summary>
    public float Threshold { get; init; } = 0.5f;

    /// <summary>Pictures that go into one shard, with up to two texts each.</summary>
    public int PicturesPerShard { get; init; } = 500;

    /// <summary>Pictures that go through a model at once.</summary>
    public int BatchSize { get; init; } = 64;

    /// <summary>Of everything random.</summary>
    public int Seed { get; init; }

    /// <summary>What must be the same when a run goes on; the batch size is only a matter of speed.</summary>
    public JsonObject ToJson() => new()
    {
        ["top_p"] = TopP,
        ["beams"] = Beams,
        ["max_tokens"] = MaxTokens,
        ["min_tokens"] = MinTokens,
        ["threshold"] = Threshold,
        ["pictures_per_shard"] = PicturesPerShard,
        ["seed"] = Seed,
    };
}
