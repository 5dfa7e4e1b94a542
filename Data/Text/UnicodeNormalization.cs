using System.Globalization;
using System.Text;

namespace MiniVlp.Data.Text;

/// <summary>
/// Canonical Unicode normalisation (Unicode Standard Annex 15) on our own tables. <see cref="string.Normalize()"/> does nothing when an
/// application runs with invariant globalization and otherwise follows whatever ICU the machine has; token ids must depend on neither.
/// </summary>
internal static class UnicodeNormalization
{
    private const int HangulBase = 0xAC00;
    private const int LeadBase = 0x1100;
    private const int VowelBase = 0x1161;
    private const int TrailBase = 0x11A7;
    private const int VowelCount = 21;
    private const int TrailCount = 28;
    private const int HangulCount = 19 * VowelCount * TrailCount;

    private static readonly Tables Data = Tables.Load();

    /// <summary>Normalization form D: full canonical decomposition, marks in canonical order.</summary>
    public static List<int> Decompose(IEnumerable<int> codePoints)
    {
        List<int> result = [];
        foreach (int codePoint in codePoints)
        {
            Append(codePoint, result);
        }

        Reorder(result);
        return result;
    }

    /// <summary>Normalization form C: form D, then canonical composition.</summary>
    public static List<int> Compose(IEnumerable<int> codePoints)
    {
        List<int> text = Decompose(codePoints);
        List<int> result = new(text.Count);
        int starter = -1;
        int lastClass = 0;
        foreach (int codePoint in text)
        {
            int combiningClass = CombiningClass(codePoint);

            // A mark composes with the last starter unless a mark of the same or a higher class stands between them.
            bool blocked = starter < result.Count - 1 && lastClass >= combiningClass;
            if (starter >= 0 && !blocked && TryCompose(result[starter], codePoint, out int composed))
            {
                result[starter] = composed;
                continue;
            }

            if (combiningClass == 0)
            {
                starter = result.Count;
            }

            lastClass = combiningClass;
            result.Add(codePoint);
        }

        return result;
    }

    private static void Append(int codePoint, List<int> result)
    {
        int hangul = codePoint - HangulBase;
        if (hangul is >= 0 and < HangulCount)
        {
            result.Add(LeadBase + (hangul / (VowelCount * TrailCount)));
            result.Add(VowelBase + (hangul % (VowelCount * TrailCount) / TrailCount));
            if (hangul % TrailCount != 0)
            {
                result.Add(TrailBase + (hangul % TrailCount));
            }
        }
        else if (codePoint >= 0xC0 && Data.Decompositions.TryGetValue(codePoint, out int[]? parts))
        {
            foreach (int part in parts)
            {
                Append(part, result);
            }
        }
        else
        {
            result.Add(codePoint);
        }
    }

    private static void Reorder(List<int> text)
    {
        int runStart = 0;
        while (runStart < text.Count)
        {
            if (CombiningClass(text[runStart]) == 0)
            {
                runStart++;
                continue;
            }

            int runEnd = runStart + 1;
            while (runEnd < text.Count && CombiningClass(text[runEnd]) != 0)
            {
                runEnd++;
            }

            if (runEnd - runStart > 1)
            {
                // OrderBy is stable, as the canonical ordering has to be.
                int[] ordered = [.. text.GetRange(runStart, runEnd - runStart).OrderBy(CombiningClass)];
                for (int i = 0; i < ordered.Length; i++)
                {
                    text[runStart + i] = ordered[i];
                }
            }

            runStart = runEnd;
        }
    }

    private static int CombiningClass(int codePoint)
    {
        return codePoint >= 0x300 && Data.CombiningClasses.TryGetValue(codePoint, out byte value) ? value : 0;
    }

    private static bool TryCompose(int first, int second, out int composed)
    {
        int lead = first - LeadBase;
        int vowel = second - VowelBase;
        if (lead is >= 0 and < 19 && vowel is >= 0 and < VowelCount)
        {
            composed = HangulBase + (((lead * VowelCount) + vowel) * TrailCount);
            return true;
        }

        int hangul = first - HangulBase;
        int trail = second - TrailBase;
        if (hangul is >= 0 and < HangulCount && hangul % TrailCount == 0 && trail is > 0 and < TrailCount)
        {
            composed = first + trail;
            return true;
        }

        return Data.Compositions.TryGetValue((first, second), out composed);
    }

    private sealed record Tables(
        Dictionary<int, int[]> Decompositions,
        Dictionary<(int First, int Second), int> Compositions,
        Dictionary<int, byte> CombiningClasses)
    {
        public static Tables Load()
        {
            Tables tables = new([], [], []);
            using Stream stream = typeof(UnicodeNormalization).Assembly.GetManifestResourceStream("MiniVlp.Data.Text.unicode-canonical.txt")
                ?? throw new InvalidOperationException("The Unicode table is missing from the assembly.");
            using StreamReader reader = new(stream, Encoding.ASCII);
            while (reader.ReadLine() is { } line)
            {
                string[] fields = line.Split(' ');
                if (fields[0] == "#")
                {
                    continue;
                }

                if (fields[0].EndsWith(':'))
                {
                    tables.AddCombiningClass(byte.Parse(fields[0].AsSpan(0, fields[0].Length - 1), CultureInfo.InvariantCulture), fields.AsSpan(1));
                }
                else
                {
                    tables.AddDecomposition(fields[0], fields.AsSpan(1));
                }
            }

            return tables;
        }

        private static int Hex(ReadOnlySpan<char> digits)
        {
            return int.Parse(digits, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
        }

        private void AddCombiningClass(byte combiningClass, ReadOnlySpan<string> ranges)
        {
            foreach (string range in ranges)
            {
                string[] ends = range.Split('-');
                for (int codePoint = Hex(ends[0]); codePoint <= Hex(ends[^1]); codePoint++)
                {
                    CombiningClasses.Add(codePoint, combiningClass);
                }
            }
        }

        private void AddDecomposition(string codePoint, ReadOnlySpan<string> mapping)
        {
            bool excluded = codePoint.EndsWith('!');
            int value = Hex(excluded ? codePoint.AsSpan(0, codePoint.Length - 1) : codePoint);
            int[] parts = new int[mapping.Length];
            for (int i = 0; i < parts.Length; i++)
            {
                parts[i] = Hex(mapping[i]);
            }

            Decompositions.Add(value, parts);
            if (!excluded && parts.Length == 2)
            {
                Compositions.Add((parts[0], parts[1]), value);
            }
        }
    }
}
