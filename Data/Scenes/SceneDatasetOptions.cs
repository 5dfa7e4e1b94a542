using System.Collections.Immutable;

namespace MiniVlp.Data.Scenes;

/// <summary>Which scenes a data set has and how it shows them.</summary>
public sealed record SceneDatasetOptions
{
    /// <summary>The world.</summary>
    public SceneOptions World { get; init; } = SceneOptions.Demo;

    /// <summary>The split.</summary>
    public SceneSplit Split { get; init; }

    /// <summary>Number of samples, at least 1.</summary>
    public int Count { get; init; } = 16_384;

    /// <summary>Side of the pictures in pixels.</summary>
    public int ImageSize { get; init; } = 64;

    /// <summary>How captions are worded.</summary>
    public SceneCaptionStyle Style { get; init; } = SceneCaptionStyle.Plain;

    /// <summary>Takes only scenes whose caption states facts that no earlier sample's caption states: a gallery where each text has one picture.</summary>
    public bool UniqueCaptions { get; init; }

    /// <summary>Share of captions made wrong, 0 to 1.</summary>
    public double NoiseRate { get; init; }

    /// <summary>The kinds of noise, when there is noise.</summary>
    public ImmutableArray<CaptionNoiseKind> NoiseKinds { get; init; } =
        [CaptionNoiseKind.WrongColor, CaptionNoiseKind.WrongShape, CaptionNoiseKind.SwappedPair, CaptionNoiseKind.Unrelated, CaptionNoiseKind.Boilerplate];
}
