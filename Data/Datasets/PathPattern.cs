using System.Globalization;

namespace MiniVlp.Data.Datasets;

/// <summary>Paths behind a pattern: braces as in WebDataset (<c>train-{000000..000003}.tar</c>, <c>{train,extra}.tar</c>), <c>*</c> and <c>?</c> in the file name.</summary>
internal static class PathPattern
{
    private const int PathLimit = 100_000;

    public static IReadOnlyList<string> Expand(string pattern)
    {
        List<string> paths = [];
        foreach (string path in ExpandBraces(pattern))
        {
            paths.AddRange(path.AsSpan().IndexOfAny('*', '?') >= 0 ? Glob(path) : [path]);
            if (paths.Count > PathLimit)
            {
                throw new ArgumentException($"The pattern '{pattern}' stands for more than {PathLimit} paths.", nameof(pattern));
            }
        }

        return paths;
    }

    private static IEnumerable<string> Glob(string path)
    {
        string folder = Path.GetDirectoryName(path) is { Length: > 0 } parent ? parent : ".";
        string name = Path.GetFileName(path);
        if (folder.AsSpan().IndexOfAny('*', '?') >= 0)
        {
            throw new ArgumentException($"The pattern '{path}' has a wildcard in its folder; only the file name may have one.", nameof(path));
        }

        if (!Directory.Exists(folder))
        {
            throw new DirectoryNotFoundException($"The pattern '{path}': there is no folder '{folder}'.");
        }

        List<string> found = [.. Directory.EnumerateFiles(folder, name).Order(StringComparer.Ordinal)];
        return found.Count > 0 ? found : throw new FileNotFoundException($"The pattern '{path}' matches no file.", path);
    }

    private static IEnumerable<string> ExpandBraces(string pattern)
    {
        int open = pattern.IndexOf('{', StringComparison.Ordinal);
        int close = open < 0 ? -1 : pattern.IndexOf('}', open);
        if (close < 0)
        {
            return [pattern];
        }

        string before = pattern[..open];
        IEnumerable<string> choices = Choices(pattern[(open + 1)..close]);
        return choices.SelectMany(choice => ExpandBraces(pattern[(close + 1)..]).Select(rest => before + choice + rest)).Take(PathLimit + 1);
    }

    private static IEnumerable<string> Choices(string inside)
    {
        string[] range = inside.Split("..");
        if (range.Length == 2
            && int.TryParse(range[0], NumberStyles.None, CultureInfo.InvariantCulture, out int first)
            && int.TryParse(range[1], NumberStyles.None, CultureInfo.InvariantCulture, out int last) && first <= last)
        {
            string format = $"D{range[0].Length}";
            return Enumerable.Range(0, (int)Math.Min(PathLimit + 1L, last - (long)first + 1))
                .Select(offset => (first + offset).ToString(format, CultureInfo.InvariantCulture));
        }

        return inside.Split(',');
    }
}
