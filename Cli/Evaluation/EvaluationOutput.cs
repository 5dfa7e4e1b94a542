using System.Globalization;
using System.Text.Json.Nodes;
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

    public static JsonObject ToJson(ZeroShotResult result) => new()
    {
        ["name"] = result.Name,
        ["pictures"] = result.Count,
        ["classes"] = new JsonArray([.. result.ClassNames.Select(name => (JsonNode?)JsonValue.Create(name))]),
        ["accuracy"] = result.Accuracy,
        ["accuracy_top5"] = result.Accuracy5,
        ["chance"] = result.Chance,
        ["confusion"] = new JsonArray([.. result.Confusion.Select(row => (JsonNode?)new JsonArray([.. row.Select(count => (JsonNode?)JsonValue.Create(count))]))]),
    };

    public static void Print(IAnsiConsole console, RetrievalResult result)
    {
        Table table = new() { Border = TableBorder.Simple };
        table.AddColumn("retrieval");
        foreach (string name in (string[])["R@1", "R@5", "R@10", "median rank", "queries", "gallery"]) table.AddColumn(new TableColumn(name).RightAligned());
        AddRows(table, "image to text", result.ImageToText);
        AddRows(table, "text to image", result.TextToImage);
        console.Write(table);
    }

    public static void Print(IAnsiConsole console, IReadOnlyList<ZeroShotResult> results)
    {
        Table table = new() { Border = TableBorder.Simple };
        table.AddColumn("zero-shot");
        foreach (string name in (string[])["accuracy", "top 5", "chance", "classes", "pictures"]) table.AddColumn(new TableColumn(name).RightAligned());
        foreach (ZeroShotResult result in results)
            table.AddRow(Markup.Escape(result.Name), Percent(result.Accuracy), Percent(result.Accuracy5), Percent(result.Chance), Count(result.ClassNames.Count), Count(result.Count));
        console.Write(table);
    }

    /// <summary>A share as a percentage with the digits that matter.</summary>
    public static string Percent(double share) => share.ToString(share < 0.01 ? "0.00 %" : "0.0 %", CultureInfo.InvariantCulture);

    private static void AddRows(Table table, string name, Recall recall)
    {
        table.AddRow(name, Percent(recall.R1), Percent(recall.R5), Percent(recall.R10), recall.MedianRank.ToString("0.#", CultureInfo.InvariantCulture), Count(recall.Queries), Count(recall.Gallery));
        table.AddRow("  chance", Percent(recall.Chance1), Percent(recall.Chance5), Percent(recall.Chance10), string.Empty, string.Empty, string.Empty);
    }

    private static string Count(int value) => value.ToString("N0", CultureInfo.InvariantCulture);

    private static JsonObject ToJson(Recall recall) => new()
    {
        ["queries"] = recall.Queries,
        ["gallery"] = recall.Gallery,
        ["r1"] = recall.R1,
        ["r5"] = recall.R5,
        ["r10"] = recall.R10,
        ["chance_r1"] = recall.Chance1,
        ["chance_r5"] = recall.Chance5,
        ["chance_r10"] = recall.Chance10,
        ["median_rank"] = JsonNumber.Of(recall.MedianRank),
    };
}
