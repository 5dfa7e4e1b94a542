using System.Globalization;
using System.Text.Json;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Scenes;
using MiniVlp.Models;

namespace MiniVlp.Cli.Evaluation;

/// <summary>What tasks read from the metadata of a sample. Tables have text only: several answers are parted by |, numbers of a box by commas.</summary>
public static class SampleFields
{
    /// <summary>Names of the values of <see cref="EntailmentLabel"/>.</summary>
    public static IReadOnlyList<string> Labels { get; } = ["contradiction", "neutral", "entailment"];

    /// <summary>A text; null when the field is absent.</summary>
    /// <exception cref="ToolException">It is neither a text nor a number.</exception>
    public static string? Text(ImageTextSample sample, string field)
    {
        if (!TryGet(sample, field, out JsonElement value)) return null;
        return value.ValueKind switch
        {
            JsonValueKind.String => value.GetString()!.Trim(),
            JsonValueKind.Number => value.GetRawText(),
            _ => throw new ToolException($"{sample.Key}: the field '{field}' must be a text or a number."),
        };
    }

    /// <summary>The answers of all annotators: the list <c>answers</c>, or the text <c>answer</c>.</summary>
    /// <exception cref="ToolException">There is none.</exception>
    public static string[] Answers(ImageTextSample sample)
    {
        if (TryGet(sample, "answers", out JsonElement list) && list.ValueKind == JsonValueKind.Array)
        {
            string[] answers = [.. list.EnumerateArray().Where(answer => answer.ValueKind == JsonValueKind.String).Select(answer => answer.GetString()!)];
            if (answers.Length > 0 && answers.Length == list.GetArrayLength()) return answers;
            throw new ToolException($"{sample.Key}: the field 'answers' must be a list of texts, at least one.");
        }

        string? text = Text(sample, "answers") ?? Text(sample, "answer");
        return text is { Length: > 0 } ? text.Split('|', StringSplitOptions.TrimEntries) : throw new ToolException($"{sample.Key}: the data has no field 'answer' or 'answers'.");
    }

    /// <summary>The question: the field <c>question</c>, or the caption.</summary>
    /// <exception cref="ToolException">There is none.</exception>
    public static string Question(ImageTextSample sample)
    {
        string text = Text(sample, "question") ?? sample.Caption;
        return text.Length > 0 ? text : throw new ToolException($"{sample.Key}: the data has no question.");
    }

    /// <summary>What the text is to the picture: the field <c>label</c>, or <c>gold_label</c> as SNLI-VE has it.</summary>
    /// <exception cref="ToolException">There is none, or it is none of <see cref="Labels"/>.</exception>
    public static EntailmentLabel Label(ImageTextSample sample)
    {
        string text = Text(sample, "label") ?? Text(sample, "gold_label") ?? throw new ToolException($"{sample.Key}: the data has no field 'label'.");
        int label = Labels.ToList().FindIndex(name => name.Equals(text, StringComparison.OrdinalIgnoreCase));
        return label >= 0 ? (EntailmentLabel)label : throw new ToolException($"{sample.Key}: the label '{text}' is none of {string.Join(", ", Labels)}.");
    }

    /// <summary>The <c>box</c> that a text points at: left, top, right, bottom as shares of the picture's width and height.</summary>
    /// <exception cref="ToolException">There is none, or it is no box.</exception>
    public static SceneBox Box(ImageTextSample sample)
    {
        if (!TryGet(sample, "box", out JsonElement value)) throw new ToolException($"{sample.Key}: the data has no field 'box' with left, top, right and bottom.");
        return ToBox(sample, "box", value);
    }

    /// <summary>Boxes to choose from, the field <c>proposals</c>; none when it is absent.</summary>
    /// <exception cref="ToolException">One of them is no box.</exception>
    public static SceneBox[] Proposals(ImageTextSample sample)
    {
        if (!TryGet(sample, "proposals", out JsonElement list)) return [];
        if (list.ValueKind != JsonValueKind.Array) throw new ToolException($"{sample.Key}: the field 'proposals' must be a list of boxes.");
        return [.. list.EnumerateArray().Select(value => ToBox(sample, "proposals", value))];
    }

    private static SceneBox ToBox(ImageTextSample sample, string field, JsonElement value)
    {
        double[] edges = value.ValueKind switch
        {
            JsonValueKind.Array => [.. value.EnumerateArray().Select(edge => edge.ValueKind == JsonValueKind.Number ? edge.GetDouble() : double.NaN)],
            JsonValueKind.String => [.. value.GetString()!.Split(',').Select(edge => double.TryParse(edge, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) ? number : double.NaN)],
            _ => [],
        };
        return edges is [double left, double top, double right, double bottom] && left >= 0 && top >= 0 && left < right && top < bottom && right <= 1 && bottom <= 1
            ? new SceneBox(left, top, right, bottom)
            : throw new ToolException($"{sample.Key}: a box in '{field}' must be left < right and top < bottom as shares of the picture, 0 to 1, found {value.GetRawText()}.");
    }

    private static bool TryGet(ImageTextSample sample, string field, out JsonElement value)
    {
        value = default;
        return sample.Metadata is { ValueKind: JsonValueKind.Object } metadata && metadata.TryGetProperty(field, out value) && value.ValueKind != JsonValueKind.Null;
    }
}
