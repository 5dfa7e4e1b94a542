namespace MiniVlp.Models.Generation;

/// <summary>The rules of <see cref="GenerationOptions"/> on the scores of the next token of one row.</summary>
internal sealed class ScoreRules
{
    private readonly GenerationOptions _options;
    private readonly AnswerTrie? _allowed;
    private readonly HashSet<int> _seen = [];
    private float[] _kept = [];

    public ScoreRules(GenerationOptions options)
    {
        _options = options;
        _allowed = options.AllowedSequences is { } sequences ? new AnswerTrie(sequences) : null;
        HasAny = options.RepetitionPenalty != 1f || options.NoRepeatNgram > 0 || options.SuppressTokens.Count > 0 || _allowed is not null
            || (options.MinNewTokens > 0 && options.StopTokens.Count > 0);
    }

    /// <summary>Whether there is a rule at all; without one the best tokens are found where the logits are.</summary>
    public bool HasAny { get; }

    /// <summary>Changes the scores; -∞ is what may not come.</summary>
    /// <param name="scores">[vocabulary].</param>
    /// <param name="prompt">Tokens of the prompt.</param>
    /// <param name="written">Tokens behind the prompt.</param>
    public void Apply(Span<float> scores, ReadOnlySpan<int> prompt, List<int> written)
    {
        if (_options.RepetitionPenalty != 1f) Penalize(scores, prompt, written);
        if (_options.NoRepeatNgram > 0) ForbidNgrams(scores, prompt, written);
        if (written.Count < _options.MinNewTokens) Forbid(scores, _options.StopTokens);
        Forbid(scores, _options.SuppressTokens);
        if (_allowed is not null) AllowOnly(scores, written);
    }

    private void Penalize(Span<float> scores, ReadOnlySpan<int> prompt, List<int> written)
    {
        float penalty = _options.RepetitionPenalty;
        _seen.Clear();
        foreach (int token in prompt) _seen.Add(token);
        foreach (int token in written) _seen.Add(token);
        foreach (int token in _seen) scores[token] = scores[token] < 0 ? scores[token] * penalty : scores[token] / penalty;
    }

    /// <summary>A token is forbidden when the last n - 1 tokens and it occur earlier in the row.</summary>
    private void ForbidNgrams(Span<float> scores, ReadOnlySpan<int> prompt, List<int> written)
    {
        int[] row = [.. prompt, .. written];
        int before = _options.NoRepeatNgram - 1;
        if (row.Length < before) return;
        ReadOnlySpan<int> last = row.AsSpan(row.Length - before);
        for (int start = 0; start + before < row.Length; start++)
            if (row.AsSpan(start, before).SequenceEqual(last)) scores[row[start + before]] = float.NegativeInfinity;
    }

    private void AllowOnly(Span<float> scores, List<int> written)
    {
        (IReadOnlyCollection<int> tokens, bool canEnd) = _allowed!.After(written);
        IEnumerable<int> allowed = canEnd ? tokens.Concat(_options.StopTokens) : tokens;
        int[] ids = [.. allowed];
        if (_kept.Length < ids.Length) _kept = new float[ids.Length];
        for (int i = 0; i < ids.Length; i++) _kept[i] = scores[ids[i]];
        scores.Fill(float.NegativeInfinity);
        for (int i = 0; i < ids.Length; i++) scores[ids[i]] = _kept[i];
    }

    private static void Forbid(Span<float> scores, IReadOnlyList<int> tokens)
    {
        foreach (int token in tokens) scores[token] = float.NegativeInfinity;
    }
}
