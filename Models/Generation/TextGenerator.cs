using MiniVlp.Autograd;
using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Models.Generation;

/// <summary>Writes text with a decoder: greedy search, beam search, or sampling from all tokens, the likeliest or the nucleus (arXiv:1904.09751).</summary>
public static class TextGenerator
{
    /// <summary>Continues every row of a prompt.</summary>
    /// <param name="decoder">The model with its context, in evaluation mode.</param>
    /// <param name="prompt">[rows, tokens], at least one token: the start token, and what the text begins with. All rows are equally long.</param>
    /// <param name="options">How tokens are chosen; greedy search for at most 20 tokens when null.</param>
    /// <exception cref="ShapeException">The prompt is empty or not [rows, tokens].</exception>
    /// <exception cref="ArgumentException">An option makes no sense.</exception>
    /// <exception cref="InvalidOperationException">The rules leave no token to choose, or the logits are not numbers.</exception>
    public static GenerationResult Generate(ICausalDecoder decoder, IndexTensor prompt, GenerationOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(decoder);
        ArgumentNullException.ThrowIfNull(prompt);
        if (prompt.Shape.Rank != 2 || prompt.Shape.Length == 0)
            throw new ShapeException($"Generate: the prompt must be [rows, tokens] with at least one of each, found {prompt.Shape}.");
        options ??= new GenerationOptions();
        options.Check(decoder, prompt.Shape[1]);
        using IDisposable pause = Tape.NoGradient();
        return new GenerationResult(options.Beams > 1 ? new BeamSearch(decoder, prompt, options).Run() : Write(decoder, prompt, options), options.PadToken);
    }

    /// <summary>One token after the other, the best or a drawn one.</summary>
    private static List<GeneratedText> Write(ICausalDecoder decoder, IndexTensor prompt, GenerationOptions options)
    {
        ScoreRules rules = new(options);
        TokenSampler? sampler = options.Sample ? new TokenSampler(options, options.Seed ?? DrawSeed()) : null;
        int[] promptTokens = prompt.ToArray();
        int promptLength = prompt.Shape[1], copies = options.Sample ? options.ReturnSequences : 1;
        Line[] lines = [.. Enumerable.Range(0, prompt.Shape[0] * copies).Select(i => new Line(i / copies, i % copies))];
        using Continuation text = new(decoder, prompt);

        // At first the lines of one prompt look at one row of logits; from then on each has its own.
        Line[] rows = lines;
        for (int step = 0; step < options.MaxNewTokens; step++)
        {
            using TensorScope scope = new();
            Tensor logits = text.NextLogits();
            ScoredToken[] chosen = sampler is null && !rules.HasAny ? Best(logits) : Choose(logits);
            for (int row = 0; row < rows.Length; row++)
                if (!rows[row].Ended) rows[row].Add(chosen[row], options.StopTokens);
            int open = rows.Count(line => !line.Ended);
            if (open == 0) break;

            // Moving the cache costs about as much as a step, so ended rows go in large groups.
            Line[] kept = open * 2 <= rows.Length ? [.. rows.Where(line => !line.Ended)] : rows;
            text.Continue([.. kept.Select(line => line.Place)], [.. kept.Select(line => line.Ended ? options.PadToken : line.Tokens[^1])]);
            for (int row = 0; row < kept.Length; row++) kept[row].Place = row;
            rows = kept;

            ScoredToken[] Choose(Tensor scores)
            {
                int vocabulary = scores.Shape[1];
                float[] all = scores.ToArray(), normalizers = scores.LogSumExp().ToArray(), ruled = new float[vocabulary];
                ScoredToken[] tokens = new ScoredToken[rows.Length];
                for (int row = 0; row < rows.Length; row++)
                {
                    Line line = rows[row];
                    if (line.Ended) continue;
                    ReadOnlySpan<float> own = all.AsSpan(line.Place * vocabulary, vocabulary);
                    own.CopyTo(ruled);
                    rules.Apply(ruled, promptTokens.AsSpan(line.Row * promptLength, promptLength), line.Tokens);
                    ScoredToken[] best = BestTokens.Of(ruled, 1);
                    if (best.Length == 0) throw new InvalidOperationException($"Generate: row {line.Row}, token {step}: the rules leave no token to choose, or the logits are not numbers.");
                    int token = sampler?.Draw(ruled, options.FirstRow + line.Row, line.Sample, step) ?? best[0].Token;
                    tokens[row] = new ScoredToken(token, own[token] - normalizers[line.Place]);
                }

                return tokens;
            }
        }

        return [.. lines.Select(line => new GeneratedText(line.Row, line.Tokens, (float)line.Score))];
    }

    /// <summary>The best token of each row [rows, vocabulary] and its log-probability.</summary>
    private static ScoredToken[] Best(Tensor logits)
    {
        float[] normalizers = logits.LogSumExp().ToArray();
        int bad = Array.FindIndex(normalizers, normalizer => !float.IsFinite(normalizer));
        if (bad >= 0) throw new InvalidOperationException($"Generate: row {bad}: the logits are not numbers; their logarithm of sums is {normalizers[bad]}.");
        ScoredToken[][] best = BestTokens.OnDevice(logits, 1);
        return [.. best.Select((row, i) => row[0] with { Score = row[0].Score - normalizers[i] })];
    }

    private static ulong DrawSeed()
    {
        Generator generator = Generator.Current;
        (uint high, uint low, _, _) = Philox.Generate(generator.Seed, generator.Reserve(4));
        return ((ulong)high << 32) | low;
    }

    private sealed class Line(int row, int sample)
    {
        public int Row { get; } = row;

        public int Sample => sample;

        /// <summary>Its row in the logits.</summary>
        public int Place { get; set; } = row;

        public List<int> Tokens { get; } = [];

        public double Score { get; private set; }

        public bool Ended { get; private set; }

        public void Add(ScoredToken token, IReadOnlyList<int> stopTokens)
        {
            Tokens.Add(token.Token);
            Score += token.Score;
            Ended = stopTokens.Contains(token.Token);
        }
    }
}
