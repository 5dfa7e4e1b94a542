using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Numerics;

namespace MiniVlp.Cli.Commands;

/// <summary>Options for numbers within bounds; a violation is a mistake in usage, exit code 2.</summary>
public static class OptionRules
{
    /// <summary>An option for a number within bounds, both included.</summary>
    public static Option<T> Number<T>(string name, string description, T minimum, T maximum, T defaultValue, string? helpName = null)
        where T : struct, INumber<T> => new(name)
        {
            Description = description,
            HelpName = helpName ?? "N",
            DefaultValueFactory = _ => defaultValue,
            CustomParser = result => Parse(result, name, minimum, maximum) ?? defaultValue,
        };

    /// <summary>An option for a number within bounds that may be left out.</summary>
    public static Option<T?> OptionalNumber<T>(string name, string description, T minimum, T maximum, string? helpName = null)
        where T : struct, INumber<T> => new(name)
        {
            Description = description,
            HelpName = helpName ?? "N",
            CustomParser = result => Parse(result, name, minimum, maximum),
        };

    /// <summary>Values that were listed, or the lines of the one file that was named; null when nothing was given.</summary>
    /// <exception cref="ToolException">The file is empty.</exception>
    public static string[]? ListOrFile(string[]? values)
    {
        if (values is not { Length: > 0 }) return null;
        if (values is not [string only] || !File.Exists(only)) return values;
        string[] lines = [.. File.ReadLines(only).Select(line => line.Trim()).Where(line => line.Length > 0)];
        return lines.Length > 0 ? lines : throw new ToolException(string.Create(CultureInfo.InvariantCulture, $"{only}: the file holds no line."));
    }

    private static T? Parse<T>(ArgumentResult result, string name, T minimum, T maximum)
        where T : struct, INumber<T>
    {
        string text = result.Tokens.Count == 0 ? string.Empty : result.Tokens[^1].Value;
        if (T.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out T value) && value >= minimum && value <= maximum) return value;
        string kind = T.IsInteger(maximum) && T.IsZero(T.CreateTruncating(0.5)) ? "a whole number" : "a number";
        result.AddError(string.Create(CultureInfo.InvariantCulture, $"{name} must be {kind} from {minimum} to {maximum}, found '{text}'."));
        return null;
    }
}
