using MiniVlp.Models.Generation;
using Xunit;

namespace MiniVlp.Models.Tests.Generation;

/// <summary>Beam search against exhaustive search, and against its rules written out row by row without a cache.</summary>
public sealed class BeamSearchTests
{
    private const int Stop = 0;

    [Theory]
    [InlineData(0f)]
    [InlineData(0.6f)]
    [InlineData(1f)]
    [InlineData(2f)]
    public void AsManyBeamsAsTextsAreExhaustiveSearch(float lengthPenalty)
    {
        const int Vocabulary = 4, Length = 3;
        ToyDecoder decoder = new(Vocabulary, [0, 1, 2]);
        GenerationOptions options = new()
        {
            Beams = 64,
            ReturnSequences = 64,
            MaxNewTokens = Length,
            StopTokens = [Stop],
            LengthPenalty = lengthPenalty,
            EarlyStopping = EarlyStopping.Never,
        };
        GenerationResult result = TextGenerator.Generate(decoder, TextGeneratorTests.Prompt([2], [3], [1]), options);
        int[] starts = [2, 3, 1];
        for (int row = 0; row < 3; row++)
        {
            List<(int[] Tokens, double Score)> all = [];
            Enumerate(decoder, row, [starts[row]], 0, Length, lengthPenalty, all);
            (int[] Tokens, double Score)[] expected = [.. all.OrderByDescending(text => text.Score)];
            GeneratedText[] found = [.. result.Texts.Where(text => text.Row == row)];
            Assert.Equal(40, expected.Length);
            Assert.Equal(expected.Length, found.Length);
            for (int i = 0; i < expected.Length; i++)
            {
                Assert.Equal(expected[i].Tokens, found[i].Tokens);
                Assert.Equal(expected[i].Score, found[i].Score, 1e-5);
            }
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    public void BeamsFollowTheRulesOfTransformers(int variant)
    {
        GenerationOptions options = new() { MaxNewTokens = 7, StopTokens = [Stop], PadToken = 1 };
        options = variant switch
        {
            0 => options with { Beams = 2 },
            1 => options with { Beams = 3, ReturnSequences = 3 },
            2 => options with { Beams = 4, ReturnSequences = 2, LengthPenalty = 0.5f, EarlyStopping = EarlyStopping.WhenFull },
            3 => options with { Beams = 3, LengthPenalty = 2, EarlyStopping = EarlyStopping.Never, StopTokens = [Stop, 3] },
            4 => options with { Beams = 3, MinNewTokens = 4, RepetitionPenalty = 1.3f },
            _ => options with { Beams = 2, SuppressTokens = [2], LengthPenalty = -1 },
        };
        for (int seed = 1; seed <= 4; seed++)
        {
            ToyDecoder decoder = new(9, [0, 1, 2, 3], seed);
            GenerationResult result = TextGenerator.Generate(decoder, TextGeneratorTests.Prompt([5, 4], [5, 4], [5, 4], [5, 4]), options);
            for (int row = 0; row < 4; row++)
            {
                (List<int> Tokens, double Score)[] expected = [.. Search(decoder, row, [5, 4], options).Take(options.ReturnSequences)];
                GeneratedText[] found = [.. result.Texts.Where(text => text.Row == row)];
                Assert.Equal(expected.Length, found.Length);
                for (int i = 0; i < found.Length; i++)
                {
                    Assert.Equal(expected[i].Tokens, found[i].Tokens);
                    Assert.Equal(expected[i].Score, found[i].Score, 1e-5);
                }
            }
        }
    }

    [Fact]
    public void BeamSearchFindsWhatGreedySearchMisses()
    {
        // The best first token, 1, is followed by nothing likely; 2 is followed by the stop token for certain.
        float[,] table = { { 0, 0, 0, 0 }, { 0, 0, 0, 0 }, { 20, 0, 0, 0 }, { 0, 3, 2.9f, 0 } };
        GenerationOptions options = new() { MaxNewTokens = 2, StopTokens = [Stop] };
        Assert.Equal(1, TextGenerator.Generate(new TableDecoder(table), TextGeneratorTests.Prompt([3]), options).Texts[0].Tokens[0]);
        Assert.Equal([2, 0], TextGenerator.Generate(new TableDecoder(table), TextGeneratorTests.Prompt([3]), options with { Beams = 2 }).Texts[0].Tokens);
    }

    private static void Enumerate(ToyDecoder decoder, int row, int[] text, double sum, int left, float lengthPenalty, List<(int[] Tokens, double Score)> all)
    {
        double[] logs = decoder.LogProbabilities(row, text);
        for (int token = 0; token < logs.Length; token++)
        {
            int[] longer = [.. text, token];
            if (token == Stop || left == 1) all.Add((longer[1..], (sum + logs[token]) / Math.Pow(longer.Length - 1, lengthPenalty)));
            else Enumerate(decoder, row, longer, sum + logs[token], left - 1, lengthPenalty, all);
        }
    }

    /// <summary>
    /// The rules as they are written down for Hugging Face's generate: n copies of the prompt of which the others start at -1e9, the best 2n of
    /// all n · vocabulary continuations, and so on. One row at a time, every text from its first token on.
    /// </summary>
    private static List<(List<int> Tokens, double Score)> Search(ToyDecoder decoder, int row, int[] prompt, GenerationOptions options)
    {
        int n = options.Beams;
        List<(List<int> Tokens, double Score)> running = [.. Enumerable.Range(0, n).Select(i => (new List<int>(), i == 0 ? 0.0 : -1e9))], complete = [];
        for (int length = 1; length <= options.MaxNewTokens; length++)
        {
            List<(List<int> Tokens, double Score)> candidates = [];
            foreach ((List<int> tokens, double score) in running)
            {
                double[] logs = decoder.LogProbabilities(row, [.. prompt, .. tokens]);
                foreach (int token in prompt.Concat(tokens).Distinct()) logs[token] = logs[token] < 0 ? logs[token] * options.RepetitionPenalty : logs[token] / options.RepetitionPenalty;
                foreach (int token in options.SuppressTokens) logs[token] = double.NegativeInfinity;
                if (length <= options.MinNewTokens) foreach (int token in options.StopTokens) logs[token] = double.NegativeInfinity;
                for (int token = 0; token < logs.Length; token++) candidates.Add(([.. tokens, token], score + logs[token]));
            }

            candidates = [.. candidates.OrderByDescending(candidate => candidate.Score).Take(Math.Max(2, 1 + options.StopTokens.Count) * n)];
            bool full = complete.Count == n && options.EarlyStopping == EarlyStopping.WhenFull;
            bool[] ends = [.. candidates.Select(candidate => options.StopTokens.Contains(candidate.Tokens[^1]) || length == options.MaxNewTokens)];
            running = [.. candidates.Where((_, i) => !ends[i]).Take(n)];
            if (!full) complete.AddRange(candidates.Take(n).Where((_, i) => ends[i]).Select(candidate => (candidate.Tokens, candidate.Score / Math.Pow(length, options.LengthPenalty))));
            complete = [.. complete.OrderByDescending(text => text.Score).Take(n)];
            if (running.Count == 0 || (complete.Count == n && options.EarlyStopping == EarlyStopping.WhenFull)) break;
            double reach = Math.Pow(options.EarlyStopping == EarlyStopping.Never && options.LengthPenalty > 0 ? options.MaxNewTokens : length, options.LengthPenalty);
            if (complete.Count == n && running[0].Score / reach <= complete[^1].Score) break;
        }

        return complete;
    }
}
