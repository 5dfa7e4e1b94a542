namespace MiniVlp.Models.Generation;

/// <summary>When beam search stops looking for better texts of one prompt.</summary>
public enum EarlyStopping
{
    /// <summary>Once as many texts as beams are complete and the best unfinished one, at its present length, scores no better than the worst of them.</summary>
    Heuristic,

    /// <summary>Once as many texts as beams are complete.</summary>
    WhenFull,

    /// <summary>Once no unfinished text can score better than the worst complete one, whatever follows.</summary>
    Never,
}

/// <summary>
/// How text is chosen. Rules change the scores of the next token before each choice, in this order: repetition penalty, repeated n-grams,
/// shortest length, suppressed tokens, allowed sequences. Greedy search and sampling apply them to logits, beam search to log-probabilities,
/// as Hugging Face's <c>generate</c> does.
/// </summary>
public sealed record GenerationOptions
{
    /// <summary>Most tokens to write, the stop token included.</summary>
    public int MaxNewTokens { get; init; } = 20;

    /// <summary>No stop token comes before this many tokens were written.</summary>
    public int MinNewTokens { get; init; }

    /// <summary>Texts that beam search follows at once for each prompt; 1 is greedy search, or sampling.</summary>
    public int Beams { get; init; } = 1;

    /// <summary>Texts to return for each prompt: the best of the beams, or so many samples.</summary>
    public int ReturnSequences { get; init; } = 1;

    /// <summary>Beam search scores a complete text of L tokens by Σ log p / L to this power; larger values prefer longer texts.</summary>
    public float LengthPenalty { get; init; } = 1f;

    /// <summary>When beam search stops.</summary>
    public EarlyStopping EarlyStopping { get; init; }

    /// <summary>Scores of tokens that the row holds already, prompt included, are divided by this when positive and multiplied when negative (arXiv:1909.05858).</summary>
    public float RepetitionPenalty { get; init; } = 1f;

    /// <summary>No n-gram of this length occurs twice in a row, prompt included; 0 allows it.</summary>
    public int NoRepeatNgram { get; init; }

    /// <summary>Tokens that are never written.</summary>
    public IReadOnlyList<int> SuppressTokens { get; init; } = [];

    /// <summary>Tokens that end a text.</summary>
    public IReadOnlyList<int> StopTokens { get; init; } = [];

    /// <summary>Fills rows behind their end.</summary>
    public int PadToken { get; init; }

    /// <summary>Draws the next token at random instead of taking the best.</summary>
    public bool Sample { get; init; }

    /// <summary>Logits are divided by this before a draw.</summary>
    public float Temperature { get; init; } = 1f;

    /// <summary>Draws from the smallest set of likeliest tokens whose probabilities sum to at least this (nucleus sampling, arXiv:1904.09751); 1 from all.</summary>
    public float TopP { get; init; } = 1f;

    /// <summary>Draws from so many likeliest tokens (arXiv:1805.04833); 0 from all. Comes before <see cref="TopP"/>.</summary>
    public int TopK { get; init; }

    /// <summary>Of the draws; taken from <see cref="Tensors.Generator.Current"/> when null.</summary>
    public ulong? Seed { get; init; }

    /// <summary>
    /// Number of the first row. Row i draws by (seed, number of the row, number of its sample, step) alone, so a text does not depend on
    /// what else is in the batch.
    /// </summary>
    public int FirstRow { get; init; }

    /// <summary>
    /// When given, a text is one of these, then a stop token: a closed set of answers, as token ids without prompt and stop token, of which
    /// a trie says what may come next.
    /// </summary>
    public IReadOnlyList<IReadOnlyList<int>>? AllowedSequences { get; init; }

    /// <summary>Throws when an option makes no sense for a decoder and a prompt.</summary>
    internal void Check(ICausalDecoder decoder, int promptLength)
    {
        Require(MaxNewTokens >= 1, nameof(MaxNewTokens), MaxNewTokens, "at least 1");
        Require(MinNewTokens >= 0 && MinNewTokens <= MaxNewTokens, nameof(MinNewTokens), MinNewTokens, $"0 .. MaxNewTokens {MaxNewTokens}");
        Require(Beams >= 1, nameof(Beams), Beams, "at least 1");
        Require(!Sample || Beams == 1, nameof(Beams), Beams, "1 when Sample is set: a beam is not drawn");
        Require(ReturnSequences >= 1, nameof(ReturnSequences), ReturnSequences, "at least 1");
        Require(Sample || ReturnSequences <= Beams, nameof(ReturnSequences), ReturnSequences, $"at most Beams {Beams} when Sample is not set");
        Require(float.IsFinite(LengthPenalty), nameof(LengthPenalty), LengthPenalty, "finite");
        Require(float.IsFinite(RepetitionPenalty) && RepetitionPenalty > 0, nameof(RepetitionPenalty), RepetitionPenalty, "positive");
        Require(NoRepeatNgram >= 0, nameof(NoRepeatNgram), NoRepeatNgram, "at least 0");
        Require(float.IsFinite(Temperature) && Temperature > 0, nameof(Temperature), Temperature, "positive; greedy search is Sample = false");
        Require(TopP is > 0 and <= 1, nameof(TopP), TopP, "above 0 and at most 1");
        Require(TopK >= 0, nameof(TopK), TopK, "at least 0");
        Require(FirstRow >= 0, nameof(FirstRow), FirstRow, "at least 0");
        Require(promptLength + (long)MaxNewTokens - 1 <= decoder.MaxPositions, nameof(MaxNewTokens), MaxNewTokens, $"at most {decoder.MaxPositions + 1 - promptLength}: the prompt has {promptLength} tokens and the model {decoder.MaxPositions} positions");
        RequireTokens(nameof(SuppressTokens), SuppressTokens, decoder.VocabularySize);
        RequireTokens(nameof(StopTokens), StopTokens, decoder.VocabularySize);
        RequireTokens(nameof(PadToken), [PadToken], decoder.VocabularySize);
        if (AllowedSequences is { } allowed) CheckAllowed(allowed, decoder.VocabularySize);
    }

    private void CheckAllowed(IReadOnlyList<IReadOnlyList<int>> allowed, int vocabularySize)
    {
        Require(allowed.Count > 0, nameof(AllowedSequences), allowed.Count, "at least one sequence");
        Require(StopTokens.Count > 0, nameof(StopTokens), 0, "at least one token when AllowedSequences are given: it ends each of them");
        foreach (IReadOnlyList<int> sequence in allowed)
        {
            RequireTokens(nameof(AllowedSequences), sequence, vocabularySize);
            Require(sequence.Count > 0, nameof(AllowedSequences), 0, "sequences of at least one token");
            Require(sequence.Count < MaxNewTokens, nameof(AllowedSequences), sequence.Count, $"sequences of fewer than MaxNewTokens {MaxNewTokens} tokens, so that the stop token fits");
            Require(!sequence.Any(StopTokens.Contains), nameof(AllowedSequences), string.Join(", ", sequence), "sequences without stop tokens");
        }
    }

    private static void RequireTokens(string name, IReadOnlyList<int> tokens, int vocabularySize)
    {
        foreach (int token in tokens) Require(token >= 0 && token < vocabularySize, name, token, $"a token id, 0 .. {vocabularySize - 1}");
    }

    private static void Require(bool condition, string name, object value, string rule)
    {
        if (!condition) throw new ArgumentException($"GenerationOptions.{name} must be {rule}; it is {value}.", name);
    }
}
