using System.Collections.Immutable;

namespace MiniVlp.Data.Scenes;

/// <summary>Every word that captions, questions and references use, by kind. The first word of each entry is the plain one.</summary>
public static class SceneWords
{
    /// <summary>The colour words, indexed by <see cref="SceneColor"/>: the class names of the zero-shot colour task.</summary>
    public static ImmutableArray<string> Colors { get; } =
        ["red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "brown", "black"];

    /// <summary>The shape words, indexed by <see cref="SceneShape"/>: the class names of the zero-shot shape task.</summary>
    public static ImmutableArray<string> Shapes { get; } =
        ["circle", "square", "triangle", "star", "heart", "cross", "ring", "diamond", "crescent", "hexagon"];

    /// <summary>The size words, indexed by <see cref="SceneSize"/>.</summary>
    public static ImmutableArray<string> Sizes { get; } = ["small", "medium", "large"];

    /// <summary>The background words, indexed by <see cref="SceneBackground"/>.</summary>
    public static ImmutableArray<string> Backgrounds { get; } = ["white", "gray", "shaded", "striped", "checked", "speckled"];

    /// <summary>The number words from zero to four.</summary>
    public static ImmutableArray<string> Numbers { get; } = ["zero", "one", "two", "three", "four"];

    /// <summary>The word for a colour.</summary>
    /// <param name="color">The colour.</param>
    public static string Of(SceneColor color) => Colors[(int)color];

    /// <summary>The plain word for a shape.</summary>
    /// <param name="shape">The shape.</param>
    public static string Of(SceneShape shape) => Shapes[(int)shape];

    /// <summary>The plain word for a size.</summary>
    /// <param name="size">The size.</param>
    public static string Of(SceneSize size) => Sizes[(int)size];

    /// <summary>The word for a background.</summary>
    /// <param name="background">The background.</param>
    public static string Of(SceneBackground background) => Backgrounds[(int)background];

    /// <summary>Nouns for each shape in singular and plural, plain noun first; the last entry is the noun for any shape.</summary>
    internal static ImmutableArray<ImmutableArray<(string Singular, string Plural)>> Nouns { get; } =
    [
        [("circle", "circles"), ("disc", "discs")],
        [("square", "squares")],
        [("triangle", "triangles")],
        [("star", "stars")],
        [("heart", "hearts")],
        [("cross", "crosses"), ("plus", "pluses")],
        [("ring", "rings")],
        [("diamond", "diamonds")],
        [("crescent", "crescents"), ("moon", "moons")],
        [("hexagon", "hexagons")],
        [("object", "objects"), ("thing", "things"), ("shape", "shapes")],
    ];

    internal static ImmutableArray<ImmutableArray<string>> SizeWords { get; } = [["small", "little"], ["medium"], ["large", "big"]];

    /// <summary>Phrases for each relation, plain phrase first.</summary>
    internal static ImmutableArray<ImmutableArray<string>> RelationPhrases { get; } =
    [
        ["left of", "to the left of", "on the left of"],
        ["right of", "to the right of", "on the right of"],
        ["above", "over"],
        ["below", "under"],
        ["inside", "in"],
        ["next to", "beside", "near"],
    ];

    internal static ImmutableArray<(string Text, SceneEdge Edge)> EdgeWords { get; } =
        [("leftmost", SceneEdge.Left), ("rightmost", SceneEdge.Right), ("topmost", SceneEdge.Top), ("bottommost", SceneEdge.Bottom)];

    /// <summary>What may stand before the first noun phrase of a caption.</summary>
    internal static ImmutableArray<string> Leads { get; } =
        ["a picture of", "an image of", "a drawing of", "this picture shows", "we see"];

    internal static ImmutableArray<string> NounsOf(SceneShape? shape, bool plural)
    {
        ImmutableArray<(string Singular, string Plural)> nouns = Nouns[shape is null ? Nouns.Length - 1 : (int)shape.Value];
        return [.. nouns.Select(noun => plural ? noun.Plural : noun.Singular)];
    }

    internal static string ArticleFor(string nextWord) => nextWord[0] is 'a' or 'e' or 'i' or 'o' or 'u' ? "an" : "a";
}
