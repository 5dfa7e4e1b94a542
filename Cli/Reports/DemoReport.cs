using System.Globalization;
using System.Text;
using MiniVlp.Cli.Demo;
using MiniVlp.Cli.Evaluation;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Reports;

/// <summary>The demo's findings as one web page with everything in it: no script, no other file, no network.</summary>
public static class DemoReport
{
    /// <summary>Writes the page; the file appears whole or not at all.</summary>
    public static void Save(string path, DemoResult result) => AtomicFile.WriteAllText(path, Render(result));

    /// <summary>The page as text.</summary>
    public static string Render(DemoResult result)
    {
        StringBuilder html = new();
        AppendHead(html, result);
        AppendSection(html, "Loss", "Symmetric contrastive loss of each training batch, and its running mean.", LossCurveSvg.Draw(result.History, Math.Log(result.BatchSize)));
        AppendSection(html, "Retrieval", "Scenes that were never trained on; chance is what a random order would give.", RetrievalTable(result.Retrieval));
        AppendSection(html, "A text looks for its picture", "The nearest pictures for each text, best first; the one that the text was written for is framed.", TextQueries(result.TextQueries));
        AppendSection(html, "A picture looks for its text", "The nearest captions for each picture; its own is set off.", PictureQueries(result.PictureQueries));
        AppendSection(html, "Zero-shot classification", "Single objects, classified by the nearest mean of prompts. Rows are true classes, columns predicted ones.", ZeroShot(result.ZeroShot));
        AppendSection(html, "Where the image tower looks", "Attention of the class token in the last block, mean over the heads: dark is little, yellow is much.", Attention(result.Attention));
        return ReportPage.Render("MiniVlp demo", html.ToString());
    }

    private static void AppendHead(StringBuilder html, DemoResult result)
    {
        double samples = (double)result.Training.Steps * result.BatchSize;
        html.Append("<h1>A CLIP trained from scratch</h1>");
        html.Append(CultureInfo.InvariantCulture,
            $"<p>{result.Parameters:N0} parameters, {result.Training.Steps:N0} steps of {result.BatchSize} pairs in {result.Training.Seconds:0} s on {ReportPage.Text(result.Device)} ({samples / result.Training.Seconds:N0} pairs/s); the whole demo took {result.Elapsed.TotalSeconds:0} s.</p>");
        html.Append("<div class=\"cards\">");
        AppendCard(html, result.Retrieval.TextToImage.R1, $"text to image R@1, {Times(result.Retrieval.TextToImage)} chance");
        AppendCard(html, result.Retrieval.ImageToText.R1, $"image to text R@1, {Times(result.Retrieval.ImageToText)} chance");
        foreach (ZeroShotResult task in result.ZeroShot) AppendCard(html, task.Accuracy, $"zero-shot {task.Name}, chance {EvaluationOutput.Percent(task.Chance)}");
        html.Append("</div>");
    }

    private static void AppendCard(StringBuilder html, double share, string label) => html.Append(CultureInfo.InvariantCulture, $"<div class=\"card\"><b>{EvaluationOutput.Percent(share)}</b><span>{ReportPage.Text(label)}</span></div>");

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
            html.Append(CultureInfo.InvariantCulture, $"<div class=\"query\"><div class=\"text\">{ReportPage.Text(query.Text)}</div><div class=\"row\">");
            foreach (FoundPicture found in query.Pictures)
                html.Append(CultureInfo.InvariantCulture, $"<figure{(found.IsRight ? " class=\"right\"" : string.Empty)}>{ReportPage.Picture(found.Image, found.Caption)}<figcaption>{found.Score:0.00}</figcaption></figure>");
            html.Append("</div></div>");
        }

        return html.ToString();
    }

    private static string PictureQueries(IReadOnlyList<PictureQuery> queries)
    {
        StringBuilder html = new();
        foreach (PictureQuery query in queries)
        {
            html.Append(CultureInfo.InvariantCulture, $"<div class=\"query\"><figure>{ReportPage.Picture(query.Image, "query")}</figure><ol>");
            foreach (FoundText found in query.Texts)
                html.Append(CultureInfo.InvariantCulture, $"<li value=\"{found.Rank}\"{(found.IsRight ? " class=\"right\"" : string.Empty)}>{ReportPage.Text(found.Text)} <span>{found.Score:0.00}</span></li>");
            html.Append("</ol></div>");
        }

        return html.ToString();
    }

    private static string ZeroShot(IReadOnlyList<ZeroShotResult> tasks)
    {
        StringBuilder html = new("<div class=\"pairs\">");
        foreach (ZeroShotResult task in tasks)
        {
            html.Append(CultureInfo.InvariantCulture, $"<div><b>{ReportPage.Text(task.Name)}: {EvaluationOutput.Percent(task.Accuracy)}</b> of {task.Count}, chance {EvaluationOutput.Percent(task.Chance)}<table class=\"confusion\"><tr><th></th>");
            foreach (string name in task.ClassNames) html.Append(CultureInfo.InvariantCulture, $"<th><div class=\"column\">{ReportPage.Text(name)}</div></th>");
            html.Append("</tr>");
            for (int row = 0; row < task.Confusion.Length; row++)
            {
                int total = Math.Max(1, task.Confusion[row].Sum());
                html.Append(CultureInfo.InvariantCulture, $"<tr><th>{ReportPage.Text(task.ClassNames[row])}</th>");
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
            html.Append(CultureInfo.InvariantCulture, $"<div class=\"map\">{ReportPage.Picture(picture.Image, picture.Caption)} {ReportPage.Picture(picture.Overlay, "attention")}<div>{ReportPage.Text(picture.Caption)}</div></div>");
        return html.Append("</div>").ToString();
    }

    private static string Times(Recall recall) => string.Create(CultureInfo.InvariantCulture, $"{recall.R1 / recall.Chance1:0} times");
}
