using System.Globalization;
using System.Text;
using MiniVlp.Cli.Training;

namespace MiniVlp.Cli.Reports;

/// <summary>The loss over the steps as an SVG drawing, in the colours of the page around it.</summary>
public static class LossCurveSvg
{
    private const double Width = 860, Height = 300, Left = 48, Right = 12, Top = 12, Bottom = 40;

    /// <summary>Most points drawn; a longer history is thinned.</summary>
    private const int MostPoints = 800;

    /// <param name="rows">The history; at least one row.</param>
    /// <param name="chance">The loss of guessing, drawn as a line.</param>
    public static string Draw(IReadOnlyList<TrainingMetrics> rows, double chance)
    {
        double[] mean = LossChart.RunningMean(rows);
        double highest = Math.Max(chance, rows.Max(row => (double)row.Loss)) * 1.05;
        int last = Math.Max(1, rows[^1].Step);
        double X(double step) => Left + ((Width - Left - Right) * step / last);
        double Y(double loss) => Height - Bottom - ((Height - Top - Bottom) * Math.Clamp(loss / highest, 0, 1));

        StringBuilder svg = new();
        svg.Append(CultureInfo.InvariantCulture, $"<svg viewBox=\"0 0 {Width} {Height}\" role=\"img\" aria-label=\"loss over steps\">");
        foreach (double tick in Ticks(highest))
        {
            svg.Append(CultureInfo.InvariantCulture, $"<line class=\"grid\" x1=\"{Left}\" x2=\"{Width - Right}\" y1=\"{Y(tick):0.#}\" y2=\"{Y(tick):0.#}\"/>");
            svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{Left - 8}\" y=\"{Y(tick) + 4:0.#}\" text-anchor=\"end\">{tick:0.##}</text>");
        }

        foreach (double tick in Ticks(last))
            svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{X(tick):0.#}\" y=\"{Height - Bottom + 18}\" text-anchor=\"middle\">{tick:0}</text>");
        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{Width - Right}\" y=\"{Height - 4}\" text-anchor=\"end\">step</text>");
        svg.Append(CultureInfo.InvariantCulture, $"<line class=\"chance\" x1=\"{Left}\" x2=\"{Width - Right}\" y1=\"{Y(chance):0.#}\" y2=\"{Y(chance):0.#}\"/>");
        svg.Append(CultureInfo.InvariantCulture, $"<text class=\"chance-label\" x=\"{Width - Right - 4}\" y=\"{Y(chance) - 6:0.#}\" text-anchor=\"end\">guessing, ln(batch) = {chance:0.00}</text>");
        AppendLine(svg, "raw", rows, i => rows[i].Loss, X, Y);
        AppendLine(svg, "mean", rows, i => mean[i], X, Y);
        return svg.Append("</svg>").ToString();
    }

    private static void AppendLine(StringBuilder svg, string name, IReadOnlyList<TrainingMetrics> rows, Func<int, double> value, Func<double, double> x, Func<double, double> y)
    {
        int stride = Math.Max(1, rows.Count / MostPoints);
        svg.Append(CultureInfo.InvariantCulture, $"<polyline class=\"{name}\" points=\"");
        for (int i = 0; i < rows.Count; i += stride) svg.Append(CultureInfo.InvariantCulture, $"{x(rows[i].Step):0.#},{y(value(i)):0.#} ");
        svg.Append("\"/>");
    }

    private static IEnumerable<double> Ticks(double highest)
    {
        double rough = highest / 5, power = Math.Pow(10, Math.Floor(Math.Log10(rough)));
        double step = power * (rough / power) switch { < 1.5 => 1, < 3.5 => 2, < 7.5 => 5, _ => 10 };
        for (int i = 0; i * step <= highest; i++) yield return i * step;
    }
}
