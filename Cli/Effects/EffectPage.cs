using System.Text;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Effects;

/// <summary>Writes effects.md: the protocol, the table, and for each experiment its figures and its picture.</summary>
public static class EffectPage
{
    private const string Start = "<!-- effects: from here on written by minivlp effects --report -->";

    /// <summary>Keeps what stands above the mark in the file, and writes the rest anew.</summary>
    /// <param name="folder">Folder of effects.md and, below it, images.</param>
    /// <param name="experiments">The experiments.</param>
    /// <param name="rows">All runs.</param>
    /// <param name="results">The effects.</param>
    /// <param name="scale">Of which runs.</param>
    public static void Write(string folder, IReadOnlyList<Experiment> experiments, IReadOnlyList<EffectRow> rows, IReadOnlyList<(string Data, EffectResult Result)> results, EffectScale scale)
    {
        Directory.CreateDirectory(folder);
        string path = Path.Combine(folder, "effects.md");
        string head = File.Exists(path) && File.ReadAllText(path).Split(Start) is [var before, ..] ? before : "# Effects\n\n";
        StringBuilder text = new(head);
        text.Append(Start).Append("\n\n## The table\n\n").Append(EffectReport.Table(results));
        foreach (Experiment experiment in experiments)
        {
            text.Append("\n## ").Append(experiment.Id).Append("\n\n").Append(experiment.Protocol(scale)).Append(experiment.OnFiles.Length > 0 ? " " : string.Empty).Append(experiment.OnFiles).Append('\n');
            foreach (string data in rows.Where(row => row.IsOf(experiment, row.Data, scale)).Select(row => row.Data).Distinct(StringComparer.Ordinal))
            {
                EffectRow[] some = [.. rows.Where(row => row.IsOf(experiment, data, scale))];
                string picture = $"images/effects-{experiment.Id}-{data}.png";
                string[] measures = [.. results.Select(each => each.Result.Effect).Where(effect => effect.Experiment == experiment).Select(effect => Effect.On(effect.Measure, data)).Where(measure => some.Any(row => row.Measures.ContainsKey(measure))).Distinct(StringComparer.Ordinal)];
                EffectReport.Draw(Path.Combine(folder, picture), experiment, some, measures);
                text.Append("\n### ").Append(experiment.Id).Append(" on ").Append(data).Append("\n\n![](").Append(picture).Append(")\n\n").Append(EffectReport.Details(experiment, some));
            }
        }

        AtomicFile.WriteAllText(path, text.ToString());
    }
}
