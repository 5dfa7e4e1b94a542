using MiniVlp.Tensors;

namespace MiniVlp.Nn.Pretraining;

/// <summary>What is masked as a whole.</summary>
public enum MaskingUnit
{
    /// <summary>Each token by itself (BERT, arXiv:1810.04805; ALBEF).</summary>
    Token,

    /// <summary>All pieces of a word together, so that none can be guessed from the others (ViLT, arXiv:2102.03334).</summary>
    WholeWord,

    /// <summary>Runs of neighbouring words, their lengths from a geometric distribution (SpanBERT, arXiv:1907.10529; InterBERT).</summary>
    Span,
}

/// <summary>A corrupted text and what was there.</summary>
/// <param name="Ids">The corrupted token ids, shaped as the text.</param>
/// <param name="Labels">The original ids where the model has to predict, <see cref="TokenMasking.IgnoredLabel"/> elsewhere.</param>
/// <param name="Count">How many tokens have to be predicted.</param>
public sealed record MaskedTokens(IndexTensor Ids, IndexTensor Labels, int Count);

/// <summary>
/// Masked language modelling (BERT, arXiv:1810.04805): a share of the tokens has to be predicted; of those 80 % become the mask token, 10 % a random
/// token, and 10 % stay. Special tokens are never chosen and never drawn.
/// </summary>
public sealed record TokenMasking
{
    /// <summary>The label of tokens that the loss leaves out.</summary>
    public const int IgnoredLabel = -100;

    /// <summary>The id of [MASK].</summary>
    public required int MaskId { get; init; }

    /// <summary>Number of token ids.</summary>
    public required int VocabularySize { get; init; }

    /// <summary>Ids of [CLS], [SEP], [PAD] and their kin, which are never masked; [MASK] belongs to them by itself.</summary>
    public IReadOnlyCollection<int> SpecialIds { get; init; } = [];

    /// <summary>Share of the tokens that has to be predicted, in (0, 1).</summary>
    public double Rate { get; init; } = 0.15;

    /// <summary>Share of those that become [MASK].</summary>
    public double MaskShare { get; init; } = 0.8;

    /// <summary>Share of those that become a random token; what remains stays as it is.</summary>
    public double RandomShare { get; init; } = 0.1;

    /// <summary>What is masked as a whole.</summary>
    public MaskingUnit Unit { get; init; }

    /// <summary>
    /// Whether a token goes on with the word of the token in front of it, as WordPiece's "##ing" does. Whole words need it; without it spans
    /// are runs of tokens.
    /// </summary>
    public Func<int, bool>? ContinuesWord { get; init; }

    /// <summary>p of the geometric distribution of span lengths, in words: P(ℓ) = p (1 - p)^(ℓ - 1).</summary>
    public double SpanStop { get; init; } = 0.2;

    /// <summary>Longer spans are cut to this many words.</summary>
    public int LongestSpan { get; init; } = 10;

    /// <summary>
    /// Corrupts a batch of texts. Each token or word is chosen with probability <see cref="Rate"/>; spans are laid until that share of the text is
    /// covered, rounded up or down at random. When nothing at all was chosen, one word of the batch is, so that the loss has something to
    /// average.
    /// </summary>
    /// <param name="ids">[..., tokens].</param>
    /// <param name="generator">Where to draw from; <see cref="Generator.Current"/> when null.</param>
    /// <param name="rows">Which texts are masked at all, one for each row; empty: all.</param>
    /// <returns>Ids and labels on the device of the text.</returns>
    /// <exception cref="ShapeException">The text has no axis, or <paramref name="rows"/> another length.</exception>
    /// <exception cref="InvalidOperationException">An option is out of range, or whole words are asked for without <see cref="ContinuesWord"/>.</exception>
    public MaskedTokens Apply(IndexTensor ids, Generator? generator = null, ReadOnlySpan<bool> rows = default)
    {
        CheckOptions();
        if (ids.Shape.Rank == 0) throw new ShapeException("TokenMasking: the text must be [..., tokens], found a scalar.");
        int length = ids.Shape[-1], count = length == 0 ? 0 : ids.Shape.Length / length;
        if (!rows.IsEmpty && rows.Length != count) throw new ShapeException($"TokenMasking: {rows.Length} rows are said to be masked or not, but the text {ids.Shape} has {count}.");
        generator ??= Generator.Current;
        bool[] special = Specials();
        int[] tokens = ids.ToArray(), labels = new int[tokens.Length];
        Array.Fill(labels, IgnoredLabel);

        List<Piece> words = [], chosen = [];
        for (int row = 0; row < count; row++)
        {
            if (!rows.IsEmpty && !rows[row]) continue;
            int first = words.Count;
            AddWords(tokens, row * length, length, special, words);
            if (Unit == MaskingUnit.Span) ChooseSpans(words, first, chosen, generator);
            else for (int i = first; i < words.Count; i++) if (generator.NextUniform() < Rate) chosen.Add(words[i]);
        }

        if (chosen.Count == 0 && words.Count > 0) chosen.Add(words[generator.Next(words.Count)]);
        int[] ordinary = [.. Enumerable.Range(0, VocabularySize).Where(id => !special[id])];
        foreach (Piece piece in chosen) Corrupt(tokens, labels, piece, ordinary, generator);
        return new MaskedTokens(
            IndexTensor.FromArray(tokens, ids.Shape, ids.Device),
            IndexTensor.FromArray(labels, ids.Shape, ids.Device),
            chosen.Sum(piece => piece.Length));
    }

