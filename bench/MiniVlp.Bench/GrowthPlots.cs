using System.Globalization;
using System.Text.Json.Nodes;
using ScottPlot;
using ScottPlot.TickGenerators;

namespace MiniVlp.Bench;

/// <summary>Draws how time and memory grow, from the lines that bench/cpu/run --growth wrote.</summary>
internal static class GrowthPlots
{
    private const int Width = 520, Height = 360;
    private const double BytesPerScore = 12 * sizeof(float);

    /// <summary>Writes growth-tokens, growth-batch and growth-width, each -time.png and -memory.png.</summary>
    /// <param name="rowsFile">JSON lines with name, library, times and megabytes; the best times are drawn, as neighbours on the machine disturb few runs most.</param>
    /// <param name="folder">Where the drawings go.</param>
    /// <param name="caption">Machine and date, in the title.</param>
    public static void Draw(string rowsFile, string folder, string caption)
    {
        Point[] points = [.. File.ReadLines(rowsFile).Select(line => Point.Of(JsonNode.Parse(line)!))];
        Draw("tokens", "tokens of an attention of 12 heads of 64", [("sdpa", false, "forward"), ("sdpa", true, "backward")], withStoredScores: true);
        Draw("batch", "images through ViT-B/32", [("vit_b32", false, string.Empty)]);
        Draw("width", "width of a transformer of two layers, 8 images", [("vit_w", false, string.Empty)]);

        void Draw(string name, string axis, (string Prefix, bool IsBackward, string Label)[] series, bool withStoredScores = false)
        {
            using Plot time = new(), memory = new();
            double[] sizes = [];
            foreach ((string prefix, bool isBackward, string label) in series)
            {
                foreach ((string library, string title, string colour) in ((string, string, string)[])[("ours", "MiniVlp", isBackward ? "#8aa6dd" : "#2856a3"), ("torch", "libtorch", isBackward ? "#e0a98c" : "#b0643c")])
                {
                    Point[] line = [.. points.Where(p => p.Name.StartsWith(prefix, StringComparison.Ordinal) && p.IsBackward == isBackward && p.Library == library).OrderBy(p => p.Size)];
                    if (line.Length == 0) continue;
                    sizes = [.. line.Select(p => p.Size)];
                    Add(time, line.Select(p => p.Milliseconds), $"{title} {label}".Trim(), colour);
                    Add(memory, line.Select(p => p.Megabytes), $"{title} {label}".Trim(), colour);
                }
            }

            if (sizes.Length == 0) return;
            if (withStoredScores) Add(memory, sizes.Select(tokens => BytesPerScore * tokens * tokens / 1e6), "scores, if stored", "#8a8a8a");
            Save(time, $"growth-{name}-time.png", "milliseconds");
            Save(memory, $"growth-{name}-memory.png", "megabytes above the idle process");

            void Add(Plot plot, IEnumerable<double> values, string label, string colour)
            {
                ScottPlot.Plottables.Scatter scatter = plot.Add.Scatter(sizes.Select(Math.Log2).ToArray(), values.Select(Math.Log10).ToArray(), Color.FromHex(colour));
                (scatter.LegendText, scatter.LineWidth, scatter.MarkerSize) = (label, 2, 6);
            }

            void Save(Plot plot, string file, string unit)
            {
                plot.Axes.Bottom.TickGenerator = new NumericManual([.. sizes.Select(Math.Log2)], [.. sizes.Select(size => size.ToString("0", CultureInfo.InvariantCulture))]);
                plot.Axes.Left.TickGenerator = new NumericAutomatic { IntegerTicksOnly = true, LabelFormatter = power => Math.Pow(10, power).ToString("0.###", CultureInfo.InvariantCulture) };
                plot.XLabel(axis);
                plot.YLabel(unit);
                plot.Title(caption, 12);
                plot.ShowLegend(Alignment.UpperLeft);
                plot.SavePng(Path.Combine(folder, file), Width, Height);
            }
        }
    }

    private sealed record Point(string Name, string Library, double Size, double Milliseconds, double Megabytes)
    {
        public bool IsBackward => Name.EndsWith("_bwd", StringComparison.Ordinal);

        public static Point Of(JsonNode line)
        {
            string name = (string)line["name"]!;
            double Number(JsonNode node) => node.GetValue<double>();
            return new Point(name, (string)line["library"]!, SizeOf(name), Number(line["time"]!["bestMilliseconds"]!), Number(line["peakMegabytes"]!) - Number(line["emptyMegabytes"]!));
        }

        /// <summary>Tokens, width or batch.</summary>
        private static double SizeOf(string name)
        {
            string[] parts = name.Split('_');
            string number = parts[0] is "sdpa" ? parts[1].Split('x')[2] : parts[1].StartsWith('w') ? parts[1][1..] : parts[^1][1..];
            return double.Parse(number, CultureInfo.InvariantCulture);
        }
    }
}
