namespace MiniVlp.Data.Metrics;

/// <summary>
/// Words of a caption as caption metrics count them, close to the Penn Treebank tokens of the COCO evaluation (arXiv 1504.00325, section 3.1):
/// lower case, clitics split off ("it's" is "it", "'s"; "don't" is "do", "n't"; "cannot" is "can", "not"), punctuation removed. A hyphen or an
/// apostrophe inside of a word and a full stop or a comma between digits belong to the word ("t-shirt", "o'clock", "1,000").
/// </summary>
public static class CaptionTokenizer
{
    private static readonly string[] Clitics = ["n't", "'ll", "'re", "'ve", "'s", "'m", "'d"];

    /// <summary>The words of a caption, in order; none when it has no letter and no digit.</summary>
    /// <param name="caption">Any text.</param>
    public static string[] Split(string caption)
    {
        ArgumentNullException.ThrowIfNull(caption);
        string text = caption.ToLowerInvariant().Replace('’', '\'');
        List<string> words = [];
        int position = 0;
        while (position < text.Length)
        {
            if (!char.IsLetterOrDigit(text[position]) && !char.IsSurrogate(text[position]))
            {
                position++;
                continue;
            }

            int start = position;
            while (position < text.Length && IsPartOfWord(text, position))
            {
                position++;
            }

            AddWord(words, text[start..position]);
        }

        return [.. words];
    }

    private static bool IsPartOfWord(string text, int position)
    {
        char c = text[position];
        if (char.IsLetterOrDigit(c) || char.IsSurrogate(c) || char.GetUnicodeCategory(c) is System.Globalization.UnicodeCategory.NonSpacingMark)
        {
            return true;
        }

        if (position == 0 || position + 1 == text.Length)
        {
            return false;
        }

        char before = text[position - 1], after = text[position + 1];
        return c switch
        {
            '-' or '\'' => char.IsLetterOrDigit(before) && char.IsLetterOrDigit(after),
            '.' or ',' => char.IsDigit(before) && char.IsDigit(after),
            _ => false,
        };
    }

    private static void AddWord(List<string> words, string word)
    {
        if (word == "cannot")
        {
            words.AddRange(["can", "not"]);
            return;
        }

        foreach (string clitic in Clitics)
        {
            if (word.Length > clitic.Length && word.EndsWith(clitic, StringComparison.Ordinal))
            {
                words.Add(word[..^clitic.Length]);
                words.Add(clitic);
                return;
            }
        }

        words.Add(word);
    }
}
