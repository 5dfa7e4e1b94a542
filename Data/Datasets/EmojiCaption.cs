namespace MiniVlp.Data.Datasets;

/// <summary>A phrase in plain words from a Unicode character name.</summary>
internal static class EmojiCaption
{
    private static readonly string[] Digits = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

    /// <summary>The caption, or null for names that do not tell what is seen (family silhouettes, ideographs given by number).</summary>
    public static string? From(string name, string subcategory)
    {
        string text = name.Any(char.IsLower) ? name : name.ToLowerInvariant();
        text = text.Replace('\u2019', '\'').Replace(" & ", " and ", StringComparison.Ordinal);
        if (text.StartsWith("family:", StringComparison.Ordinal) || text.StartsWith("squared cjk", StringComparison.Ordinal))
        {
            return null;
        }

        return Flag(text) ?? Keycap(text) ?? Clock(text) ?? Person(text) ?? (subcategory == "zodiac" ? $"{text} zodiac sign" : text);
    }

    private static string? Flag(string text)
    {
        const string End = " Flag";
        if (!text.EndsWith(End, StringComparison.Ordinal))
        {
            return null;
        }

        string place = text[..^End.Length].Replace(" SAR China", string.Empty, StringComparison.Ordinal);
        int bracket = place.IndexOf(" (", StringComparison.Ordinal);
        place = bracket > 0 && place.EndsWith(')') ? place[..bracket] : place;
        place = place.StartsWith("St. ", StringComparison.Ordinal) ? $"Saint {place[4..]}" : place;
        return $"flag of {place}";
    }

    private static string? Keycap(string text)
    {
        return text switch
        {
            "hash key" => "keycap with the number sign",
            "keycap: *" => "keycap with the asterisk",
            "keycap ten" => "keycap with the number ten",
            _ when text.StartsWith("keycap ", StringComparison.Ordinal) && text.Length == 8 && char.IsAsciiDigit(text[7])
                => $"keycap with the digit {Digits[text[7] - '0']}",
            _ => null,
        };
    }

    private static string? Clock(string text)
    {
        const string Start = "clock face ";
        return text.StartsWith(Start, StringComparison.Ordinal)
            ? $"clock showing {text[Start.Length..].Replace("oclock", "o'clock", StringComparison.Ordinal)}"
            : null;
    }

    private static string? Person(string text)
    {
        int colon = text.IndexOf(": ", StringComparison.Ordinal);
        if (colon < 0)
        {
            return null;
        }

        string who = text[..colon];
        string what = text[(colon + 2)..];
        return who switch
        {
            "kiss" => $"kiss between {Pair(what)}",
            "couple with heart" => $"couple with heart, {Pair(what)}",
            _ => what switch
            {
                "bald" => $"bald {who}",
                "beard" => $"{who} with a beard",
                _ => $"{who} with {what}",
            },
        };
    }

    private static string Pair(string text)
    {
        return text switch
        {
            "man, man" => "two men",
            "woman, woman" => "two women",
            _ => "a woman and a man",
        };
    }
}
