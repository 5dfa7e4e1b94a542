using System.Globalization;
using System.Text.Json.Nodes;
using MiniVlp.Data.Metrics;
using Spectre.Console;

namespace MiniVlp.Cli.Evaluation;

/// <summary>Results as tables and as JSON.</summary>
public static class EvaluationOutput
{
    public static JsonObject ToJson(RetrievalResult result) => new()
    {
        ["image_to_text"] = ToJson(result.ImageToText),
        ["text_to_image"] = ToJson(result.TextToImage),
    };

    /// <summary>The coarse search as ever, the fine one beside it.</summary>
    public static JsonObject ToJson(StagedRetrieval result)
    {
        JsonObject json = result.Coarse is { } coarse ? ToJson(coarse) : [];
        if (result.Fine is { } fine)
        {
            JsonObject part = ToJson(fine);
            part["candidates"] = result.Candidates;
            json["fine"] = part;
        }

        return json;
    }

    public static JsonObject ToJson(ZeroShotResult result) => new()
    {
        ["name"] = result.Name,
        ["pictures"] = result.Count,
        ["classes"] = new JsonArray([.. result.ClassNames.Select(name => (JsonNode?)JsonValue.Create(name))]),
        ["accuracy"] = result.Accuracy,
        ["accuracy_interval"] = ToJson(IntervalOf(result.Accuracy, result.Count)),
        ["accuracy_top5"] = result.Accuracy5,
        ["chance"] = result.Chance,
        ["confusion"] = new JsonArray([.. result.Confusion.Select(row => (JsonNode?)new JsonArray([.. row.Select(count => (JsonNode?)JsonValue.Create(count))]))]),
    };

    public static void Print(IAnsiConsole console, RetrievalResult result) => Print(console, new StagedRetrieval(result, null, 0));

    public static void Print(IAnsiConsole console, StagedRetrieval result)
    {
        Table table = new() { Border = TableBorder.Simple };
        table.AddColumn("retrieval");
        foreach (string name in (string[])["R@1", "R@5", "R@10", "median rank", "queries", "gallery"]) table.AddColumn(new TableColumn(name).RightAligned());
        foreach ((string direction, Func<RetrievalResult, Recall> of) in ((string, Func<RetrievalResult, Recall>)[])
            [("image to text", all => all.ImageToText), ("text to image", all => all.TextToImage)])
        {
            if (result.Coarse is { } coarse) AddRow(table, result.Fine is null ? direction : direction + ", coarse", of(coarse));
            if (result.Fine is { } fine) AddRow(table, string.Create(CultureInfo.InvariantCulture, $"{direction}, fine ({result.Candidates})"), of(fine));
            AddChance(table, of(result.Coarse ?? result.Fine!));
        }

        console.Write(table);
        console.WriteLine("In brackets the 95 % bootstrap interval over the queries.");
    }

    public static void Print(IAnsiConsole console, IReadOnlyList<ZeroShotResult> results)
    {
        Table table = new() { Border = TableBorder.Simple };
        table.AddColumn("zero-shot");
        foreach (string name in (string[])["accuracy", "95 % interval", "top 5", "chance", "classes", "pictures"]) table.AddColumn(new TableColumn(name).RightAligned());
        foreach (ZeroShotResult result in results)
            table.AddRow(Markup.Escape(result.Name), Percent(result.Accuracy), Show(IntervalOf(result.Accuracy, result.Count)), Percent(result.Accuracy5), Percent(result.Chance), Count(result.ClassNames.Count), Count(result.Count));
        console.Write(table);
    }

    public static JsonObject ToJson(TaskResult result)
    {
        JsonObject json = new() { ["task"] = result.Task, ["samples"] = result.Scores[0].Samples };
        JsonObject scores = [];
        foreach (TaskScore score in result.Scores)
        {
            scores[KeyOf(score.Name)] = new JsonObject
            {
                ["value"] = JsonNumber.Of(score.Value),
                ["low"] = JsonNumber.Of(score.Interval.Low),
                ["high"] = JsonNumber.Of(score.Interval.High),
                ["constant"] = JsonNumber.Of(score.Constant ?? double.NaN),
                ["chance"] = JsonNumber.Of(score.Chance ?? double.NaN),
                ["samples"] = score.Samples,
            };
        }

        json["scores"] = scores;
        if (result.Confusion is { } confusion)
        {
            int count = confusion.ClassNames.Count;
            json["classes"] = new JsonArray([.. confusion.ClassNames.Select(name => (JsonNode?)JsonValue.Create(name))]);
            json["confusion"] = new JsonArray([.. Enumerable.Range(0, count).Select(truth => (JsonNode?)new JsonArray([.. Enumerable.Range(0, count).Select(predicted => (JsonNode?)JsonValue.Create(confusion[truth, predicted]))]))]);
        }

        return json;
    }