    private void CheckOptions()
    {
        Require(VocabularySize > 0, nameof(VocabularySize), VocabularySize, "at least 1");
        Require(MaskId >= 0 && MaskId < VocabularySize, nameof(MaskId), MaskId, $"in [0, {VocabularySize})");
        Require(Rate is > 0 and < 1, nameof(Rate), Rate, "in (0, 1)");
        Require(MaskShare >= 0 && RandomShare >= 0 && MaskShare + RandomShare <= 1 + 1e-9, $"{nameof(MaskShare)} + {nameof(RandomShare)}", MaskShare + RandomShare, "in [0, 1], and neither negative");
        Require(SpanStop is > 0 and <= 1, nameof(SpanStop), SpanStop, "in (0, 1]");
        Require(LongestSpan >= 1, nameof(LongestSpan), LongestSpan, "at least 1");
        if (Unit == MaskingUnit.WholeWord && ContinuesWord is null) throw new InvalidOperationException("TokenMasking: whole words need ContinuesWord, which says what token belongs to the word in front of it.");

        static void Require(bool holds, string name, double value, string rule)
        {
            if (!holds) throw new InvalidOperationException(FormattableString.Invariant($"TokenMasking: {name} must be {rule}, found {value}."));
        }
    }

    private bool[] Specials()
    {
        bool[] special = new bool[VocabularySize];
        special[MaskId] = true;
        foreach (int id in SpecialIds)
        {
            if ((uint)id >= (uint)VocabularySize) throw new InvalidOperationException($"TokenMasking: SpecialIds must lie in [0, {VocabularySize}), found {id}.");
            special[id] = true;
        }

        return special;
    }

    /// <summary>The words of one text, or its tokens.</summary>
    private void AddWords(int[] tokens, int start, int length, bool[] special, List<Piece> words)
    {
        bool joins = Unit != MaskingUnit.Token && ContinuesWord is not null, follows = false;
        for (int i = start; i < start + length; i++)
        {
            int id = tokens[i];
            if ((uint)id >= (uint)VocabularySize) throw new InvalidOperationException($"TokenMasking: the text holds the token id {id}, but VocabularySize is {VocabularySize}.");
            bool isOrdinary = !special[id];
            if (isOrdinary && follows && joins && ContinuesWord!(id)) words[^1] = words[^1] with { Length = words[^1].Length + 1 };
            else if (isOrdinary) words.Add(new Piece(i, 1));
            follows = isOrdinary;
        }
    }

    /// <summary>Spans of whole words, in places that are free, until the text's share is covered.</summary>
    private void ChooseSpans(List<Piece> words, int first, List<Piece> chosen, Generator generator)
    {
        int count = words.Count - first, total = 0;
        for (int i = first; i < words.Count; i++) total += words[i].Length;
        int budget = (int)((Rate * total) + generator.NextUniform());
        bool[] taken = new bool[count];

        // Places get rare when the rate is high or when no word is short enough for what is left.
        for (int attempt = 0; budget > 0 && attempt < 16 * count; attempt++)
        {
            int wanted = 1, at = generator.Next(count), begin = words[first + at].Start, end = begin;
            while (wanted < LongestSpan && generator.NextUniform() >= SpanStop) wanted++;
            for (int i = at; i < count && i < at + wanted && !taken[i]; i++)
            {
                Piece word = words[first + i];
                if (word.Start != end || word.Length > budget) break;
                taken[i] = true;
                end += word.Length;
                budget -= word.Length;
            }

            if (end > begin) chosen.Add(new Piece(begin, end - begin));
        }
    }

    /// <summary>80/10/10 for each token; for a span as a whole, as SpanBERT.</summary>
    private void Corrupt(int[] tokens, int[] labels, Piece piece, int[] ordinary, Generator generator)
    {
        double fate = generator.NextUniform();
        for (int i = piece.Start; i < piece.Start + piece.Length; i++)
        {
            labels[i] = tokens[i];
            if (Unit != MaskingUnit.Span && i > piece.Start) fate = generator.NextUniform();
            if (fate < MaskShare) tokens[i] = MaskId;
            else if (fate < MaskShare + RandomShare && ordinary.Length > 0) tokens[i] = ordinary[generator.Next(ordinary.Length)];
        }
    }

    /// <summary>Neighbouring tokens, by their place in the batch.</summary>
    private readonly record struct Piece(int Start, int Length);
}
