using System.Globalization;
using System.Text;

namespace MiniVlp.Data.Text;

/// <summary>Text as a list of Unicode code points, and the questions the tokenizers ask of one.</summary>
internal static class CodePoints
{
    /// <summary>The code points of a text; a lone surrogate becomes U+FFFD, as in any well-formed encoding.</summary>
    public static List<int> From(ReadOnlySpan<char> text)
    {
        List<int> result = new(text.Length);
        foreach (Rune rune in text.EnumerateRunes())
        {
            result.Add(rune.Value);
        }

        return result;
    }

    public static void AppendTo(StringBuilder builder, int codePoint)
    {
        Span<char> units = stackalloc char[2];
        int length = new Rune(codePoint).EncodeToUtf16(units);
        builder.Append(units[..length]);
    }

    /// <summary>Adds the lower-case form of one code point, without regard to its neighbours (a final sigma stays a plain sigma).</summary>
    public static void AppendLower(List<int> result, int codePoint)
    {
        if (codePoint < 0x80)
        {
            result.Add(codePoint is >= 'A' and <= 'Z' ? codePoint | 0x20 : codePoint);
        }
        else if (codePoint == 0x130)
        {
            // The one letter whose lower case is two code points; .NET's simple mapping leaves it alone.
            result.Add('i');
            result.Add(0x307);
        }
        else
        {
            result.Add(Rune.ToLowerInvariant(new Rune(codePoint)).Value);
        }
    }

    public static bool IsWhiteSpace(int codePoint)
    {
        return Rune.IsWhiteSpace(new Rune(codePoint));
    }

    public static bool IsLetter(int codePoint)
    {
        return CharUnicodeInfo.GetUnicodeCategory(codePoint) <= UnicodeCategory.OtherLetter;
    }

    public static bool IsNumber(int codePoint)
    {
        return CharUnicodeInfo.GetUnicodeCategory(codePoint)
            is UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber;
    }

    /// <summary>Control, format and private-use characters; tab and line ends are white space instead.</summary>
    public static bool IsControl(int codePoint)
    {
        return codePoint is not ('\t' or '\n' or '\r') && CharUnicodeInfo.GetUnicodeCategory(codePoint)
            is UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.PrivateUse;
    }

    public static bool IsNonSpacingMark(int codePoint)
    {
        return codePoint >= 0x300 && CharUnicodeInfo.GetUnicodeCategory(codePoint) == UnicodeCategory.NonSpacingMark;
    }

    /// <summary>Punctuation as BERT counts it: every ASCII sign that is no letter, digit or space, and the Unicode categories P*.</summary>
    public static bool IsPunctuation(int codePoint)
    {
        return codePoint < 0x80
            ? codePoint is (> ' ' and < '0') or (> '9' and < 'A') or (> 'Z' and < 'a') or (> 'z' and < 0x7F)
            : CharUnicodeInfo.GetUnicodeCategory(codePoint)
                is >= UnicodeCategory.ConnectorPunctuation and <= UnicodeCategory.OtherPunctuation;
    }

    /// <summary>The CJK ideograph blocks that BERT splits into single characters; kana and hangul are not among them.</summary>
    public static bool IsCjkIdeograph(int codePoint)
    {
        return codePoint is (>= 0x4E00 and <= 0x9FFF) or (>= 0x3400 and <= 0x4DBF) or (>= 0x20000 and <= 0x2A6DF)
            or (>= 0x2A700 and <= 0x2B73F) or (>= 0x2B740 and <= 0x2B81F) or (>= 0x2B920 and <= 0x2CEAF)
            or (>= 0xF900 and <= 0xFAFF) or (>= 0x2F800 and <= 0x2FA1F);
    }
}
