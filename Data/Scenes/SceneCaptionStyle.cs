namespace MiniVlp.Data.Scenes;

/// <summary>When captions name sizes.</summary>
public enum SceneSizeMention
{
    /// <summary>Small and large are named; medium only where leaving it out would make the count wrong.</summary>
    WhenTelling,

    /// <summary>Every size is named.</summary>
    Always,

    /// <summary>No size is named.</summary>
    Never,
}

/// <summary>How captions are worded.</summary>
public sealed record SceneCaptionStyle
{
    /// <summary>One fixed wording for each statement: "a small red circle left of a large blue square".</summary>
    public static SceneCaptionStyle Plain { get; } = new();

    /// <summary>Paraphrases: openings, synonyms, the relation seen from either side, the background now and then.</summary>
    public static SceneCaptionStyle Varied { get; } = new() { Paraphrase = true, BackgroundRate = 0.2 };

    /// <summary>Draws the wording among all that the grammar has, instead of the plain one.</summary>
    public bool Paraphrase { get; init; }

    /// <summary>When sizes are named.</summary>
    public SceneSizeMention Sizes { get; init; }

    /// <summary>Share of captions that end with the background ("on a striped background"), 0 to 1.</summary>
    public double BackgroundRate { get; init; }
}
