using MiniVlp.Autograd;
using MiniVlp.Tensors;

namespace MiniVlp.Models.Generation;

/// <summary>
/// Beam search by the rules of Hugging Face's <c>generate</c>: of all continuations of the n running texts the best 2n are looked at (with k > 1
/// stop tokens the best (k + 1)n, so that n of them can run on); those that end count as complete only when they are among the best n; the best n others run on.
/// </summary>
internal sealed class BeamSearch
{
    private readonly ICausalDecoder _decoder;
    private readonly IndexTensor _prompt;
    private readonly GenerationOptions _options;
    private readonly ScoreRules _rules;
    private readonly int[] _promptTokens;
    private readonly int _promptLength;
    private readonly Search[] _searches;

    public BeamSearch(ICausalDecoder decoder, IndexTensor prompt, GenerationOptions options)
    {
        (_decoder, _prompt, _options, _rules) = (decoder, prompt, options, new ScoreRules(options));
        (_promptTokens, _promptLength) = (prompt.ToArray(), prompt.Shape[1]);
        _searches = [.. Enumerable.Range(0, prompt.Shape[0]).Select(row => new Search(row, options))];
    }

    public List<GeneratedText> Run()
    {
        using Continuation text = new(_decoder, _prompt);
        Beam[] rows = [.. _searches.Select(search => search.Running[0])];
        for (int length = 1; length <= _options.MaxNewTokens; length++)
        {
            using TensorScope scope = new();
            ScoredToken[][] best = Best(text.NextLogits().LogSoftmax(), rows);
            for (int row = 0; row < rows.Length; row++) rows[row].Next = best[row];
            foreach (Search search in _searches) search.Step(length);
            if (length == _options.MaxNewTokens || _searches.All(search => search.Closed)) break;

            // The rows of a closed search go when they are many: moving the cache of the context costs about as much as a step.
            Beam[] open = [.. _searches.Where(search => !search.Closed).SelectMany(search => search.Running)];
            Beam[] idle = [.. rows.Where(beam => beam.Search.Closed)];
            bool keepsIdle = open.Length > idle.Length;
            text.Continue(
                [.. open.Select(beam => beam.Parent!.Place), .. keepsIdle ? idle.Select(beam => beam.Place) : []],
                [.. open.Select(beam => beam.Tokens[^1]), .. keepsIdle ? idle.Select(_ => _options.PadToken) : []]);
            rows = keepsIdle ? [.. open, .. idle] : open;
            for (int row = 0; row < rows.Length; row++) rows[row].Place = row;
        }

        return [.. _searches.SelectMany(search => search.Complete.Take(_options.ReturnSequences).Select(text => new GeneratedText(search.Row, text.Tokens, text.Score)))];
    }

    private int CandidateCount => Math.Max(2, 1 + _options.StopTokens.Count) * _options.Beams;

    /// <summary>The best tokens of each row that is still searched.</summary>
    private ScoredToken[][] Best(Tensor logProbabilities, Beam[] rows)
    {
        int vocabulary = logProbabilities.Shape[1], count = Math.Min(CandidateCount, vocabulary);
        if (!_rules.HasAny) return BestTokens.OnDevice(logProbabilities, count);
        float[] scores = logProbabilities.ToArray();
        ScoredToken[][] best = new ScoredToken[rows.Length][];
        for (int row = 0; row < rows.Length; row++)
        {
            if (rows[row].Search.Closed)
            {
                best[row] = [];
                continue;
            }

            Span<float> own = scores.AsSpan(row * vocabulary, vocabulary);
            _rules.Apply(own, _promptTokens.AsSpan(rows[row].Search.Row * _promptLength, _promptLength), rows[row].Tokens);
            best[row] = BestTokens.Of(own, count);
        }

        return best;
    }

    /// <summary>A text that is being written.</summary>
    private sealed class Beam(Search search, Beam? parent, List<int> tokens, float score)
    {
        public Search Search { get; } = search;

        public Beam? Parent => parent;

        public List<int> Tokens => tokens;

        public float Score => score;

        /// <summary>Its row in the logits.</summary>
        public int Place { get; set; } = search.Row;

        /// <summary>The best tokens behind it.</summary>
        public ScoredToken[] Next { get; set; } = [];
    }

    /// <summary>The search for the texts of one row of the prompt.</summary>
    private sealed class Search
    {
        private readonly GenerationOptions _options;

        public Search(int row, GenerationOptions options)
        {
            (Row, _options) = (row, options);
            Running = [new Beam(this, null, [], 0f)];
        }

        public int Row { get; }

        public IReadOnlyList<Beam> Running { get; private set; }

        /// <summary>The best complete texts, best first.</summary>
        public IReadOnlyList<(List<int> Tokens, float Score)> Complete { get; private set; } = [];

        /// <summary>Whether no further text is looked for.</summary>
        public bool Closed { get; private set; }

        /// <summary>Takes the best continuations, of <paramref name="length"/> tokens each.</summary>
        public void Step(int length)
        {
            if (Closed) return;
            int beams = _options.Beams;
            (Beam Beam, int Token, float Score)[] candidates =
            [
                .. Running.SelectMany(beam => beam.Next.Select(next => (beam, next.Token, Score: beam.Score + next.Score)))
                    .Where(candidate => candidate.Score > float.NegativeInfinity)
                    .OrderByDescending(candidate => candidate.Score).Take(Math.Max(2, 1 + _options.StopTokens.Count) * beams),
            ];
            List<(List<int> Tokens, float Score)> complete = [.. Complete];
            List<Beam> running = [];
            for (int i = 0; i < candidates.Length; i++)
            {
                (Beam beam, int token, float score) = candidates[i];
                bool ends = length == _options.MaxNewTokens || _options.StopTokens.Contains(token);
                if (!ends && running.Count < beams) running.Add(new Beam(this, beam, [.. beam.Tokens, token], score));
                if (ends && i < beams) complete.Add(([.. beam.Tokens, token], score / LengthFactor(length)));
            }

            Complete = [.. complete.OrderByDescending(text => text.Score).Take(beams)];
            Running = running;
            Closed = running.Count == 0 || (Complete.Count == beams && !CanImprove(length));
        }

        private bool CanImprove(int length)
        {
            float worst = Complete[^1].Score, best = Running[0].Score;
            return _options.EarlyStopping switch
            {
                EarlyStopping.WhenFull => false,
                EarlyStopping.Never when _options.LengthPenalty > 0 => best / LengthFactor(_options.MaxNewTokens) > worst,
                _ => best / LengthFactor(length) > worst,
            };
        }

        private float LengthFactor(int length) => (float)Math.Pow(length, _options.LengthPenalty);
    }
}
