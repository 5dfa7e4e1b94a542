using MiniVlp.Data.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Data.Metrics;

namespace MiniVlp.Cli.Evaluation;

/// <summary>Answers questions about pictures, one for each.</summary>
public delegate IReadOnlyList<string> QuestionAnswerer(IReadOnlyList<RgbImage> images, IReadOnlyList<string> questions);

/// <summary>Visual question answering: the official accuracy where there are several annotators, plain equality where there is one answer.</summary>
public static class QuestionEvaluation
{
    /// <summary>Asks and counts, over all questions and over each kind of them.</summary>
    public static TaskResult Run(QuestionAnswerer answerer, EvaluationRun run)
    {
        List<Answered> all = [];
        List<TaskExample> examples = [];
        foreach ((_, ImageTextSample[] samples) in run.Batches())
        {
            string[] questions = [.. samples.Select(SampleFields.Question)];
            IReadOnlyList<string> answers = answerer([.. samples.Select(sample => sample.Image)], questions);
            for (int i = 0; i < samples.Length; i++)
            {
                string[] annotators = SampleFields.Answers(samples[i]);
                double score = VqaAccuracy.Score(answers[i], annotators);
                all.Add(new Answered(SampleFields.Text(samples[i], "kind"), annotators, score));
                if (examples.Count < run.Examples) examples.Add(new TaskExample(samples[i].Image, questions[i], MostFrequent([annotators]), answers[i], score >= 0.5));
            }
        }

        string[] kinds = [.. all.Select(question => question.Kind).OfType<string>().Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
        return new TaskResult(
            "vqa",
            [ToScore("accuracy", all, run.Seed), .. kinds.Select(kind => ToScore("  " + kind, [.. all.Where(question => question.Kind == kind)], run.Seed))],
            examples,
            Notes: [$"{all.Max(question => question.Annotators.Length)} annotators at most; the constant answer is the most frequent one of the questions beside it, chance is a guess among their answers."]);
    }

    private static TaskScore ToScore(string name, IReadOnlyList<Answered> questions, ulong seed)
    {
        string constant = MostFrequent(questions.Select(question => question.Annotators));
        int distinct = questions.SelectMany(question => question.Annotators).Select(VqaAnswer.Normalize).Distinct(StringComparer.Ordinal).Count();
        return TaskScore.OfMean(name, [.. questions.Select(question => question.Score)], questions.Average(question => VqaAccuracy.Score(constant, question.Annotators)), 1.0 / distinct, seed);
    }

    private static string MostFrequent(IEnumerable<IReadOnlyList<string>> answers)
        => answers.SelectMany(some => some).GroupBy(VqaAnswer.Normalize, StringComparer.Ordinal).OrderByDescending(group => group.Count()).ThenBy(group => group.Key, StringComparer.Ordinal).First().Key;

    private sealed record Answered(string? Kind, string[] Annotators, double Score);
}
