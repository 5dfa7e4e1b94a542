namespace MiniVlp.Nn.Training;

/// <summary>What a part of the loss comes to for a model that looks at nothing: a training whose loss stays there has not begun to learn, or has collapsed.</summary>
/// <param name="Part">Name of the part.</param>
/// <param name="Loss">Its value then.</param>
/// <param name="Meaning">What predicts so, for people.</param>
/// <param name="Causes">What usually is behind it, for people.</param>
public sealed record ChanceLevel(string Part, float Loss, string Meaning, string Causes)
{
    /// <summary>
    /// A contrastive loss over equal similarities: ln(candidates), also with soft targets.
    /// </summary>
    /// <param name="part">Name of the part.</param>
    /// <param name="candidates">Columns of a row: the batch, or the batch and the queue.</param>
    public static ChanceLevel Contrastive(string part, int candidates) => new(
        part,
        MathF.Log(candidates),
        $"ln {candidates}: every candidate is equally similar",
        "all features are the same (a collapsed encoder, a learning rate too large, no gradient through the projection), the temperature is far too high, or pictures and texts do not belong together");

    /// <summary>
    /// A classification into matching and not matching: the entropy of the prior, 0.6365 for one to two, and ln 2 where not even the prior is learnt.
    /// </summary>
    /// <param name="part">Name of the part.</param>
    /// <param name="positives">Matching pairs for each picture.</param>
    /// <param name="negatives">Others for each picture.</param>
    public static IReadOnlyList<ChanceLevel> Matching(string part, int positives, int negatives)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(positives);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(negatives);
        double share = (double)positives / (positives + negatives);
        float entropy = (float)-((share * Math.Log(share)) + ((1 - share) * Math.Log(1 - share)));
        ChanceLevel prior = new(
            part,
            entropy,
            $"the entropy of the prior {positives}:{negatives}: the answer does not depend on the pair",
            "the fused token does not see the picture (cross-attention left out or masked), pairs and labels are mixed up, the negatives are true matches, or the learning rate is too large or too small");
        if (positives == negatives) return [prior];
        ChanceLevel even = new(
            part,
            MathF.Log(2),
            $"ln 2: both answers are equally likely, although {negatives} of {positives + negatives} pairs do not match",
            "the head gets no gradient (frozen, or not given to the optimizer) or the learning rate is zero");
        return [prior, even];
    }

    /// <summary>A prediction of tokens that are all equally likely: ln(vocabulary), also with label smoothing.</summary>
    /// <param name="part">Name of the part.</param>
    /// <param name="vocabulary">Number of tokens.</param>
    public static ChanceLevel Tokens(string part, int vocabulary) => new(
        part,
        MathF.Log(vocabulary),
        $"ln {vocabulary}: every token is equally likely",
        "the head gets no gradient, the labels are shifted or belong to other tokens, or the learning rate is too small");
}
