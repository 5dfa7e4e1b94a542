using System.Collections.Immutable;

namespace MiniVlp.Data.Scenes;

/// <summary>From a scene to true sentences about it.</summary>
public static class SceneCaptions
{
    /// <summary>A true caption of the scene that accounts for what is there.</summary>
    /// <param name="scene">The scene; at least one object.</param>
    /// <param name="style">The wording.</param>
    /// <param name="seed">Chooses among what may be said and how; the same seed gives the same caption.</param>
    public static string Write(Scene scene, SceneCaptionStyle style, ulong seed)
    {
        ArgumentNullException.ThrowIfNull(style);
        SceneStatement statement = Describe(scene, style, seed);
        return style.Paraphrase ? SceneGrammar.Paraphrase(statement, seed) : SceneGrammar.Write(statement);
    }

    /// <summary>
    /// The facts that a caption of the scene states. Two different objects: their relation. Otherwise: all objects, alike ones counted
    /// together; now and then, among three or more, the relation of two that stand clearly.
    /// </summary>
    /// <param name="scene">The scene; at least one object.</param>
    /// <param name="style">Says whether sizes and the background are mentioned.</param>
    /// <param name="seed">Chooses among several true statements.</param>
    /// <exception cref="ArgumentException">The scene has no object, or more than <see cref="SceneOptions.MostObjects"/>.</exception>
    public static SceneStatement Describe(Scene scene, SceneCaptionStyle style, ulong seed)
    {
        ArgumentNullException.ThrowIfNull(scene);
        ArgumentNullException.ThrowIfNull(style);
        if (scene.Objects.Length is < 1 or > SceneOptions.MostObjects)
        {
            throw new ArgumentException($"A caption speaks of 1 to {SceneOptions.MostObjects} objects, the scene has {scene.Objects.Length}.", nameof(scene));
        }

        SampleRandom random = SceneHash.Random(seed, SceneDraw.Facts);
        SceneBackground? background = random.Chance(style.BackgroundRate) ? scene.Background : null;
        ImmutableArray<ObjectPhrase> phrases = Group(scene, style.Sizes);
        bool relate = scene.Objects.Length == 2 || random.Chance(0.3);
        if (relate && phrases.Length >= 2 && TryRelate(scene, phrases, ref random) is (var subject, var other, var relation))
        {
            return new SceneStatement([subject, other], relation, background);
        }

        return new SceneStatement(phrases, null, background);
    }

    /// <summary>One phrase for each kind of object, in scene order, so worded that each count is right.</summary>
    private static ImmutableArray<ObjectPhrase> Group(Scene scene, SceneSizeMention sizes)
    {
        ImmutableArray<ObjectPhrase>.Builder phrases = ImmutableArray.CreateBuilder<ObjectPhrase>();
        foreach (SceneObject item in scene.Objects)
        {
            var open = new ObjectPhrase(item.Shape, item.Color);
            ObjectPhrase sized = open with { Size = item.Size };
            bool name = sizes switch
            {
                SceneSizeMention.Always => true,
                SceneSizeMention.Never => false,
                _ => item.Size != SceneSize.Medium || open.CountIn(scene) != sized.CountIn(scene),
            };
            ObjectPhrase phrase = name ? sized : open;
            phrase = phrase with { Count = phrase.CountIn(scene) };
            if (!phrases.Contains(phrase))
            {
                phrases.Add(phrase);
            }
        }

        return phrases.ToImmutable();
    }

    private static (ObjectPhrase Subject, ObjectPhrase Other, SceneRelation Relation)? TryRelate(
        Scene scene, ImmutableArray<ObjectPhrase> phrases, ref SampleRandom random)
    {
        var choices = new List<(ObjectPhrase, ObjectPhrase, SceneRelation)>();
        for (int i = 0; i < phrases.Length; i++)
        {
            for (int j = 0; j < phrases.Length; j++)
            {
                if (i == j || phrases[i].Count != 1 || phrases[j].Count != 1)
                {
                    continue;
                }

                SceneObject subject = scene.Objects.First(phrases[i].Matches);
                SceneObject other = scene.Objects.First(phrases[j].Matches);
                foreach (SceneRelation relation in Enum.GetValues<SceneRelation>())
                {
                    // Each fact once: from the side of the object that comes first, except inside, which has one side only.
                    if ((i < j || relation == SceneRelation.Inside) && SceneRelations.Holds(relation, subject, other))
                    {
                        choices.Add((phrases[i], phrases[j], relation));
                    }
                }
            }
        }

        return choices.Count > 0 ? choices[random.Next(choices.Count)] : null;
    }
}
