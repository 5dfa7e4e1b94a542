namespace MiniVlp.Data.Metrics;

/// <summary>What the caption metrics say of a corpus.</summary>
/// <param name="Bleu1">BLEU-1 in [0, 1].</param>
/// <param name="Bleu2">BLEU-2 in [0, 1].</param>
/// <param name="Bleu3">BLEU-3 in [0, 1].</param>
/// <param name="Bleu4">BLEU-4 in [0, 1].</param>
/// <param name="RougeL">ROUGE-L in [0, 1].</param>
/// <param name="CiderD">CIDEr-D in [0, 10].</param>
/// <param name="MeteorLike">See <see cref="MeteorStatistics"/>; in [0, 1].</param>
public sealed record CaptionScores(double Bleu1, double Bleu2, double Bleu3, double Bleu4, double RougeL, double CiderD, double MeteorLike);

/// <summary>
/// Captions of a model against those of people. All is counted once for each picture, so that any part of the corpus, such as a bootstrap
/// sample, is scored by adding up; CIDEr-D keeps the document frequencies of the whole corpus there.
/// </summary>
public sealed class CaptionEvaluation
{
    private readonly BleuStatistics[] _bleu;
    private readonly MeteorStatistics[] _meteor;
    private readonly double[] _rouge;
    private readonly double[] _cider;

    /// <summary>Splits all captions into words and counts.</summary>
    /// <param name="candidates">The caption of each picture; at least one picture.</param>
    /// <param name="references">The references of each picture, at least one.</param>
    /// <exception cref="ArgumentException">The lists differ in length or are empty, or a picture has no reference.</exception>
    public CaptionEvaluation(IReadOnlyList<string> candidates, IReadOnlyList<IReadOnlyList<string>> references)
    {
        ArgumentNullException.ThrowIfNull(candidates);
        ArgumentNullException.ThrowIfNull(references);
        if (candidates.Count != references.Count || candidates.Count == 0)
        {
            throw new ArgumentException($"Each picture needs a caption and its references: {candidates.Count} captions, references of {references.Count} pictures.", nameof(references));
        }

        string[][] words = [.. candidates.Select(CaptionTokenizer.Split)];
        string[][][] referenceWords = [.. references.Select((texts, i) => texts.Count > 0
            ? texts.Select(CaptionTokenizer.Split).ToArray()
            : throw new ArgumentException($"Picture {i} has no reference.", nameof(references)))];
        CiderD cider = new(referenceWords);
        _bleu = [.. words.Select((candidate, i) => BleuStatistics.Count(candidate, referenceWords[i]))];
        _meteor = [.. words.Select((candidate, i) => MeteorStatistics.Count(candidate, referenceWords[i]))];
        _rouge = [.. words.Select((candidate, i) => Metrics.RougeL.Score(candidate, referenceWords[i]))];
        _cider = [.. words.Select((candidate, i) => cider.Score(candidate, referenceWords[i]))];
    }

    /// <summary>Number of pictures.</summary>
    public int Count => _bleu.Length;

    /// <summary>The scores of the corpus.</summary>
    public CaptionScores Score() => Score([.. Enumerable.Range(0, Count)]);

    /// <summary>The scores of some pictures, each as often as it is listed.</summary>
    /// <param name="pictures">Indices in [0, <see cref="Count"/>), at least one.</param>
    /// <exception cref="ArgumentException">None is listed.</exception>
    public CaptionScores Score(ReadOnlySpan<int> pictures)
    {
        if (pictures.IsEmpty)
        {
            throw new ArgumentException("At least one picture is needed for a score.", nameof(pictures));
        }

        BleuStatistics bleu = default;
        MeteorStatistics meteor = default;
        double rouge = 0, cider = 0;
        foreach (int i in pictures)
        {
            bleu += _bleu[i];
            meteor += _meteor[i];
            rouge += _rouge[i];
            cider += _cider[i];
        }

        return new CaptionScores(
            bleu.Score(1), bleu.Score(2), bleu.Score(3), bleu.Score(4), rouge / pictures.Length, cider / pictures.Length, meteor.Score);
    }
}
