using System.Globalization;
using System.Text.Json;

namespace MiniVlp.Cli.Evaluation;

/// <summary>Finds the class of each sample in what the data says about it.</summary>
public static class SampleLabels
{
    /// <summary>The label of a sample as text: a field of its metadata, or its caption when no field is named.</summary>
    /// <exception cref="ToolException">The field is absent or neither text nor number.</exception>
    public static string TextOf(EmbeddedSample sample, string? field)
    {
        if (field is null) return sample.Caption.Trim();
        if (sample.Metadata is { ValueKind: JsonValueKind.Object } metadata && metadata.TryGetProperty(field, out JsonElement value))
        {
            if (value.ValueKind == JsonValueKind.String) return value.GetString()!.Trim();
            if (value.ValueKind == JsonValueKind.Number) return value.GetRawText();
        }

        throw new ToolException($"{sample.Key}: the data has no field '{field}' with a text or a number; see --label-field.");
    }

    /// <summary>Class names and the class of each sample.</summary>
    /// <param name="samples">The samples.</param>
    /// <param name="field">Field of the metadata that holds the label; null takes the caption.</param>
    /// <param name="classes">The class names in the order of numeric labels; null takes the distinct labels.</param>
    /// <exception cref="ToolException">A sample's label is no class, or there are fewer than two classes.</exception>
    public static (IReadOnlyList<string> ClassNames, IReadOnlyList<int> Labels) Find(IReadOnlyList<EmbeddedSample> samples, string? field, IReadOnlyList<string>? classes)
    {
        string[] texts = [.. samples.Select(sample => TextOf(sample, field))];
        string[] names = classes is null ? [.. texts.Distinct(StringComparer.OrdinalIgnoreCase).Order(StringComparer.Ordinal)] : [.. classes];
        if (names.Length < 2) throw new ToolException($"Zero-shot classification needs at least two classes, found {names.Length}.");
        Dictionary<string, int> index = new(StringComparer.OrdinalIgnoreCase);
        for (int i = 0; i < names.Length; i++)
            if (!index.TryAdd(names[i], i)) throw new ToolException($"--classes: '{names[i]}' is listed twice.");
        int[] labels = new int[texts.Length];
        for (int i = 0; i < labels.Length; i++) labels[i] = LabelOf(samples[i].Key, texts[i], names, index, isCaption: field is null);
        return (names, labels);
    }

    private static int LabelOf(string key, string text, string[] names, Dictionary<string, int> index, bool isCaption)
    {
        if (index.TryGetValue(text, out int label)) return label;
        if (!isCaption && int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number >= 0 && number < names.Length) return number;
        int[] mentioned = isCaption ? [.. Enumerable.Range(0, names.Length).Where(i => Mentions(text, names[i]))] : [];
        return mentioned.Length == 1
            ? mentioned[0]
            : throw new ToolException($"{key}: the label '{text}' {(mentioned.Length == 0 ? "is none of the classes" : $"mentions {mentioned.Length} of the classes")}; see --classes and --label-field.");
    }

    private static bool Mentions(string caption, string name)
    {
        for (int at = caption.IndexOf(name, StringComparison.OrdinalIgnoreCase); at >= 0; at = caption.IndexOf(name, at + 1, StringComparison.OrdinalIgnoreCase))
        {
            bool startsWord = at == 0 || !char.IsLetterOrDigit(caption[at - 1]);
            bool endsWord = at + name.Length == caption.Length || !char.IsLetterOrDigit(caption[at + name.Length]);
            if (startsWord && endsWord) return true;
        }

        return false;
    }
}
