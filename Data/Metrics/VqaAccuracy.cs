namespace MiniVlp.Data.Metrics;

/// <summary>
/// The accuracy of visual question answering (Antol et al. 2015, arXiv 1505.00468, section 3.3; VQA v2, arXiv 1612.00837): an answer that n of
/// the other annotators gave is worth min(n / 3, 1), averaged over all ways to leave one annotator out; with ten annotators 1, 2 or 3 that
/// agree are worth 0.3, 0.6 and 0.9, four or more are worth 1.
/// </summary>
public static class VqaAccuracy
{
    /// <summary>
    /// The accuracy of one answer in [0, 1]. Both sides are normalised (<see cref="VqaAnswer.Normalize"/>); the official script leaves the annotators'
    /// answers as they are when all are equal, which can only count a right answer as wrong.
    /// </summary>
    /// <param name="answer">The model's.</param>
    /// <param name="annotators">An answer of each annotator. A single one leaves nobody when it is left out: there it is plain equality.</param>
    /// <exception cref="ArgumentException">There is no annotator.</exception>
    public static double Score(string answer, IReadOnlyList<string> annotators)
    {
        MetricArguments.NeedReference(annotators);
        string normal = VqaAnswer.Normalize(answer);
        int agree = annotators.Count(given => VqaAnswer.Normalize(given) == normal);
        if (annotators.Count == 1)
        {
            return agree;
        }

        // An annotator who agrees leaves one fewer behind.
        double withoutOneThatAgrees = Math.Min(Math.Max(agree - 1, 0) / 3.0, 1), withoutAnother = Math.Min(agree / 3.0, 1);
        return ((agree * withoutOneThatAgrees) + ((annotators.Count - agree) * withoutAnother)) / annotators.Count;
    }
}
