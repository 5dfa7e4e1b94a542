using System.Collections.Immutable;

namespace MiniVlp.Data.Scenes;

/// <summary>What a question asks for.</summary>
public enum SceneQuestionKind
{
    /// <summary>"what color is the small star": a colour word.</summary>
    Color,

    /// <summary>"what shape is the red object": a shape word.</summary>
    Shape,

    /// <summary>"what size is the red star": a size word.</summary>
    Size,

    /// <summary>"how many red stars are there": zero to four, as a word.</summary>
    Count,

    /// <summary>"is there a red star": yes or no, equally often; a no differs from what is there in one attribute.</summary>
    Exists,

    /// <summary>"is the red star left of the blue ring": yes or no, equally often.</summary>
    Relation,
}

/// <summary>A question about a scene with its one right answer.</summary>
/// <param name="Kind">What it asks for.</param>
/// <param name="Text">The question, lower case, without a question mark.</param>
/// <param name="Answer">One word.</param>
public sealed record SceneQuestion(SceneQuestionKind Kind, string Text, string Answer)
{
    private const string Yes = "yes";
    private const string No = "no";

    private static readonly ImmutableArray<SceneRelation> Directions =
        [SceneRelation.LeftOf, SceneRelation.RightOf, SceneRelation.Above, SceneRelation.Below];

    /// <summary>A question of any kind that the scene allows; each kind equally often.</summary>
    /// <param name="scene">The scene; at least one object.</param>
    /// <param name="options">The world that the scene is from: false alternatives are made of its shapes and colours.</param>
    /// <param name="seed">Chooses; the same seed gives the same question.</param>
    public static SceneQuestion Ask(Scene scene, SceneOptions options, ulong seed)
    {
        SampleRandom random = SceneHash.Random(seed, SceneDraw.Question);
        SceneQuestionKind[] kinds = Enum.GetValues<SceneQuestionKind>();
        random.Shuffle(kinds.AsSpan());
        foreach (SceneQuestionKind kind in kinds)
        {
            if (Ask(scene, options, kind, random.NextUInt64()) is { } question)
            {
                return question;
            }
        }

        throw new ArgumentException("A scene without objects leaves nothing to ask.", nameof(scene));
    }

