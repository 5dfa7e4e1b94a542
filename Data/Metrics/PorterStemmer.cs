namespace MiniVlp.Data.Metrics;

/// <summary>
/// The suffix stripping of Porter (1980, "An algorithm for suffix stripping", Program 14 (3)): five steps of rules, each applied when what is left
/// of the word before the suffix has enough vowel-consonant sequences, its measure m.
/// </summary>
public static class PorterStemmer
{
    private static readonly (string Suffix, string Replacement)[] Step2 =
    [
        ("ational", "ate"), ("tional", "tion"), ("enci", "ence"), ("anci", "ance"), ("izer", "ize"), ("abli", "able"), ("alli", "al"), ("entli", "ent"),
        ("eli", "e"), ("ousli", "ous"), ("ization", "ize"), ("ation", "ate"), ("ator", "ate"), ("alism", "al"), ("iveness", "ive"), ("fulness", "ful"),
        ("ousness", "ous"), ("aliti", "al"), ("iviti", "ive"), ("biliti", "ble"),
    ];

    private static readonly (string Suffix, string Replacement)[] Step3 =
        [("icate", "ic"), ("ative", ""), ("alize", "al"), ("iciti", "ic"), ("ical", "ic"), ("ful", ""), ("ness", "")];

    private static readonly (string Suffix, string Replacement)[] Step4 =
    [
        .. new[] { "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou", "ism", "ate", "iti", "ous", "ive", "ize" }
            .Select(suffix => (suffix, "")),
    ];

    /// <summary>The stem. Words of one or two letters, and what is not all a to z, stay as they are.</summary>
    /// <param name="word">A word in lower case.</param>
    public static string Stem(string word)
    {
        ArgumentNullException.ThrowIfNull(word);
        if (word.Length <= 2 || word.AsSpan().ContainsAnyExceptInRange('a', 'z'))
        {
            return word;
        }

        word = Endings(Plurals(word));
        if (word.EndsWith('y') && HasVowel(word[..^1]))
        {
            word = word[..^1] + "i";
        }

        word = Replace(word, Step2, stem => Measure(stem) > 0);
        word = Replace(word, Step3, stem => Measure(stem) > 0);
        word = Replace(word, Step4, stem => Measure(stem) > 1 && (!word.EndsWith("ion", StringComparison.Ordinal) || stem.EndsWith('s') || stem.EndsWith('t')));
        return Tidy(word);
    }

    /// <summary>Step 1a.</summary>
    private static string Plurals(string word)
    {
        return word.EndsWith("sses", StringComparison.Ordinal) || word.EndsWith("ies", StringComparison.Ordinal) ? word[..^2]
            : word.EndsWith('s') && !word.EndsWith("ss", StringComparison.Ordinal) ? word[..^1]
            : word;
    }

    /// <summary>Step 1b.</summary>
    private static string Endings(string word)
    {
        if (word.EndsWith("eed", StringComparison.Ordinal))
        {
            return Measure(word[..^3]) > 0 ? word[..^1] : word;
        }

        string? stem = word.EndsWith("ed", StringComparison.Ordinal) ? word[..^2] : word.EndsWith("ing", StringComparison.Ordinal) ? word[..^3] : null;
        if (stem is null || !HasVowel(stem))
        {
            return word;
        }

        if (stem.EndsWith("at", StringComparison.Ordinal) || stem.EndsWith("bl", StringComparison.Ordinal) || stem.EndsWith("iz", StringComparison.Ordinal))
        {
            return stem + "e";
        }

        if (EndsWithDouble(stem) && stem[^1] is not ('l' or 's' or 'z'))
        {
            return stem[..^1];
        }

        return Measure(stem) == 1 && EndsInShortSyllable(stem) ? stem + "e" : stem;
    }

    /// <summary>Step 5.</summary>
    private static string Tidy(string word)
    {
        if (word.EndsWith('e'))
        {
            string stem = word[..^1];
            int measure = Measure(stem);
            if (measure > 1 || (measure == 1 && !EndsInShortSyllable(stem)))
            {
                word = stem;
            }
        }

        return word.EndsWith("ll", StringComparison.Ordinal) && Measure(word) > 1 ? word[..^1] : word;
    }

    /// <summary>Only the longest suffix that fits is looked at: when its condition fails, so does the step.</summary>
    private static string Replace(string word, (string Suffix, string Replacement)[] rules, Func<string, bool> condition)
    {
        (string Suffix, string Replacement) longest = ("", "");
        foreach ((string Suffix, string Replacement) rule in rules)
        {
            if (rule.Suffix.Length > longest.Suffix.Length && word.EndsWith(rule.Suffix, StringComparison.Ordinal))
            {
                longest = rule;
            }
        }

        string stem = word[..^longest.Suffix.Length];
        return longest.Suffix.Length > 0 && condition(stem) ? stem + longest.Replacement : word;
    }

    /// <summary>A y behind a consonant is a vowel.</summary>
    private static bool IsConsonant(string word, int index)
    {
        return word[index] switch
        {
            'a' or 'e' or 'i' or 'o' or 'u' => false,
            'y' => index == 0 || !IsConsonant(word, index - 1),
            _ => true,
        };
    }

    private static bool HasVowel(string word) => Enumerable.Range(0, word.Length).Any(i => !IsConsonant(word, i));

    private static int Measure(string word)
    {
        int measure = 0;
        for (int i = 1; i < word.Length; i++)
        {
            measure += IsConsonant(word, i) && !IsConsonant(word, i - 1) ? 1 : 0;
        }

        return measure;
    }

    private static bool EndsWithDouble(string word) => word.Length > 1 && word[^1] == word[^2] && IsConsonant(word, word.Length - 1);

    /// <summary>Consonant, vowel, consonant, the last one neither w nor x nor y.</summary>
    private static bool EndsInShortSyllable(string word)
    {
        int last = word.Length - 1;
        return last >= 2 && IsConsonant(word, last) && !IsConsonant(word, last - 1) && IsConsonant(word, last - 2) && word[last] is not ('w' or 'x' or 'y');
    }
}
