namespace MiniVlp.Cli.Datasets;

/// <summary>What the texts of a data set are to its pictures.</summary>
public enum TextKind
{
    /// <summary>They describe them.</summary>
    Captions,

    /// <summary>They ask about them; the answers stand beside them.</summary>
    Questions,

    /// <summary>They may be true of them or not; which stands beside them.</summary>
    Sentences,
}
