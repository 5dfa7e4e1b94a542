using System.Net;
using MiniVlp.Data.Images;

namespace MiniVlp.Cli.Reports;

/// <summary>What the tool's web pages have in common: one file with everything in it, no script, no other file, no network.</summary>
internal static class ReportPage
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

    /// <summary>A whole page around its content.</summary>
    /// <param name="title">Title of the window.</param>
    /// <param name="content">HTML.</param>
    /// <param name="style">Further styles.</param>
    public static string Render(string title, string content, string style = "")
        => "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
            + $"<title>{Text(title)}</title><style>{Style}\n{style}</style></head><body><main>{content}</main></body></html>\n";

    /// <summary>A picture inside of the page.</summary>
    public static string Picture(RgbImage image, string description)
        => $"<img src=\"data:image/png;base64,{Convert.ToBase64String(PngWriter.Encode(image))}\" alt=\"{Text(description)}\" title=\"{Text(description)}\">";

    /// <summary>Text as HTML.</summary>
    public static string Text(string text) => WebUtility.HtmlEncode(text);
}
