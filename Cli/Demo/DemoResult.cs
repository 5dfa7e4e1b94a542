using MiniVlp.Cli.Evaluation;
using MiniVlp.Cli.Training;
using MiniVlp.Data.Images;

namespace MiniVlp.Cli.Demo;

/// <summary>A text with the pictures that the model finds for it.</summary>
/// <param name="Text">The query.</param>
/// <param name="Pictures">Best first.</param>
public sealed record TextQuery(string Text, IReadOnlyList<FoundPicture> Pictures);

/// <summary>A picture that was found.</summary>
/// <param name="Image">The picture.</param>
/// <param name="Caption">Its own caption.</param>
/// <param name="Score">Cosine.</param>
/// <param name="IsRight">Whether the query is its caption.</param>
public sealed record FoundPicture(RgbImage Image, string Caption, float Score, bool IsRight);

/// <summary>A picture with the captions that the model finds for it.</summary>
/// <param name="Image">The query.</param>
/// <param name="Texts">Best first; the picture's own comes last when it is not among the best.</param>
public sealed record PictureQuery(RgbImage Image, IReadOnlyList<FoundText> Texts);

/// <summary>A caption that was found.</summary>
/// <param name="Rank">From 1.</param>
/// <param name="Text">The caption.</param>
/// <param name="Score">Cosine.</param>
/// <param name="IsRight">Whether it is the picture's own.</param>
public sealed record FoundText(int Rank, string Text, float Score, bool IsRight);

/// <summary>Where the image tower looks.</summary>
/// <param name="Caption">What is in the picture.</param>
/// <param name="Image">The picture.</param>
/// <param name="Overlay">The picture under its attention map.</param>
public sealed record AttentionPicture(string Caption, RgbImage Image, RgbImage Overlay);

/// <summary>All that a demo run found out.</summary>
public sealed record DemoResult
{
    public required TrainingSummary Training { get; init; }

    public required IReadOnlyList<TrainingMetrics> History { get; init; }

    public required int BatchSize { get; init; }

    public required long Parameters { get; init; }

    public required string Device { get; init; }

    public required RetrievalResult Retrieval { get; init; }

    public required IReadOnlyList<ZeroShotResult> ZeroShot { get; init; }

    public required IReadOnlyList<TextQuery> TextQueries { get; init; }

    public required IReadOnlyList<PictureQuery> PictureQueries { get; init; }

    public required IReadOnlyList<AttentionPicture> Attention { get; init; }

    /// <summary>From the start of the command to the report.</summary>
    public required TimeSpan Elapsed { get; init; }
}