    /// <summary>A question of the given kind, or null when the scene allows none (a relation, where there is one object).</summary>
    /// <param name="scene">The scene.</param>
    /// <param name="options">The world that the scene is from.</param>
    /// <param name="kind">What to ask for.</param>
    /// <param name="seed">Chooses; the same seed gives the same question.</param>
    public static SceneQuestion? Ask(Scene scene, SceneOptions options, SceneQuestionKind kind, ulong seed)
    {
        ArgumentNullException.ThrowIfNull(scene);
        ArgumentNullException.ThrowIfNull(options);
        if (scene.Objects.IsEmpty)
        {
            return null;
        }

        SampleRandom random = SceneHash.Random(seed, SceneDraw.Question);
        return kind switch
        {
            SceneQuestionKind.Color => AskAttribute(kind, "color", scene, ref random),
            SceneQuestionKind.Shape => AskAttribute(kind, "shape", scene, ref random),
            SceneQuestionKind.Size => AskAttribute(kind, "size", scene, ref random),
            SceneQuestionKind.Count => AskCount(scene, options, ref random),
            SceneQuestionKind.Exists => AskExists(scene, options, ref random),
            SceneQuestionKind.Relation => AskRelation(scene, ref random),
            _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, "Not a kind of question."),
        };
    }

    private static SceneQuestion? AskAttribute(SceneQuestionKind kind, string noun, Scene scene, ref SampleRandom random)
    {
        var choices = new List<(SceneObject Item, ObjectPhrase Phrase)>();
        foreach (SceneObject item in scene.Objects)
        {
            foreach (ObjectPhrase phrase in PhrasesWithout(kind, item))
            {
                if (phrase.CountIn(scene) == 1)
                {
                    choices.Add((item, phrase));
                }
            }
        }

        if (choices.Count == 0)
        {
            return null;
        }

        (SceneObject asked, ObjectPhrase named) = choices[random.Next(choices.Count)];
        string answer = kind switch
        {
            SceneQuestionKind.Color => SceneWords.Of(asked.Color),
            SceneQuestionKind.Shape => SceneWords.Of(asked.Shape),
            _ => SceneWords.Of(asked.Size),
        };
        return new SceneQuestion(kind, $"what {noun} is the {SceneGrammar.Bare(named, plural: false)}", answer);
    }

    /// <summary>Ways to name the object that do not give the answer away.</summary>
    private static ImmutableArray<ObjectPhrase> PhrasesWithout(SceneQuestionKind kind, SceneObject item)
    {
        return kind switch
        {
            SceneQuestionKind.Color => [new(null), new(item.Shape), new(item.Shape, null, item.Size)],
            SceneQuestionKind.Shape => [new(null), new(null, item.Color), new(null, item.Color, item.Size)],
            _ => [new(null), new(item.Shape), new(null, item.Color), new(item.Shape, item.Color)],
        };
    }

    private static SceneQuestion AskCount(Scene scene, SceneOptions options, ref SampleRandom random)
    {
        SceneObject item = scene.Objects[random.Next(scene.Objects.Length)];
        if (random.Chance(0.2))
        {
            item = Altered(item, options, ref random);
        }

        ObjectPhrase phrase = random.Next(3) switch
        {
            0 => new ObjectPhrase(item.Shape),
            1 => new ObjectPhrase(null, item.Color),
            _ => new ObjectPhrase(item.Shape, item.Color),
        };
        string text = $"how many {SceneGrammar.Bare(phrase, plural: true)} are there";
        return new SceneQuestion(SceneQuestionKind.Count, text, SceneWords.Numbers[phrase.CountIn(scene)]);
    }

    private static SceneQuestion? AskExists(Scene scene, SceneOptions options, ref SampleRandom random)
    {
        bool yes = random.Chance(0.5);
        if (Absent(scene, options, ref random) is not { } absent)
        {
            return null;
        }

        SceneObject item = scene.Objects[random.Next(scene.Objects.Length)];
        ObjectPhrase phrase = yes ? new ObjectPhrase(item.Shape, item.Color) : absent;
        return new SceneQuestion(SceneQuestionKind.Exists, "is there " + SceneGrammar.Write(phrase), yes ? Yes : No);
    }

    /// <summary>A shape and colour that the scene lacks, one attribute away from what it has; null where the world has no such thing.</summary>
    private static ObjectPhrase? Absent(Scene scene, SceneOptions options, ref SampleRandom random)
    {
        for (int attempt = 0; attempt < 100; attempt++)
        {
            SceneObject altered = Altered(scene.Objects[random.Next(scene.Objects.Length)], options, ref random);
            var phrase = new ObjectPhrase(altered.Shape, altered.Color);
            if (phrase.CountIn(scene) == 0)
            {
                return phrase;
            }
        }

        return null;
    }

    private static SceneObject Altered(SceneObject item, SceneOptions options, ref SampleRandom random)
    {
        return random.Chance(0.5)
            ? item with { Shape = options.Shapes[random.Next(options.Shapes.Length)] }
            : item with { Color = options.Colors[random.Next(options.Colors.Length)] };
    }

    private static SceneQuestion? AskRelation(Scene scene, ref SampleRandom random)
    {
        var choices = new List<(ObjectPhrase Subject, ObjectPhrase Other, SceneRelation Relation)>();
        foreach (SceneObject subject in scene.Objects)
        {
            foreach (SceneObject other in scene.Objects)
            {
                var subjectPhrase = new ObjectPhrase(subject.Shape, subject.Color);
                var otherPhrase = new ObjectPhrase(other.Shape, other.Color);
                if (ReferenceEquals(subject, other) || subjectPhrase.CountIn(scene) != 1 || otherPhrase.CountIn(scene) != 1)
                {
                    continue;
                }

                choices.AddRange(Directions.Where(direction => SceneRelations.Holds(direction, subject, other))
                    .Select(direction => (subjectPhrase, otherPhrase, direction)));
            }
        }

        if (choices.Count == 0)
        {
            return null;
        }

        (ObjectPhrase first, ObjectPhrase second, SceneRelation truth) = choices[random.Next(choices.Count)];
        bool yes = random.Chance(0.5);

        // 1 to 3 steps round the four directions never come back to the true one.
        SceneRelation relation = yes ? truth : Directions[((int)truth + random.Next(1, 4)) % Directions.Length];
        string text = $"is the {SceneGrammar.Bare(first, plural: false)} {SceneWords.RelationPhrases[(int)relation][0]} the "
            + SceneGrammar.Bare(second, plural: false);
        return new SceneQuestion(SceneQuestionKind.Relation, text, yes ? Yes : No);
    }
}
