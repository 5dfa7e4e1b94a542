using System.Collections.Frozen;
using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;

namespace MiniVlp.Data.Scenes;

/// <summary>Recursive descent over the words of one sentence.</summary>
internal ref struct SceneParser
{
    private static readonly FrozenDictionary<string, (SceneShape? Shape, bool Plural)> Nouns = IndexNouns();
    private static readonly FrozenDictionary<string, SceneSize> Sizes = SceneWords.SizeWords
        .SelectMany((words, size) => words.Select(word => (word, (SceneSize)size)))
        .ToFrozenDictionary(pair => pair.word, pair => pair.Item2, StringComparer.Ordinal);

    // Longest first, so that a phrase is never taken for another one that it begins with.
    private static readonly ImmutableArray<(string[] Words, SceneRelation Relation)> Relations =
    [
        .. SceneWords.RelationPhrases
            .SelectMany((phrases, relation) => phrases.Select(phrase => (phrase.Split(' '), (SceneRelation)relation)))
            .OrderByDescending(pair => pair.Item1.Length),
    ];

    private static readonly ImmutableArray<string[]> Leads = [.. SceneWords.Leads.Select(lead => lead.Split(' '))];

    private readonly string[] _words;
    private int _position;

    public SceneParser(string text)
    {
        _words = text.ToLowerInvariant().Split([' ', ',', '.', '?'], StringSplitOptions.RemoveEmptyEntries);
    }

    private readonly string Current => _position < _words.Length ? _words[_position] : "";

    public bool TryCaption([NotNullWhen(true)] out SceneStatement? statement)
    {
        statement = null;
        string? verb = null;
        bool hasLead = SkipAny(Leads);
        if (!hasLead && Skip("there"))
        {
            verb = Current;
            if (!Skip("is") && !Skip("are"))
            {
                return false;
            }

            hasLead = true;
        }

        ImmutableArray<ObjectPhrase>.Builder phrases = ImmutableArray.CreateBuilder<ObjectPhrase>();
        if (!TryIndefinite(out ObjectPhrase? phrase) || (verb is not null && (phrase.Count == 1) != (verb == "is")))
        {
            return false;
        }

        phrases.Add(phrase);
        bool copula = !hasLead && Skip("is");
        SceneRelation? relation = null;
        if (TryRelation(out SceneRelation found))
        {
            relation = found;
            if (!TryIndefinite(out phrase))
            {
                return false;
            }

            phrases.Add(phrase);
            if (phrases.Any(item => item.Count != 1))
            {
                return false;
            }
        }
        else if (copula)
        {
            return false;
        }
        else
        {
            while (Skip("and"))
            {
                if (!TryIndefinite(out phrase))
                {
                    return false;
                }

                phrases.Add(phrase);
            }
        }

        if (!TryBackground(out SceneBackground? background) || _position != _words.Length)
        {
            return false;
        }

        statement = new SceneStatement(phrases.ToImmutable(), relation, background);
        return true;
    }

    /// <summary>"the [edge] bare [relation the bare]" and nothing after it.</summary>
    public bool TryReference([NotNullWhen(true)] out SceneReference? reference)
    {
        reference = null;
        if (!Skip("the"))
        {
            return false;
        }

        SceneEdge? edge = null;
        foreach ((string text, SceneEdge value) in SceneWords.EdgeWords)
        {
            if (Skip(text))
            {
                edge = value;
                break;
            }
        }

        if (!TryBare(out ObjectPhrase? phrase, out bool plural) || plural)
        {
            return false;
        }

        SceneRelation? relation = null;
        ObjectPhrase? anchor = null;
        if (edge is null && TryRelation(out SceneRelation found))
        {
            relation = found;
            if (!Skip("the") || !TryBare(out anchor, out plural) || plural)
            {
                return false;
            }
        }

        reference = _position == _words.Length ? new SceneReference(phrase, edge, relation, anchor) : null;
        return reference is not null;
    }

    private static FrozenDictionary<string, (SceneShape? Shape, bool Plural)> IndexNouns()
    {
        var index = new Dictionary<string, (SceneShape? Shape, bool Plural)>(StringComparer.Ordinal);
        for (int i = 0; i < SceneWords.Nouns.Length; i++)
        {
            SceneShape? shape = i < SceneWords.Shapes.Length ? (SceneShape)i : null;
            foreach ((string singular, string plural) in SceneWords.Nouns[i])
            {
                index.Add(singular, (shape, false));
                index.Add(plural, (shape, true));
            }
        }

        return index.ToFrozenDictionary(StringComparer.Ordinal);
    }

    private bool TryIndefinite([NotNullWhen(true)] out ObjectPhrase? phrase)
    {
        phrase = null;
        string determiner = Current;
        int count = determiner is "a" or "an" ? 1 : SceneWords.Numbers.IndexOf(determiner);
        if (determiner.Length == 0 || count is < 1 or > SceneOptions.MostObjects || determiner == "one")
        {
            return false;
        }

        _position++;
        if (count == 1 && (Current.Length == 0 || determiner != SceneWords.ArticleFor(Current)))
        {
            return false;
        }

        if (!TryBare(out ObjectPhrase? bare, out bool plural) || plural != count > 1)
        {
            return false;
        }

        phrase = bare with { Count = count };
        return true;
    }

    private bool TryBare([NotNullWhen(true)] out ObjectPhrase? phrase, out bool plural)
    {
        SceneSize? size = null;
        if (Sizes.TryGetValue(Current, out SceneSize namedSize))
        {
            size = namedSize;
            _position++;
        }

        SceneColor? color = null;
        int colorIndex = SceneWords.Colors.IndexOf(Current);
        if (colorIndex >= 0)
        {
            color = (SceneColor)colorIndex;
            _position++;
        }

        bool found = Nouns.TryGetValue(Current, out (SceneShape? Shape, bool Plural) noun);
        _position++;
        plural = noun.Plural;
        phrase = found ? new ObjectPhrase(noun.Shape, color, size) : null;
        return found;
    }

    private bool TryRelation(out SceneRelation relation)
    {
        foreach ((string[] words, SceneRelation value) in Relations)
        {
            if (Skip(words))
            {
                relation = value;
                return true;
            }
        }

        relation = default;
        return false;
    }

    /// <summary>True also when there is no background clause; false when one is begun and not a right one.</summary>
    private bool TryBackground(out SceneBackground? background)
    {
        background = null;
        if (!Skip("on"))
        {
            return true;
        }

        if (!Skip("a"))
        {
            return false;
        }

        int index = SceneWords.Backgrounds.IndexOf(Current);
        _position++;
        if (index < 0 || !Skip("background"))
        {
            return false;
        }

        background = (SceneBackground)index;
        return true;
    }

    private bool SkipAny(ImmutableArray<string[]> choices)
    {
        foreach (string[] words in choices)
        {
            if (Skip(words))
            {
                return true;
            }
        }

        return false;
    }

    private bool Skip(params ReadOnlySpan<string> words)
    {
        if (!_words.AsSpan(Math.Min(_position, _words.Length)).StartsWith(words))
        {
            return false;
        }

        _position += words.Length;
        return true;
    }
}
