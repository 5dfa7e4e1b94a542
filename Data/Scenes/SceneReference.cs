using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;

namespace MiniVlp.Data.Scenes;

/// <summary>The edge of the picture that the outermost of several objects is nearest to.</summary>
public enum SceneEdge
{
    /// <summary>The leftmost.</summary>
    Left,

    /// <summary>The rightmost.</summary>
    Right,

    /// <summary>The topmost.</summary>
    Top,

    /// <summary>The bottommost.</summary>
    Bottom,
}

/// <summary>
/// An expression that points at objects: "the small star", "the leftmost red circle", "the circle left of the blue square".
/// At most one of edge and relation is set, relation and anchor together.
/// </summary>
/// <param name="Phrase">What the object is.</param>
/// <param name="Edge">The outermost of those, or null.</param>
/// <param name="Relation">How it stands to the anchor, or null.</param>
/// <param name="Anchor">The other object, which the scene must have exactly once, or null.</param>
public sealed record SceneReference(ObjectPhrase Phrase, SceneEdge? Edge = null, SceneRelation? Relation = null, ObjectPhrase? Anchor = null)
{
    // The outermost object must be so by a visible margin.
    private const double EdgeMargin = 0.04;

    /// <summary>
    /// An expression for which the object is the only answer: attributes where they suffice, else a relation or an edge. Null when none
    /// singles it out (the middle one of three alike in a row).
    /// </summary>
    /// <param name="scene">The scene.</param>
    /// <param name="objectIndex">The object to point at.</param>
    /// <param name="seed">Chooses among expressions of the least effort that work.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such object.</exception>
    public static SceneReference? To(Scene scene, int objectIndex, ulong seed)
    {
        ArgumentNullException.ThrowIfNull(scene);
        ArgumentOutOfRangeException.ThrowIfNegative(objectIndex);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(objectIndex, scene.Objects.Length);
        SampleRandom random = SceneHash.Random(seed, SceneDraw.Reference);
        ImmutableArray<ObjectPhrase> phrases = PhrasesFor(scene.Objects[objectIndex]);
        return Choose([.. phrases.Select(phrase => new SceneReference(phrase))])
            ?? Choose([.. phrases.SelectMany(phrase => WithRelation(scene, objectIndex, phrase)), .. phrases.SelectMany(WithEdge)]);

        SceneReference? Choose(ImmutableArray<SceneReference> candidates)
        {
            SceneReference[] unique = [.. candidates.Where(reference => reference.Resolve(scene) is [int only] && only == objectIndex)];
            return unique.Length > 0 ? unique[random.Next(unique.Length)] : null;
        }
    }

    /// <summary>Reads an expression.</summary>
    /// <param name="text">The text, starting with "the".</param>
    /// <param name="reference">The expression, or null when the text is none.</param>
    public static bool TryParse(string? text, [NotNullWhen(true)] out SceneReference? reference)
    {
        reference = null;
        return text is not null && new SceneParser(text).TryReference(out reference);
    }

    /// <summary>The indices of the objects that the expression fits; exactly one when it is a good reference in this scene.</summary>
    /// <param name="scene">The scene.</param>
    public ImmutableArray<int> Resolve(Scene scene)
    {
        ArgumentNullException.ThrowIfNull(scene);
        ImmutableArray<int> matches = [.. Enumerable.Range(0, scene.Objects.Length).Where(i => Phrase.Matches(scene.Objects[i]))];
        if (Edge is { } edge)
        {
            return [.. matches.Where(i => matches.All(j => i == j || Reach(edge, scene.Objects[i]) > Reach(edge, scene.Objects[j]) + EdgeMargin))];
        }

        if (Relation is not { } relation || Anchor is null)
        {
            return matches;
        }

        SceneObject[] anchors = [.. scene.Objects.Where(Anchor.Matches)];
        return anchors is [SceneObject anchor]
            ? [.. matches.Where(i => !ReferenceEquals(scene.Objects[i], anchor) && SceneRelations.Holds(relation, scene.Objects[i], anchor))]
            : [];
    }

    /// <summary>The words.</summary>
    public override string ToString()
    {
        string edge = Edge is null ? "" : SceneWords.EdgeWords[(int)Edge].Text + " ";
        string text = $"the {edge}{SceneGrammar.Bare(Phrase, plural: false)}";
        return Relation is { } relation && Anchor is not null
            ? $"{text} {SceneWords.RelationPhrases[(int)relation][0]} the {SceneGrammar.Bare(Anchor, plural: false)}"
            : text;
    }

    private static double Reach(SceneEdge edge, SceneObject item)
    {
        return edge switch
        {
            SceneEdge.Left => -item.X,
            SceneEdge.Right => item.X,
            SceneEdge.Top => -item.Y,
            _ => item.Y,
        };
    }

    private static ImmutableArray<ObjectPhrase> PhrasesFor(SceneObject item)
    {
        return
        [
            new(item.Shape),
            new(null, item.Color),
            new(item.Shape, item.Color),
            new(item.Shape, null, item.Size),
            new(item.Shape, item.Color, item.Size),
        ];
    }

    private static IEnumerable<SceneReference> WithEdge(ObjectPhrase phrase)
    {
        return Enum.GetValues<SceneEdge>().Select(edge => new SceneReference(phrase, edge));
    }

    private static IEnumerable<SceneReference> WithRelation(Scene scene, int objectIndex, ObjectPhrase phrase)
    {
        for (int i = 0; i < scene.Objects.Length; i++)
        {
            if (i != objectIndex)
            {
                foreach (SceneRelation relation in Enum.GetValues<SceneRelation>())
                {
                    yield return new SceneReference(phrase, null, relation, new ObjectPhrase(scene.Objects[i].Shape, scene.Objects[i].Color));
                }
            }
        }
    }
}
