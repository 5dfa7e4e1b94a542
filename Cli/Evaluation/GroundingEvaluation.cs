using MiniVlp.Data.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Data.Metrics;
using MiniVlp.Data.Scenes;

namespace MiniVlp.Cli.Evaluation;

/// <summary>Tells for each text where in its picture it is.</summary>
public delegate IReadOnlyList<HeatMap> TextLocator(IReadOnlyList<RgbImage> images, IReadOnlyList<string> texts);

/// <summary>
/// Grounding by heat maps: the pointing game, intersection over union of the box around the heat, and, where the data has boxes to choose from, the
/// share of right choices.
/// </summary>
public static class GroundingEvaluation
{
    private const double EnoughOverlap = 0.5;

    /// <summary>Locates and counts.</summary>
    /// <param name="locator">The model.</param>
    /// <param name="run">The data.</param>
    /// <param name="share">The box holds what reaches this share of the range of values, see <see cref="HeatMap.BoxAbove"/>.</param>
    public static TaskResult Run(TextLocator locator, EvaluationRun run, double share = 0.5)
    {
        SceneBox whole = new(0, 0, 1, 1);
        List<Located> all = [];
        List<TaskExample> examples = [];
        foreach ((_, ImageTextSample[] samples) in run.Batches())
        {
            string[] texts = [.. samples.Select(sample => sample.Caption)];
            IReadOnlyList<HeatMap> maps = locator([.. samples.Select(sample => sample.Image)], texts);
            for (int i = 0; i < samples.Length; i++)
            {
                SceneBox box = SampleFields.Box(samples[i]);
                SceneBox[] proposals = SampleFields.Proposals(samples[i]);
                bool points = maps[i].PointsInto(box);
                bool centre = box.Left <= 0.5 && box.Right >= 0.5 && box.Top <= 0.5 && box.Bottom >= 0.5;
                int chosen = maps[i].Choose(proposals);
                all.Add(new Located(
                    points, centre, box.Area, maps[i].BoxAbove(share).IntersectionOverUnion(box), whole.IntersectionOverUnion(box), proposals.Length,
                    chosen >= 0 && proposals[chosen].IntersectionOverUnion(box) >= EnoughOverlap,
                    proposals.Length > 0 && proposals.MaxBy(proposal => proposal.Area).IntersectionOverUnion(box) >= EnoughOverlap,
                    proposals.Count(proposal => proposal.IntersectionOverUnion(box) >= EnoughOverlap)));
                if (examples.Count < run.Examples) examples.Add(new TaskExample(samples[i].Image, texts[i], string.Empty, string.Empty, points, maps[i], box));
            }
        }

        return new TaskResult("grounding", Scores(all, run.Seed), examples, Notes: Notes(all));
    }

    private static List<TaskScore> Scores(List<Located> all, ulong seed)
    {
        List<TaskScore> scores =
        [
            TaskScore.OfMean("pointing game", Values(all, item => item.Points), Values(all, item => item.CentrePoints).Average(), all.Average(item => item.Area), seed),
            TaskScore.OfMean("box, IoU >= 0.5", Values(all, item => item.Overlap >= EnoughOverlap), Values(all, item => item.WholeOverlap >= EnoughOverlap).Average(), null, seed),
            TaskScore.OfMean("box, mean IoU", [.. all.Select(item => item.Overlap)], all.Average(item => item.WholeOverlap), null, seed),
        ];
        List<Located> withProposals = [.. all.Where(item => item.Proposals > 0)];
        if (withProposals.Count > 0)
        {
            scores.Add(TaskScore.OfMean(
                "proposal, IoU >= 0.5", Values(withProposals, item => item.Chosen), Values(withProposals, item => item.LargestIsRight).Average(),
                withProposals.Average(item => (double)item.RightProposals / item.Proposals), seed));
        }

        return scores;
    }

    private static List<string> Notes(List<Located> all)
    {
        List<string> notes = ["constant: the middle of the picture, the whole picture, the largest proposal; chance: any point, any proposal."];
        if (all.Any(item => item.Proposals > 0)) notes.Add(FormattableString.Invariant($"{all.Where(item => item.Proposals > 0).Average(item => item.Proposals):0.##} proposals for each text."));
        return notes;
    }

    private static double[] Values(IEnumerable<Located> all, Func<Located, bool> isRight) => [.. all.Select(item => isRight(item) ? 1.0 : 0.0)];

    private sealed record Located(bool Points, bool CentrePoints, double Area, double Overlap, double WholeOverlap, int Proposals, bool Chosen, bool LargestIsRight, int RightProposals);
}
