using MiniVlp.Models.Generation;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Models.Tests.Generation;

/// <summary>Answers ranked by their likelihood.</summary>
public sealed class AnswerRankerTests
{
    private const int Stop = 0;

    private static readonly int[][] Answers = [[1, Stop], [1, 2, Stop], [2, 2, 4, Stop], [3, 1, 1, 5, Stop], [4, 4, Stop], [Stop], [2, 6, Stop]];

    [Fact]
    public void TheOrderIsThatOfTheLogLikelihoods()
    {
        ToyDecoder decoder = new(7, [0, 1, 2, 3]);
        IReadOnlyList<RankedAnswer>[] ranked = AnswerRanker.Rank(decoder, TextGeneratorTests.Prompt([5], [5], [5], [6]), Answers);
        for (int row = 0; row < 4; row++)
        {
            int start = row == 3 ? 6 : 5;
            (int Answer, double Score)[] expected = [.. Answers.Select((answer, i) => (i, LogLikelihood(decoder, row, start, answer))).OrderByDescending(pair => pair.Item2)];
            Assert.Equal(expected.Select(pair => pair.Answer), ranked[row].Select(answer => answer.Answer));
            for (int i = 0; i < expected.Length; i++) Assert.Equal(expected[i].Score, ranked[row][i].LogLikelihood, 1e-4);
        }
    }

    [Fact]
    public void OnlyTheLikeliestByTheirFirstTokenAreWrittenOut()
    {
        ToyDecoder decoder = new(7, [0, 1, 2]);
        IReadOnlyList<RankedAnswer>[] ranked = AnswerRanker.Rank(decoder, TextGeneratorTests.Prompt([5], [5], [5]), Answers, candidates: 3);
        for (int row = 0; row < 3; row++)
        {
            double[] first = decoder.LogProbabilities(row, [5]);
            int[] chosen = [.. Enumerable.Range(0, Answers.Length).OrderByDescending(i => first[Answers[i][0]]).Take(3)];
            Assert.Equal(chosen.OrderByDescending(i => LogLikelihood(decoder, row, 5, Answers[i])), ranked[row].Select(answer => answer.Answer));
        }
    }

    [Fact]
    public void ItAgreesWithAConstrainedBeamSearch()
    {
        ToyDecoder decoder = new(7, [0, 1, 2, 3, 4, 5]);
        IndexTensor prompt = TextGeneratorTests.Prompt([.. Enumerable.Repeat(new[] { 5 }, 6)]);
        int[][] answers = [.. Answers.Where(answer => answer.Length > 1)];
        IReadOnlyList<RankedAnswer>[] ranked = AnswerRanker.Rank(decoder, prompt, answers);
        GenerationResult beams = TextGenerator.Generate(decoder, prompt, new()
        {
            AllowedSequences = [.. answers.Select(answer => answer[..^1])],
            StopTokens = [Stop],
            Beams = answers.Length,
            ReturnSequences = answers.Length,
            MaxNewTokens = 5,
            LengthPenalty = 0,
        });
        for (int row = 0; row < 6; row++)
        {
            GeneratedText[] texts = [.. beams.Texts.Where(text => text.Row == row)];
            Assert.Equal(ranked[row].Select(answer => string.Join(' ', answers[answer.Answer])), texts.Select(text => string.Join(' ', text.Tokens)));
            for (int i = 0; i < texts.Length; i++) Assert.Equal(ranked[row][i].LogLikelihood, texts[i].Score, 1e-5f);
        }
    }

    [Fact]
    public void AnswersOfOneTokenNeedNoSecondCall()
    {
        ToyDecoder decoder = new(7, [0]);
        IReadOnlyList<RankedAnswer> ranked = AnswerRanker.Rank(decoder, TextGeneratorTests.Prompt([5]), [[1], [2], [6]])[0];
        double[] first = decoder.LogProbabilities(0, [5]);
        Assert.Equal(new[] { 0, 1, 2 }.OrderByDescending(i => first[i < 2 ? i + 1 : 6]), ranked.Select(answer => answer.Answer));
        Assert.Single(decoder.Calls);
    }

    [Fact]
    public void MistakesAreNamed()
    {
        ToyDecoder decoder = new(7, [0]);
        IndexTensor prompt = TextGeneratorTests.Prompt([5]);
        Assert.Throws<ArgumentException>(() => AnswerRanker.Rank(decoder, prompt, []));
        Assert.Contains("answer 1", Assert.Throws<ArgumentException>(() => AnswerRanker.Rank(decoder, prompt, [[1], []])).Message, StringComparison.Ordinal);
        Assert.Contains("0 .. 6", Assert.Throws<ArgumentException>(() => AnswerRanker.Rank(decoder, prompt, [[7]])).Message, StringComparison.Ordinal);
        Assert.Contains("1 .. 12", Assert.Throws<ArgumentException>(() => AnswerRanker.Rank(decoder, prompt, [[.. Enumerable.Repeat(1, 13)]])).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentOutOfRangeException>(() => AnswerRanker.Rank(decoder, prompt, [[1]], 0));
        Assert.Throws<ShapeException>(() => AnswerRanker.Rank(decoder, IndexTensor.FromArray([5], [1]), [[1]]));
    }

    private static double LogLikelihood(ToyDecoder decoder, int row, int start, int[] answer)
    {
        double sum = 0;
        for (int i = 0; i < answer.Length; i++) sum += decoder.LogProbabilities(row, [start, .. answer[..i]])[answer[i]];
        return sum;
    }
}