    public static void Print(IAnsiConsole console, TaskResult result)
    {
        Table table = new() { Border = TableBorder.Simple };
        table.AddColumn(result.Task);
        foreach (string name in (string[])["value", "95 % interval", "constant", "chance", "samples"]) table.AddColumn(new TableColumn(name).RightAligned());
        foreach (TaskScore score in result.Scores)
        {
            string Show(double? value) => value is not { } number ? string.Empty : score.IsShare ? Percent(number) : number.ToString("0.000", CultureInfo.InvariantCulture);
            table.AddRow(Markup.Escape(score.Name), Show(score.Value), $"{Show(score.Interval.Low)} .. {Show(score.Interval.High)}", Show(score.Constant), Show(score.Chance), Count(score.Samples));
        }

        console.Write(table);
        if (result.Confusion is { } confusion) Print(console, confusion);
        foreach (string note in result.Notes ?? []) console.WriteLine(note);
    }

    /// <summary>A name as the key of a JSON field: letters and digits in lower case, all else one underscore.</summary>
    public static string KeyOf(string name)
        => string.Join('_', string.Concat(name.Select(c => char.IsAsciiLetterOrDigit(c) ? char.ToLowerInvariant(c) : ' ')).Split(' ', StringSplitOptions.RemoveEmptyEntries));

    private static void Print(IAnsiConsole console, ConfusionMatrix confusion)
    {
        Table table = new() { Border = TableBorder.Simple };
        table.AddColumn("true, answered");
        foreach (string name in confusion.ClassNames) table.AddColumn(new TableColumn(Markup.Escape(name)).RightAligned());
        for (int truth = 0; truth < confusion.ClassNames.Count; truth++)
            table.AddRow([Markup.Escape(confusion.ClassNames[truth]), .. Enumerable.Range(0, confusion.ClassNames.Count).Select(predicted => Count(confusion[truth, predicted]))]);
        console.Write(table);
    }

    /// <summary>The 95 % bootstrap interval of a share of samples; that of one sample where there is none.</summary>
    public static ConfidenceInterval IntervalOf(double share, int count)
    {
        int right = (int)Math.Round(share * count);
        return Bootstrap.OfMean([.. Enumerable.Range(0, Math.Max(1, count)).Select(i => i < right ? 1.0 : 0.0)]);
    }

    /// <summary>An interval of a share, in percent.</summary>
    public static string Show(ConfidenceInterval interval) => $"{Percent(interval.Low)} .. {Percent(interval.High)}";

    public static JsonObject ToJson(ConfidenceInterval interval) => new() { ["low"] = JsonNumber.Of(interval.Low), ["high"] = JsonNumber.Of(interval.High) };

    /// <summary>A share as a percentage with the digits that matter.</summary>
    public static string Percent(double share) => share.ToString(share < 0.01 ? "0.00 %" : "0.0 %", CultureInfo.InvariantCulture);

    private static void AddRow(Table table, string name, Recall recall)
    {
        (ConfidenceInterval r1, ConfidenceInterval r5, ConfidenceInterval r10) = recall.Intervals();
        table.AddRow(
            name, Show(recall.R1, r1), Show(recall.R5, r5), Show(recall.R10, r10), recall.MedianRank.ToString("0.#", CultureInfo.InvariantCulture), Count(recall.Queries), Count(recall.Gallery));
    }

    private static string Show(double share, ConfidenceInterval interval) => $"{Percent(share)} ({Show(interval)})";

    private static void AddChance(Table table, Recall recall)
        => table.AddRow("  chance", Percent(recall.Chance1), Percent(recall.Chance5), Percent(recall.Chance10), string.Empty, string.Empty, string.Empty);

    private static string Count(int value) => value.ToString("N0", CultureInfo.InvariantCulture);

    private static JsonObject ToJson(Recall recall)
    {
        (ConfidenceInterval r1, ConfidenceInterval r5, ConfidenceInterval r10) = recall.Intervals();
        return new JsonObject
        {
            ["queries"] = recall.Queries,
            ["gallery"] = recall.Gallery,
            ["r1"] = recall.R1,
            ["r5"] = recall.R5,
            ["r10"] = recall.R10,
            ["r1_interval"] = ToJson(r1),
            ["r5_interval"] = ToJson(r5),
            ["r10_interval"] = ToJson(r10),
            ["chance_r1"] = recall.Chance1,
            ["chance_r5"] = recall.Chance5,
            ["chance_r10"] = recall.Chance10,
            ["median_rank"] = JsonNumber.Of(recall.MedianRank),
        };
    }
}
