using System.Collections.Immutable;

namespace MiniVlp.Data.Scenes;

/// <summary>The facts that a caption states: what is there, perhaps how two objects stand, perhaps before what background.</summary>
public sealed class SceneStatement : IEquatable<SceneStatement>
{
    /// <summary>Makes a statement.</summary>
    /// <param name="phrases">What is there; at least one. With a relation: subject and other, each with count 1.</param>
    /// <param name="relation">How the first stands to the second, or null for a plain list.</param>
    /// <param name="background">The background, or null when it is not mentioned.</param>
    /// <exception cref="ArgumentException">No phrases, a count out of bounds, or a relation of anything but two single objects.</exception>
    public SceneStatement(ImmutableArray<ObjectPhrase> phrases, SceneRelation? relation = null, SceneBackground? background = null)
    {
        if (phrases.IsDefaultOrEmpty)
        {
            throw new ArgumentException("A statement needs at least one object phrase.", nameof(phrases));
        }

        if (phrases.Any(phrase => phrase.Count is < 1 or > SceneOptions.MostObjects))
        {
            throw new ArgumentException($"Counts must be 1 to {SceneOptions.MostObjects}.", nameof(phrases));
        }

        if (relation is not null && (phrases.Length != 2 || phrases.Any(phrase => phrase.Count != 1)))
        {
            throw new ArgumentException("A relation needs exactly two phrases, each for one object.", nameof(phrases));
        }

        Phrases = phrases;
        Relation = relation;
        Background = background;
    }

    /// <summary>What is there.</summary>
    public ImmutableArray<ObjectPhrase> Phrases { get; }

    /// <summary>How the first object stands to the second, or null.</summary>
    public SceneRelation? Relation { get; }

    /// <summary>The background, or null when it is not mentioned.</summary>
    public SceneBackground? Background { get; }

    /// <summary>
    /// The same facts in one agreed form, so that paraphrases are equal: "right of" becomes "left of" and "below" becomes "above" with
    /// the objects exchanged; lists, and the two sides of "next to", are sorted.
    /// </summary>
    public SceneStatement Canonical()
    {
        bool exchange = Relation switch
        {
            SceneRelation.RightOf or SceneRelation.Below => true,
            SceneRelation.NextTo => Order(Phrases[0]) > Order(Phrases[1]),
            _ => false,
        };
        if (exchange)
        {
            return Exchanged();
        }

        return Relation is null ? new SceneStatement([.. Phrases.OrderBy(Order)], null, Background) : this;
    }

    /// <summary>True when everything the statement says is so in the scene.</summary>
    /// <param name="scene">The scene.</param>
    public bool HoldsIn(Scene scene)
    {
        ArgumentNullException.ThrowIfNull(scene);
        if (Background is not null && Background != scene.Background)
        {
            return false;
        }

        if (Relation is null)
        {
            return Phrases.All(phrase => phrase.HoldsIn(scene));
        }

        foreach (SceneObject subject in scene.Objects)
        {
            foreach (SceneObject other in scene.Objects)
            {
                if (!ReferenceEquals(subject, other) && Phrases[0].Matches(subject) && Phrases[1].Matches(other)
                    && SceneRelations.Holds(Relation.Value, subject, other))
                {
                    return true;
                }
            }
        }

        return false;
    }

    /// <summary>Same phrases in the same order, same relation, same background; compare <see cref="Canonical"/> forms for equal facts.</summary>
    /// <param name="other">The other statement.</param>
    public bool Equals(SceneStatement? other)
    {
        return other is not null && Relation == other.Relation && Background == other.Background
            && Phrases.AsSpan().SequenceEqual(other.Phrases.AsSpan());
    }

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as SceneStatement);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        HashCode hash = default;
        hash.Add(Relation);
        hash.Add(Background);
        foreach (ObjectPhrase phrase in Phrases)
        {
            hash.Add(phrase);
        }

        return hash.ToHashCode();
    }

    /// <summary>The plain caption that says it.</summary>
    public override string ToString() => SceneGrammar.Write(this);

    /// <summary>The statement with subject and other exchanged; only for relations that have a converse.</summary>
    internal SceneStatement Exchanged()
    {
        return new SceneStatement([Phrases[1], Phrases[0]], SceneRelations.Converse(Relation!.Value), Background);
    }

    private static int Order(ObjectPhrase phrase)
    {
        int shape = phrase.Shape is null ? -1 : (int)phrase.Shape;
        int color = phrase.Color is null ? -1 : (int)phrase.Color;
        int size = phrase.Size is null ? -1 : (int)phrase.Size;
        return (((((shape * 32) + color) * 8) + size) * 8) + phrase.Count;
    }
}
