using System.Globalization;
using System.Net;
using System.Text;
using MiniVlp.Cli.Demo;
using MiniVlp.Cli.Evaluation;
using MiniVlp.Data.Images;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Reports;

/// <summary>The demo's findings as one web page with everything in it: no script, no other file, no network.</summary>
public static class DemoReport
{
    private const string Style = """
        :root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --page: #f5f6f8; --card: #ffffff; --line: #dfe3e8; --accent: #2856a3; --good: #1d8a4e; --bad: #b0643c; --raw: #b9c7e4; }
        @media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --soft: #9aa5b4; --page: #14181e; --card: #1d232b; --line: #323a45; --accent: #86aaf0; --good: #5cc98b; --bad: #dd9a70; --raw: #40557f; } }
        body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", Roboto, sans-serif; }
        main { max-width: 940px; margin: 0 auto; padding: 32px 20px 64px; }
        h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 36px 0 4px; } p { margin: 4px 0 14px; color: var(--soft); }
        section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 18px; overflow-x: auto; }
        .cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 12px; margin-top: 20px; }
        .card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px; }
        .card b { display: block; font-size: 26px; line-height: 1.2; } .card span { color: var(--soft); font-size: 13px; }
        table { border-collapse: collapse; } th, td { padding: 5px 14px 5px 0; text-align: right; white-space: nowrap; } th:first-child, td:first-child { text-align: left; }
        th { color: var(--soft); font-weight: 500; border-bottom: 1px solid var(--line); } tr.chance td { color: var(--soft); font-size: 13px; }
        svg { width: 100%; height: auto; display: block; } svg text { fill: var(--soft); font-size: 12px; } .grid { stroke: var(--line); }
        polyline { fill: none; } .raw { stroke: var(--raw); stroke-width: 1; } .mean { stroke: var(--accent); stroke-width: 2.5; } .chance { stroke: var(--bad); stroke-dasharray: 5 4; } svg .chance-label { fill: var(--bad); }
        .query { display: flex; gap: 14px; align-items: center; padding: 8px 0; border-bottom: 1px solid var(--line); } .query:last-child { border-bottom: 0; }
        .query > .text { flex: 0 0 210px; font-weight: 600; } .row { display: flex; gap: 10px; flex-wrap: wrap; }
        figure { margin: 0; width: 84px; } figure img { width: 80px; height: 80px; border-radius: 6px; border: 2px solid var(--line); image-rendering: auto; display: block; }
        figure.right img { border-color: var(--good); box-shadow: 0 0 0 2px var(--good); } figcaption { font-size: 11px; color: var(--soft); text-align: center; margin-top: 3px; }
        ol { margin: 0; padding-left: 22px; } li.right { color: var(--good); font-weight: 600; } li span { color: var(--soft); font-weight: 400; font-size: 13px; }
        .maps { display: grid; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); gap: 16px; } .map img { width: 96px; height: 96px; border-radius: 6px; } .map div { font-size: 13px; color: var(--soft); }
        .pairs { display: flex; gap: 28px; flex-wrap: wrap; } .confusion td, .confusion th { padding: 0; width: 34px; height: 26px; text-align: center; font-size: 12px; border: 1px solid var(--card); }
        .confusion th { border-bottom: 0; } .confusion th:first-child { text-align: right; padding-right: 8px; width: auto; } .confusion .column { writing-mode: vertical-rl; transform: rotate(180deg); height: 64px; padding-top: 4px; text-align: left; }
        """;

    /// <summary>Writes the page; the file appears whole or not at all.</summary>
    public static void Save(string path, DemoResult result) => AtomicFile.WriteAllText(path, Render(result));

