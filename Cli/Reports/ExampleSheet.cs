using System.Globalization;
using System.Text;
using MiniVlp.Cli.Demo;
using MiniVlp.Cli.Evaluation;
using MiniVlp.Data.Images;
using MiniVlp.Data.Scenes;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Reports;

/// <summary>Examples of a task as one web page with everything in it: pictures, what was asked, what was said, what is right, and the figures.</summary>
public static class ExampleSheet
{
    /// <summary>Pictures are shown at least this large.</summary>
    private const int ShownSize = 160;

    private const int MostColumns = 6;

    private const string Style = """
        .sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(176px, 1fr)); gap: 16px; } .sheet img { width: 160px; border-radius: 6px; display: block; }
        .sheet div { font-size: 13px; overflow-wrap: anywhere; } .sheet .asked { font-weight: 600; } .sheet .good { color: var(--good); } .sheet .bad { color: var(--bad); } .sheet .expected { color: var(--soft); }
        """;

    /// <summary>Refuses names of other kinds of files before anything is computed.</summary>
    /// <exception cref="ToolException">The name ends in neither .html nor .png.</exception>
    public static void CheckName(string path)
    {
        if (Path.GetExtension(path).ToUpperInvariant() is not (".HTML" or ".PNG")) throw new ToolException($"--sheet {path}: the sheet is a web page or a picture; its name must end in .html or .png.");
    }

    /// <summary>Writes the page, or the examples as one picture, by the end of the name; the file appears whole or not at all.</summary>
    public static void Save(string path, TaskResult result, string model)
    {
        CheckName(path);
        if (Path.GetDirectoryName(Path.GetFullPath(path)) is { } folder) Directory.CreateDirectory(folder);
        if (Path.GetExtension(path).Equals(".png", StringComparison.OrdinalIgnoreCase)) AtomicFile.WriteAllBytes(path, ExamplePicture.Encode(result.Examples, result.Columns ?? MostColumns));
        else AtomicFile.WriteAllText(path, Render(result, model));
    }

    /// <summary>The page as text.</summary>
    public static string Render(TaskResult result, string model)
    {
        StringBuilder html = new();
        html.Append(CultureInfo.InvariantCulture, $"<h1>{ReportPage.Text(result.Task)}</h1><p>{ReportPage.Text(model)}</p><section>{Figures(result)}</section>");
        foreach (string note in result.Notes ?? []) html.Append(CultureInfo.InvariantCulture, $"<p>{ReportPage.Text(note)}</p>");
        html.Append("<h2>Examples</h2><p>The first of the data, not chosen.</p><section>");
        html.Append(result.Columns is { } columns ? string.Create(CultureInfo.InvariantCulture, $"<div class=\"sheet\" style=\"grid-template-columns: repeat({columns}, 176px)\">") : "<div class=\"sheet\">");
        foreach (TaskExample example in result.Examples) AppendExample(html, example);
        html.Append("</div></section>");
        return ReportPage.Render($"MiniVlp {result.Task}", html.ToString(), Style);
    }

    private static string Figures(TaskResult result)
    {
        StringBuilder html = new("<table><tr><th></th><th>value</th><th>95 % interval</th><th>constant</th><th>chance</th></tr>");
        foreach (TaskScore score in result.Scores)
        {
            string Show(double? value) => value is not { } number ? string.Empty : score.IsShare ? EvaluationOutput.Percent(number) : number.ToString("0.000", CultureInfo.InvariantCulture);
            html.Append(CultureInfo.InvariantCulture, $"<tr><td>{ReportPage.Text(score.Name)}</td><td>{Show(score.Value)}</td><td>{Show(score.Interval.Low)} .. {Show(score.Interval.High)}</td><td>{Show(score.Constant)}</td><td>{Show(score.Chance)}</td></tr>");
        }

        return html.Append("</table>").ToString();
    }

    private static void AppendExample(StringBuilder html, TaskExample example)
    {
        html.Append(CultureInfo.InvariantCulture, $"<div>{ReportPage.Picture(Draw(example), example.Text)}");
        if (example.Text.Length > 0) html.Append(CultureInfo.InvariantCulture, $"<div class=\"asked\">{ReportPage.Text(example.Text)}</div>");
        html.Append(CultureInfo.InvariantCulture, $"<div class=\"{(example.IsRight ? "good" : "bad")}\">{ReportPage.Text(AnswerOf(example))}</div>");
        if (example.Expected.Length > 0) html.Append(CultureInfo.InvariantCulture, $"<div class=\"expected\">{ReportPage.Text(example.Expected)}</div>");
        html.Append("</div>");
    }

    /// <summary>The picture, large enough to be looked at, with the heat map over it and a frame around the right place.</summary>
    public static RgbImage Draw(TaskExample example)
    {
        RgbImage image = Enlarged(example.Image);
        if (example.Map is { } map) image = AttentionMap.Overlay(image, map.Values, map.Rows, map.Columns);
        if (example.Box is { } box) Frame(image, box);
        return image;
    }

    /// <summary>What the model said, in words.</summary>
    public static string AnswerOf(TaskExample example)
        => example.Answer.Length > 0 ? example.Answer : example.Map is null ? "(nothing)" : example.IsRight ? "points at it" : "points elsewhere";

    /// <summary>A copy, each pixel repeated until the picture is large enough to be looked at.</summary>
    private static RgbImage Enlarged(RgbImage image)
    {
        int factor = Math.Max(1, (ShownSize + Math.Max(image.Width, image.Height) - 1) / Math.Max(image.Width, image.Height));
        RgbImage large = new(image.Width * factor, image.Height * factor);
        for (int y = 0; y < large.Height; y++)
            for (int x = 0; x < large.Width; x++) large[x, y] = image[x / factor, y / factor];
        return large;
    }

    private static void Frame(RgbImage image, SceneBox box)
    {
        (byte Red, byte Green, byte Blue) color = (255, 255, 255);
        int Column(double x) => Math.Clamp((int)Math.Round(x * image.Width), 0, image.Width - 1);
        int Row(double y) => Math.Clamp((int)Math.Round(y * image.Height), 0, image.Height - 1);
        (int left, int right, int top, int bottom) = (Column(box.Left), Column(box.Right), Row(box.Top), Row(box.Bottom));
        for (int x = left; x <= right; x++) image[x, top] = image[x, bottom] = color;
        for (int y = top; y <= bottom; y++) image[left, y] = image[right, y] = color;
    }
}
