using System.Globalization;
using MiniVlp.Cli.Datasets;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Data.Metrics;
using MiniVlp.Data.Scenes;

namespace MiniVlp.Cli.Evaluation;

/// <summary>Writes a caption for each picture.</summary>
public delegate IReadOnlyList<string> PictureCaptioner(IReadOnlyList<RgbImage> images);

/// <summary>
/// Captioning: corpus metrics against all captions that the data has of a picture; on scenes also whether captions can be read, say the facts of
/// their reference, and are true.
/// </summary>
public static class CaptioningEvaluation
{
    /// <summary>Different wordings that a scene is described in at most.</summary>
    private const int MostWordings = 5;

    /// <summary>Each wording is tried this often, since several may come out alike.</summary>
    private const int WordingAttempts = 3 * MostWordings;

    /// <summary>Captions each distinct picture once and scores.</summary>
    /// <exception cref="ToolException">No picture has a caption.</exception>
    public static TaskResult Run(PictureCaptioner captioner, EvaluationRun run)
    {
        SceneDataset? scenes = Scenes(run.Dataset);
        List<string> candidates = [];
        List<List<string>> references = [];
        List<(int Sample, SceneCaptionJudgement Judgement)> judged = [];
        List<RgbImage> shown = [];
        Dictionary<UInt128, int> known = [];
        foreach ((int start, ImageTextSample[] samples) in run.Batches())
        {
            // Captions of one picture are told by its pixels, whatever kind of data it is.
            List<(RgbImage Image, int Sample)> fresh = [];
            for (int i = 0; i < samples.Length; i++)
            {
                if (samples[i].Caption.Length == 0) continue;
                UInt128 hash = EmbeddedDataset.HashOf(samples[i].Image);
                if (!known.TryGetValue(hash, out int picture))
                {
                    known[hash] = picture = references.Count;
                    references.Add([]);
                    fresh.Add((samples[i].Image, start + i));
                    if (shown.Count < run.Examples) shown.Add(samples[i].Image);
                }

                references[picture].AddRange(scenes is null ? [samples[i].Caption] : Wordings(scenes, start + i));
            }

            if (fresh.Count == 0) continue;
            IReadOnlyList<string> written = captioner([.. fresh.Select(picture => picture.Image)]);
            candidates.AddRange(written);
            if (scenes is not null) judged.AddRange(fresh.Select((picture, i) => (picture.Sample, Judge(written[i], scenes, picture.Sample))));
        }

        if (candidates.Count == 0) throw new ToolException($"{run.Dataset.Name}: captioning needs captions to compare with, and the data has none.");
        List<TaskScore> scores = CorpusScores(candidates, references, run.Seed);
        scores.AddRange(SceneScores(judged, references, scenes, run.Seed));
        List<string> notes =
        [
            string.Create(CultureInfo.InvariantCulture, $"{candidates.Count:N0} pictures, {references.Average(texts => texts.Count):0.##} references each; constant: the most frequent reference everywhere; chance: the first reference of another picture."),
            "METEOR-like: exact words and stems, no synonyms.",
        ];
        return new TaskResult(
            "captioning",
            scores,
            [.. shown.Select((image, i) => new TaskExample(image, string.Empty, references[i][0], candidates[i], references[i].Contains(candidates[i], StringComparer.OrdinalIgnoreCase)))],
            Notes: notes);
    }

    private static List<TaskScore> CorpusScores(List<string> candidates, List<List<string>> references, ulong seed)
    {
        CaptionEvaluation model = new(candidates, references);
        CaptionScores constant = new CaptionEvaluation([.. candidates.Select(_ => MostFrequent(references))], references).Score();
        CaptionScores? other = candidates.Count < 2 ? null : new CaptionEvaluation([.. references.Select((_, i) => references[(i + 1) % references.Count][0])], references).Score();
        (string Name, Func<CaptionScores, double> Of)[] metrics =
        [
            ("BLEU-4", scores => scores.Bleu4), ("CIDEr-D", scores => scores.CiderD), ("ROUGE-L", scores => scores.RougeL), ("METEOR-like", scores => scores.MeteorLike),
            ("BLEU-1", scores => scores.Bleu1), ("BLEU-2", scores => scores.Bleu2), ("BLEU-3", scores => scores.Bleu3),
        ];

        // One bootstrap for all metrics: the same samples, each scored once.
        List<CaptionScores> drawn = [];
        Bootstrap.Interval(model.Count, pictures => { drawn.Add(model.Score(pictures)); return 0; }, seed: seed);
        CaptionScores whole = model.Score();
        return
        [
            .. metrics.Select(metric => new TaskScore(
                metric.Name, metric.Of(whole), Bootstrap.Between([.. drawn.Select(metric.Of)]), metric.Of(constant), other is null ? null : metric.Of(other), model.Count, IsShare: metric.Name != "CIDEr-D")),
        ];
    }

    private static IEnumerable<TaskScore> SceneScores(List<(int Sample, SceneCaptionJudgement Judgement)> judged, List<List<string>> references, SceneDataset? scenes, ulong seed)
    {
        if (scenes is null) yield break;
        string constant = MostFrequent(references);
        SceneCaptionJudgement[] always = [.. judged.Select(item => Judge(constant, scenes, item.Sample))];
        foreach ((string name, Func<SceneCaptionJudgement, bool> of) in ((string, Func<SceneCaptionJudgement, bool>)[])
            [("in the grammar", judgement => judgement.IsGrammatical), ("exact facts", judgement => judgement.IsExact), ("true in the scene", judgement => judgement.IsTrue)])
        {
            yield return TaskScore.OfMean(name, [.. judged.Select(item => of(item.Judgement) ? 1.0 : 0.0)], always.Average(judgement => of(judgement) ? 1.0 : 0.0), null, seed);
        }
    }

    private static SceneCaptionJudgement Judge(string caption, SceneDataset scenes, int sample) => SceneCaptionJudgement.Of(caption, scenes.CleanCaptionAt(sample), scenes.SceneAt(sample));

    private static string MostFrequent(List<List<string>> references)
        => references.SelectMany(texts => texts).GroupBy(text => text, StringComparer.Ordinal).OrderByDescending(group => group.Count()).ThenBy(group => group.Key, StringComparer.Ordinal).First().Key;

    private static IEnumerable<string> Wordings(SceneDataset scenes, int index)
        => Enumerable.Range(0, WordingAttempts).Select(variant => scenes.CleanCaptionAt(index, variant)).Distinct(StringComparer.Ordinal).Take(MostWordings);

    private static SceneDataset? Scenes(IImageTextDataset dataset) => dataset as SceneDataset ?? (dataset as FirstSamples)?.Whole as SceneDataset;
}
