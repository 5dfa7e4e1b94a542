using System.Collections.Immutable;

namespace MiniVlp.Data.Scenes;

/// <summary>Which kind of word a distractor exchanges.</summary>
public enum SceneWordKind
{
    /// <summary>A colour word.</summary>
    Color,

    /// <summary>A noun.</summary>
    Shape,

    /// <summary>A size word.</summary>
    Size,

    /// <summary>A number word.</summary>
    Count,

    /// <summary>A relation word.</summary>
    Relation,

    /// <summary>A background word.</summary>
    Background,
}

/// <summary>A caption in which exactly one word was exchanged, so that it is still a sentence and no longer true of its scene.</summary>
/// <param name="Text">The false caption.</param>
/// <param name="WordIndex">Which word was exchanged, from 0.</param>
/// <param name="Original">The word before.</param>
/// <param name="Replacement">The word now.</param>
/// <param name="Kind">What kind of word it is.</param>
public sealed record SceneDistractor(string Text, int WordIndex, string Original, string Replacement, SceneWordKind Kind)
{
    /// <summary>One distractor, each kind of word that allows one equally often; null when none exists.</summary>
    /// <param name="caption">A caption of the grammar.</param>
    /// <param name="scene">The scene that it is to be false of.</param>
    /// <param name="options">The world: replacements are words that occur in it.</param>
    /// <param name="seed">Chooses; the same seed gives the same distractor.</param>
    public static SceneDistractor? Draw(string caption, Scene scene, SceneOptions options, ulong seed)
    {
        ImmutableArray<SceneDistractor> all = All(caption, scene, options);
        if (all.IsEmpty)
        {
            return null;
        }

        SampleRandom random = SceneHash.Random(seed, SceneDraw.Distractor);
        SceneWordKind[] kinds = [.. all.Select(distractor => distractor.Kind).Distinct()];
        SceneWordKind kind = kinds[random.Next(kinds.Length)];
        SceneDistractor[] ofKind = [.. all.Where(distractor => distractor.Kind == kind)];
        return ofKind[random.Next(ofKind.Length)];
    }

    /// <summary>All distractors of a caption, in word order.</summary>
    /// <param name="caption">A caption of the grammar.</param>
    /// <param name="scene">The scene that they are to be false of.</param>
    /// <param name="options">The world: replacements are words that occur in it.</param>
    public static ImmutableArray<SceneDistractor> All(string caption, Scene scene, SceneOptions options)
    {
        ArgumentNullException.ThrowIfNull(caption);
        ArgumentNullException.ThrowIfNull(scene);
        ArgumentNullException.ThrowIfNull(options);
        string[] words = caption.Split(' ');
        ImmutableArray<SceneDistractor>.Builder found = ImmutableArray.CreateBuilder<SceneDistractor>();
        (SceneWordKind Kind, ImmutableArray<string> Words)[] classes = [.. WordClasses(options)];
        for (int i = 0; i < words.Length; i++)
        {
            string original = words[i];
            foreach ((SceneWordKind kind, ImmutableArray<string> alternatives) in classes)
            {
                if (!alternatives.Contains(original, StringComparer.Ordinal))
                {
                    continue;
                }

                foreach (string replacement in alternatives)
                {
                    words[i] = replacement;
                    string text = string.Join(' ', words);

                    // The parser refuses what is no English ("a orange star"), the scene what is still true ("disc" for "circle").
                    if (replacement != original && SceneGrammar.TryParse(text, out SceneStatement? statement) && !statement.HoldsIn(scene))
                    {
                        found.Add(new SceneDistractor(text, i, original, replacement, kind));
                    }
                }

                words[i] = original;
            }
        }

        return found.ToImmutable();
    }

    private static IEnumerable<(SceneWordKind Kind, ImmutableArray<string> Words)> WordClasses(SceneOptions options)
    {
        yield return (SceneWordKind.Color, [.. options.Colors.Select(SceneWords.Of)]);
        yield return (SceneWordKind.Size, [.. options.Sizes.SelectMany(size => SceneWords.SizeWords[(int)size])]);
        yield return (SceneWordKind.Count, [.. SceneWords.Numbers.Take(options.MaxObjects + 1).Skip(2)]);
        yield return (SceneWordKind.Background, [.. options.Backgrounds.Select(SceneWords.Of)]);
        yield return (SceneWordKind.Shape, [.. options.Shapes.SelectMany(shape => SceneWords.NounsOf(shape, plural: false))]);
        yield return (SceneWordKind.Shape, [.. options.Shapes.SelectMany(shape => SceneWords.NounsOf(shape, plural: true))]);

        // Of the phrases "to the left of" and "left of" one word tells: the side.
        yield return (SceneWordKind.Relation, ["left", "right"]);
        yield return (SceneWordKind.Relation,
        [
            .. options.Relations.SelectMany(relation => SceneWords.RelationPhrases[(int)relation]).Where(phrase => !phrase.Contains(' ')),
        ]);
    }
}
