using System.Collections.Frozen;
using System.Globalization;
using System.Text;

namespace MiniVlp.Data.Metrics;

/// <summary>
/// The form in which answers to visual questions are compared, by the rules of the VQA evaluation (arXiv 1505.00468): punctuation removed or
/// replaced by a space, full stops removed except in front of a digit, lower case, number words up to ten as digits, articles dropped,
/// apostrophes put back into contractions.
/// </summary>
public static class VqaAnswer
{
    private const string Punctuation = ";/[]\"{}()=+\\_-><@`,?!";

    private static readonly FrozenDictionary<string, string> Numbers = "zero one two three four five six seven eight nine ten".Split(' ').Index()
        .Append((0, "none"))
        .ToFrozenDictionary(pair => pair.Item2, pair => pair.Item1.ToString(CultureInfo.InvariantCulture), StringComparer.Ordinal);

    /// <summary>Each stands for its spellings with one apostrophe left out. Those that would be another word ("we'll", "I'd", "it's") are not mended.</summary>
    private static readonly FrozenDictionary<string, string> Contractions = new[]
    {
        "ain't aren't can't couldn't didn't doesn't don't hadn't hasn't haven't isn't mightn't mustn't needn't oughtn't shan't shouldn't wasn't weren't won't wouldn't",
        "could've might've must've not've should've they've we've what've where've who've would've you've",
        "couldn't've hadn't've he'd've it'd've mightn't've she'd've shouldn't've somebody'd've someone'd've something'd've there'd've they'd've we'd've who'd've",
        "wouldn't've you'd've y'all'd've",
        "he'd he's how'd how'll how's it'd it'll ma'am o'clock somebody'll somebody's someone'd someone'll someone's something'd something'll",
        "that's there'd there're there's they'd they'll they're 'twas what'll what're what's when's where'd where's who'd who'll who's why'll why're why's",
        "y'all y'all'll you'd you'll you're 'ow's'at",
    }
    .SelectMany(line => line.Split(' '))
    .SelectMany(word => Enumerable.Range(0, word.Length).Where(i => word[i] == '\'').Select(i => (Spelling: word.Remove(i, 1), Word: word)))
    .DistinctBy(pair => pair.Spelling, StringComparer.Ordinal)
    .ToFrozenDictionary(pair => pair.Spelling, pair => pair.Word, StringComparer.Ordinal);

    /// <summary>The normal form; equal answers have equal forms.</summary>
    /// <param name="answer">Any text.</param>
    public static string Normalize(string answer)
    {
        ArgumentNullException.ThrowIfNull(answer);
        string text = WithoutFullStops(WithoutPunctuation(answer.Replace('\n', ' ').Replace('\t', ' ').Trim()));
        IEnumerable<string> words = text.ToLowerInvariant().Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)
            .Select(word => Numbers.GetValueOrDefault(word, word))
            .Where(word => word is not ("a" or "an" or "the"))
            .Select(word => Contractions.GetValueOrDefault(word, word));
        return string.Join(' ', words);
    }

    /// <summary>Whether two answers have the same normal form: the accuracy where the data has one answer.</summary>
    /// <param name="answer">The model's.</param>
    /// <param name="truth">The right one.</param>
    public static bool IsExactMatch(string answer, string truth) => Normalize(answer) == Normalize(truth);

    /// <summary>A mark beside a space disappears, one between letters becomes a space; with a comma between digits in the text all marks disappear.</summary>
    private static string WithoutPunctuation(string text)
    {
        bool hasNumberWithComma = Enumerable.Range(1, Math.Max(0, text.Length - 2)).Any(i => text[i] == ',' && char.IsDigit(text[i - 1]) && char.IsDigit(text[i + 1]));
        StringBuilder result = new(text);
        foreach (char mark in Punctuation)
        {
            bool isBesideSpace = text.Contains($"{mark} ", StringComparison.Ordinal) || text.Contains($" {mark}", StringComparison.Ordinal);
            result.Replace(mark.ToString(), isBesideSpace || hasNumberWithComma ? string.Empty : " ");
        }

        return result.ToString();
    }

    private static string WithoutFullStops(string text)
    {
        StringBuilder result = new(text.Length);
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] != '.' || (i + 1 < text.Length && char.IsDigit(text[i + 1])))
            {
                result.Append(text[i]);
            }
        }

        return result.ToString();
    }
}
