using MiniVlp.Data.Scenes;

namespace MiniVlp.Data.Tests.Scenes;

/// <summary>A second reading of captions and questions, written word by word and without the grammar, to check the grammar against.</summary>
internal static class SceneFactChecker
{
    private static readonly string[] ShapeNames = Enum.GetNames<SceneShape>().Select(name => name.ToLowerInvariant()).ToArray();
    private static readonly string[] ColorNames = Enum.GetNames<SceneColor>().Select(name => name.ToLowerInvariant()).ToArray();

    private static readonly Dictionary<string, string> Synonyms = new()
    {
        ["disc"] = "circle",
        ["moon"] = "crescent",
        ["plus"] = "cross",
        ["thing"] = "object",
        ["shape"] = "object",
        ["little"] = "small",
        ["big"] = "large",
    };

    public static bool IsTrue(string caption, Scene scene)
    {
        int background = caption.IndexOf(" on a ", StringComparison.Ordinal);
        if (background >= 0)
        {
            string word = caption[(background + 6)..].Split(' ')[0];
            if (!string.Equals(word, scene.Background.ToString(), StringComparison.OrdinalIgnoreCase))
            {
                return false;
            }

            caption = caption[..background];
        }

        foreach (string lead in new[] { "there is ", "there are ", "a picture of ", "an image of ", "a drawing of ", "this picture shows ", "we see " })
        {
            caption = caption.StartsWith(lead, StringComparison.Ordinal) ? caption[lead.Length..] : caption;
        }

        string padded = $" {caption.Replace(" is ", " ")} ";
        foreach ((string text, Func<SceneObject, SceneObject, bool> test) in Relations())
        {
            int at = padded.IndexOf(text, StringComparison.Ordinal);
            if (at >= 0)
            {
                SceneObject[] subjects = Matching(padded[..at], scene).ToArray();
                SceneObject[] others = Matching(padded[(at + text.Length)..], scene).ToArray();
                return subjects.Any(a => others.Any(b => !ReferenceEquals(a, b) && test(a, b)));
            }
        }

        return caption.Split(" and ").All(phrase =>
        {
            int count = Matching(phrase, scene).Count();
            return phrase.Split(' ')[0] switch
            {
                "a" or "an" => count >= 1,
                "two" => count == 2,
                "three" => count == 3,
                "four" => count == 4,
                _ => throw new ArgumentException($"No determiner in '{phrase}'."),
            };
        });
    }

    public static string Answer(string question, Scene scene)
    {
        if (question.StartsWith("what ", StringComparison.Ordinal))
        {
            SceneObject asked = Matching(question[question.IndexOf(" is the ", StringComparison.Ordinal)..], scene).Single();
            return question.Split(' ')[1] switch
            {
                "color" => asked.Color.ToString().ToLowerInvariant(),
                "shape" => asked.Shape.ToString().ToLowerInvariant(),
                "size" => asked.Size.ToString().ToLowerInvariant(),
                string other => throw new ArgumentException(other),
            };
        }

        if (question.StartsWith("how many ", StringComparison.Ordinal))
        {
            string kind = question["how many ".Length..^" are there".Length];
            return new[] { "zero", "one", "two", "three", "four" }[Matching(kind, scene).Count()];
        }

        if (question.StartsWith("is there ", StringComparison.Ordinal))
        {
            return IsTrue(question["is there ".Length..], scene) ? "yes" : "no";
        }

        string statement = question["is ".Length..].Replace("the ", "a ");
        return IsTrue(statement, scene) ? "yes" : "no";
    }

    /// <summary>The objects that fit every attribute word in the text; words that are none are passed over.</summary>
    public static IEnumerable<SceneObject> Matching(string text, Scene scene)
    {
        string[] words = text.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(Plain).ToArray();
        return scene.Objects.Where(item => words.All(word =>
            (!ShapeNames.Contains(word) || item.Shape.ToString().ToLowerInvariant() == word)
            && (!ColorNames.Contains(word) || item.Color.ToString().ToLowerInvariant() == word)
            && (word is not ("small" or "medium" or "large") || item.Size.ToString().ToLowerInvariant() == word)));
    }

    private static string Plain(string word)
    {
        foreach (string ending in new[] { "es", "s" })
        {
            if (word.EndsWith(ending, StringComparison.Ordinal))
            {
                string singular = word[..^ending.Length];
                if (ShapeNames.Contains(singular) || Synonyms.ContainsKey(singular))
                {
                    word = singular;
                    break;
                }
            }
        }

        return Synonyms.GetValueOrDefault(word, word);
    }

    private static IEnumerable<(string Text, Func<SceneObject, SceneObject, bool> Test)> Relations()
    {
        static bool Nested(SceneObject a, SceneObject b) => Within(a, b) || Within(b, a);
        static bool Within(SceneObject a, SceneObject b) => Distance(a, b) <= Math.Abs(a.Radius - b.Radius) && a.Radius < b.Radius;
        static double Distance(SceneObject a, SceneObject b) => Math.Sqrt(Math.Pow(a.X - b.X, 2) + Math.Pow(a.Y - b.Y, 2));

        // Degrees from the other to the subject, 0 to the right and 90 up; a side is a cone of atan(1 / 1.25) = 38.66 degrees either way.
        static bool Cone(SceneObject a, SceneObject b, double direction)
        {
            double angle = Math.Atan2(b.Y - a.Y, a.X - b.X) * 180 / Math.PI;
            double off = Math.Abs(((angle - direction + 540) % 360) - 180);
            return !Nested(a, b) && off <= 38.6598;
        }

        foreach ((string[] phrases, double direction) in new[]
        {
            (new[] { " to the left of ", " on the left of ", " left of " }, 180.0),
            (new[] { " to the right of ", " on the right of ", " right of " }, 0.0),
            (new[] { " above ", " over " }, 90.0),
            (new[] { " below ", " under " }, -90.0),
        })
        {
            foreach (string phrase in phrases)
            {
                yield return (phrase, (a, b) => Cone(a, b, direction));
            }
        }

        foreach (string phrase in new[] { " inside ", " in " })
        {
            yield return (phrase, Within);
        }

        foreach (string phrase in new[] { " next to ", " beside ", " near " })
        {
            yield return (phrase, (a, b) => !Nested(a, b) && Distance(a, b) - a.Radius - b.Radius <= 0.1);
        }
    }
}
