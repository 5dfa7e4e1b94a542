using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Tensors;

namespace MiniVlp.Models.Generation;

/// <summary>An answer of a set with its log-likelihood.</summary>
/// <param name="Answer">Which of the answers.</param>
/// <param name="LogLikelihood">Σ log p of its tokens.</param>
public readonly record struct RankedAnswer(int Answer, float LogLikelihood);

/// <summary>
/// Ranks a closed set of answers by their likelihood under a decoder, as ALBEF (arXiv:2107.07651) and BLIP (arXiv:2201.12086) answer
/// questions: the k answers whose first token is likeliest are written out, and log p(answer) = Σ log p(token | tokens before) orders them.
/// </summary>
public static class AnswerRanker
{
    /// <summary>Logits that are looked at together.</summary>
    private const int LogitsAtOnce = 1 << 24;

    /// <summary>The likeliest answers of each row, best first, of equals the earlier.</summary>
    /// <param name="decoder">The model with its context, in evaluation mode.</param>
    /// <param name="prompt">[rows, tokens], such as a start token for each question.</param>
    /// <param name="answers">Token ids of each answer, its end token included.</param>
    /// <param name="candidates">How many are chosen by their first token and written out.</param>
    /// <returns>For each row, min(candidates, answers) answers.</returns>
    /// <exception cref="ShapeException">The prompt is empty or not [rows, tokens].</exception>
    /// <exception cref="ArgumentException">There is no answer, or one of them is empty, too long for the model, or has an id outside of the vocabulary.</exception>
    public static IReadOnlyList<RankedAnswer>[] Rank(ICausalDecoder decoder, IndexTensor prompt, IReadOnlyList<IReadOnlyList<int>> answers, int candidates = 128)
    {
        ArgumentNullException.ThrowIfNull(decoder);
        Check(decoder, prompt, answers, candidates);
        using IDisposable pause = Tape.NoGradient();
        using TensorScope scope = new();
        using KeyValueCache cache = new();
        int rows = prompt.Shape[0], count = Math.Min(candidates, answers.Count);
        Tensor hidden = decoder.Decode(prompt, cache);
        Tensor first = decoder.PredictTokens(hidden.Token(prompt.Shape[1] - 1)).LogSoftmax();
        int[] firstTokens = [.. Enumerable.Range(0, rows).SelectMany(_ => answers.Select(answer => answer[0]))];
        Tensor byFirst = first.Reshape([rows, decoder.VocabularySize, 1]).GatherTokens(IndexTensor.FromArray(firstTokens, [rows, answers.Count], decoder.Device));
        (Tensor values, IndexTensor positions) = byFirst.Reshape([rows, answers.Count]).TopK(count);
        int[] chosen = positions.ToArray();
        float[] scores = values.ToArray();
        AddRest(decoder, cache, answers, chosen, count, scores);
        return
        [
            .. Enumerable.Range(0, rows).Select(row => (IReadOnlyList<RankedAnswer>)
            [
                .. Enumerable.Range(row * count, count).Select(i => new RankedAnswer(chosen[i], scores[i]))
                    .OrderByDescending(answer => answer.LogLikelihood).ThenBy(answer => answer.Answer),
            ]),
        ];
    }

    /// <summary>Adds the log-probabilities of the second and later tokens of the chosen answers, <paramref name="count"/> for each row.</summary>
    private static void AddRest(ICausalDecoder decoder, KeyValueCache cache, IReadOnlyList<IReadOnlyList<int>> answers, int[] chosen, int count, float[] scores)
    {
        int steps = chosen.Max(answer => answers[answer].Count) - 1;
        if (steps == 0) return;
        int[] rows = new int[chosen.Length], tokens = new int[chosen.Length * steps];
        List<(int Choice, int Position, int Token)> wanted = [];
        for (int choice = 0; choice < chosen.Length; choice++)
        {
            rows[choice] = choice / count;
            IReadOnlyList<int> answer = answers[chosen[choice]];

            // Behind its end an answer is filled with its last token: the decoder is causal, and nobody reads the result.
            for (int i = 0; i < steps; i++) tokens[(choice * steps) + i] = answer[Math.Min(i, answer.Count - 1)];
            for (int i = 1; i < answer.Count; i++) wanted.Add((choice, (choice * steps) + i - 1, answer[i]));
        }

        if (cache.Rows > 0) cache.Gather(rows);
        Tensor hidden = decoder.Decode(IndexTensor.FromArray(tokens, [rows.Length, steps], decoder.Device), cache);
        Tensor states = hidden.Reshape([tokens.Length, hidden.Shape[2]]);
        int atOnce = Math.Max(1, LogitsAtOnce / decoder.VocabularySize);
        for (int start = 0; start < wanted.Count; start += atOnce)
        {
            using TensorScope scope = new();
            List<(int Choice, int Position, int Token)> part = wanted.GetRange(start, Math.Min(atOnce, wanted.Count - start));
            Tensor logits = decoder.PredictTokens(states.GatherRows(IndexTensor.FromArray([.. part.Select(item => item.Position)], [part.Count], decoder.Device)));
            IndexTensor next = IndexTensor.FromArray([.. part.Select(item => item.Token)], [part.Count, 1], decoder.Device);
            float[] logs = logits.LogSoftmax().Reshape([part.Count, decoder.VocabularySize, 1]).GatherTokens(next).ToArray();
            for (int i = 0; i < logs.Length; i++) scores[part[i].Choice] += logs[i];
        }
    }

    private static void Check(ICausalDecoder decoder, IndexTensor prompt, IReadOnlyList<IReadOnlyList<int>> answers, int candidates)
    {
        ArgumentNullException.ThrowIfNull(prompt);
        ArgumentNullException.ThrowIfNull(answers);
        ArgumentOutOfRangeException.ThrowIfLessThan(candidates, 1);
        if (prompt.Shape.Rank != 2 || prompt.Shape.Length == 0)
            throw new ShapeException($"Rank: the prompt must be [rows, tokens] with at least one of each, found {prompt.Shape}.");
        if (answers.Count == 0) throw new ArgumentException("Rank: at least one answer is needed.", nameof(answers));
        int longest = decoder.MaxPositions + 1 - prompt.Shape[1];
        for (int i = 0; i < answers.Count; i++)
        {
            if (answers[i].Count < 1 || answers[i].Count > longest)
                throw new ArgumentException($"Rank: answer {i} has {answers[i].Count} tokens; behind a prompt of {prompt.Shape[1]} the model has room for 1 .. {longest}.", nameof(answers));
            foreach (int token in answers[i])
                if (token < 0 || token >= decoder.VocabularySize) throw new ArgumentException($"Rank: answer {i} has the token {token}; ids are 0 .. {decoder.VocabularySize - 1}.", nameof(answers));
        }
    }
}