    /// <summary>The page as text.</summary>
    public static string Render(DemoResult result)
    {
        StringBuilder html = new("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
        html.Append("<title>MiniVlp demo</title><style>").Append(Style).Append("</style></head><body><main>");
        AppendHead(html, result);
        AppendSection(html, "Loss", "Symmetric contrastive loss of each training batch, and its running mean.", LossCurveSvg.Draw(result.History, Math.Log(result.BatchSize)));
        AppendSection(html, "Retrieval", "Scenes that were never trained on; chance is what a random order would give.", RetrievalTable(result.Retrieval));
        AppendSection(html, "A text looks for its picture", "The nearest pictures for each text, best first; the one that the text was written for is framed.", TextQueries(result.TextQueries));
        AppendSection(html, "A picture looks for its text", "The nearest captions for each picture; its own is set off.", PictureQueries(result.PictureQueries));
        AppendSection(html, "Zero-shot classification", "Single objects, classified by the nearest mean of prompts. Rows are true classes, columns predicted ones.", ZeroShot(result.ZeroShot));
        AppendSection(html, "Where the image tower looks", "Attention of the class token in the last block, mean over the heads: dark is little, yellow is much.", Attention(result.Attention));
        return html.Append("</main></body></html>\n").ToString();
    }

    private static void AppendHead(StringBuilder html, DemoResult result)
    {
        double samples = (double)result.Training.Steps * result.BatchSize;
        html.Append("<h1>A CLIP trained from scratch</h1>");
        html.Append(CultureInfo.InvariantCulture,
            $"<p>{result.Parameters:N0} parameters, {result.Training.Steps:N0} steps of {result.BatchSize} pairs in {result.Training.Seconds:0} s on {Text(result.Device)} ({samples / result.Training.Seconds:N0} pairs/s); the whole demo took {result.Elapsed.TotalSeconds:0} s.</p>");
        html.Append("<div class=\"cards\">");
        AppendCard(html, result.Retrieval.TextToImage.R1, $"text to image R@1, {Times(result.Retrieval.TextToImage)} chance");
        AppendCard(html, result.Retrieval.ImageToText.R1, $"image to text R@1, {Times(result.Retrieval.ImageToText)} chance");
        foreach (ZeroShotResult task in result.ZeroShot) AppendCard(html, task.Accuracy, $"zero-shot {task.Name}, chance {EvaluationOutput.Percent(task.Chance)}");
        html.Append("</div>");
    }

    private static void AppendCard(StringBuilder html, double share, string label) => html.Append(CultureInfo.InvariantCulture, $"<div class=\"card\"><b>{EvaluationOutput.Percent(share)}</b><span>{Text(label)}</span></div>");

    private static void AppendSection(StringBuilder html, string title, string explanation, string content)
        => html.Append(CultureInfo.InvariantCulture, $"<h2>{title}</h2><p>{explanation}</p><section>{content}</section>");

    private static string RetrievalTable(RetrievalResult result)
    {
        StringBuilder html = new("<table><tr><th></th><th>R@1</th><th>R@5</th><th>R@10</th><th>median rank</th><th>gallery</th></tr>");
        foreach ((string name, Recall recall) in new[] { ("text to image", result.TextToImage), ("image to text", result.ImageToText) })
        {
            html.Append(CultureInfo.InvariantCulture, $"<tr><td>{name}</td><td>{EvaluationOutput.Percent(recall.R1)}</td><td>{EvaluationOutput.Percent(recall.R5)}</td><td>{EvaluationOutput.Percent(recall.R10)}</td><td>{recall.MedianRank:0.#}</td><td>{recall.Gallery}</td></tr>");
            html.Append(CultureInfo.InvariantCulture, $"<tr class=\"chance\"><td>chance</td><td>{EvaluationOutput.Percent(recall.Chance1)}</td><td>{EvaluationOutput.Percent(recall.Chance5)}</td><td>{EvaluationOutput.Percent(recall.Chance10)}</td><td>{(recall.Gallery + 1) / 2.0:0.#}</td><td></td></tr>");
        }

        return html.Append("</table>").ToString();
    }

    private static string TextQueries(IReadOnlyList<TextQuery> queries)
    {
        StringBuilder html = new();
        foreach (TextQuery query in queries)
        {
            html.Append(CultureInfo.InvariantCulture, $"<div class=\"query\"><div class=\"text\">{Text(query.Text)}</div><div class=\"row\">");
            foreach (FoundPicture found in query.Pictures)
                html.Append(CultureInfo.InvariantCulture, $"<figure{(found.IsRight ? " class=\"right\"" : string.Empty)}>{Picture(found.Image, found.Caption)}<figcaption>{found.Score:0.00}</figcaption></figure>");
            html.Append("</div></div>");
        }

        return html.ToString();
    }

    private static string PictureQueries(IReadOnlyList<PictureQuery> queries)
    {
        StringBuilder html = new();
        foreach (PictureQuery query in queries)
        {
            html.Append(CultureInfo.InvariantCulture, $"<div class=\"query\"><figure>{Picture(query.Image, "query")}</figure><ol>");
            foreach (FoundText found in query.Texts)
                html.Append(CultureInfo.InvariantCulture, $"<li value=\"{found.Rank}\"{(found.IsRight ? " class=\"right\"" : string.Empty)}>{Text(found.Text)} <span>{found.Score:0.00}</span></li>");
            html.Append("</ol></div>");
        }

        return html.ToString();
    }

    private static string ZeroShot(IReadOnlyList<ZeroShotResult> tasks)
    {
        StringBuilder html = new("<div class=\"pairs\">");
        foreach (ZeroShotResult task in tasks)
        {
            html.Append(CultureInfo.InvariantCulture, $"<div><b>{Text(task.Name)}: {EvaluationOutput.Percent(task.Accuracy)}</b> of {task.Count}, chance {EvaluationOutput.Percent(task.Chance)}<table class=\"confusion\"><tr><th></th>");
            foreach (string name in task.ClassNames) html.Append(CultureInfo.InvariantCulture, $"<th><div class=\"column\">{Text(name)}</div></th>");
            html.Append("</tr>");
            for (int row = 0; row < task.Confusion.Length; row++)
            {
                int total = Math.Max(1, task.Confusion[row].Sum());
                html.Append(CultureInfo.InvariantCulture, $"<tr><th>{Text(task.ClassNames[row])}</th>");
                for (int column = 0; column < task.Confusion.Length; column++)
                {
                    int count = task.Confusion[row][column];
                    string color = row == column ? "29, 138, 78" : "176, 100, 60";
                    html.Append(CultureInfo.InvariantCulture, $"<td style=\"background: rgba({color}, {0.75 * count / total:0.##})\">{(count == 0 ? string.Empty : count)}</td>");
                }

                html.Append("</tr>");
            }

            html.Append("</table></div>");
        }

        return html.Append("</div>").ToString();
    }

    private static string Attention(IReadOnlyList<AttentionPicture> pictures)
    {
        StringBuilder html = new("<div class=\"maps\">");
        foreach (AttentionPicture picture in pictures)
            html.Append(CultureInfo.InvariantCulture, $"<div class=\"map\">{Picture(picture.Image, picture.Caption)} {Picture(picture.Overlay, "attention")}<div>{Text(picture.Caption)}</div></div>");
        return html.Append("</div>").ToString();
    }

    private static string Picture(RgbImage image, string description)
        => $"<img src=\"data:image/png;base64,{Convert.ToBase64String(PngWriter.Encode(image))}\" alt=\"{Text(description)}\" title=\"{Text(description)}\">";

    private static string Times(Recall recall) => string.Create(CultureInfo.InvariantCulture, $"{recall.R1 / recall.Chance1:0} times");

    private static string Text(string text) => WebUtility.HtmlEncode(text);
}
