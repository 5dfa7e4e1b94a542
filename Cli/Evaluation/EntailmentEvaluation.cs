using MiniVlp.Data.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Data.Metrics;

namespace MiniVlp.Cli.Evaluation;

/// <summary>Logits [pairs, 3] of contradiction, neutral and entailment for pictures and sentences.</summary>
public delegate float[] EntailmentJudge(IReadOnlyList<RgbImage> images, IReadOnlyList<string> sentences);

/// <summary>Visual entailment: accuracy and which label was taken for which. The model chooses among the labels that the data has.</summary>
public static class EntailmentEvaluation
{
    private static readonly IReadOnlyList<string> Names = SampleFields.Labels;

    /// <summary>Judges and counts.</summary>
    /// <exception cref="ToolException">A sample has no label, or one that is none of the three; the data has fewer than two labels.</exception>
    public static TaskResult Run(EntailmentJudge judge, EvaluationRun run)
    {
        List<int> labels = [];
        List<float[]> logits = [];
        List<ImageTextSample> shown = [];
        foreach ((_, ImageTextSample[] samples) in run.Batches())
        {
            float[] scores = judge([.. samples.Select(sample => sample.Image)], [.. samples.Select(sample => sample.Caption)]);
            for (int i = 0; i < samples.Length; i++)
            {
                labels.Add((int)SampleFields.Label(samples[i]));
                logits.Add(scores[(i * Names.Count)..((i + 1) * Names.Count)]);
                if (shown.Count < run.Examples) shown.Add(samples[i]);
            }
        }

        int[] classes = [.. labels.Distinct().Order()];
        if (classes.Length < 2) throw new ToolException($"{run.Dataset.Name}: all samples have the label '{Names[classes[0]]}', so that there is nothing to tell apart.");
        ConfusionMatrix confusion = new([.. classes.Select(label => Names[label])]);
        int[] answers = [.. logits.Select(scores => Best(scores, classes))];
        for (int i = 0; i < labels.Count; i++) confusion.Add(Array.IndexOf(classes, labels[i]), Array.IndexOf(classes, answers[i]));
        double[] isRight = [.. labels.Select((label, i) => label == answers[i] ? 1.0 : 0.0)];
        return new TaskResult(
            "entailment",
            [TaskScore.OfMean("accuracy", isRight, confusion.Majority, confusion.Chance, run.Seed)],
            [.. shown.Select((sample, i) => new TaskExample(sample.Image, sample.Caption, Names[labels[i]], Names[answers[i]], labels[i] == answers[i]))],
            confusion);
    }

    /// <summary>The class with the greatest logit; logits that are no numbers are never chosen before others.</summary>
    private static int Best(float[] logits, int[] classes)
    {
        int best = classes[0];
        foreach (int label in classes)
            if (logits[label] > logits[best] || float.IsNaN(logits[best])) best = label;
        return best;
    }
}
