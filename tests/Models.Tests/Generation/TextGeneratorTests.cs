using MiniVlp.Autograd;
using MiniVlp.Models.Generation;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Models.Tests.Generation;

/// <summary>Greedy search and sampling against plain loops, distributions and rules.</summary>
public sealed class TextGeneratorTests
{
    private const int Stop = 0;

    private static readonly float[,] Table = { { 0, 0, 0, 0 }, { 0, 3, 2, 1 }, { 1, 0, 0.5f, 4 }, { 5, 1, 0, 0 } };

    [Fact]
    public void GreedySearchTakesTheBestTokenOfTheWholeText()
    {
        ToyDecoder decoder = new(7, [0, 1, 2, 3]);
        GenerationResult result = TextGenerator.Generate(decoder, Prompt([5, 2], [5, 1], [5, 2], [5, 6]), new() { MaxNewTokens = 8, StopTokens = [Stop] });
        int[][] prompts = [[5, 2], [5, 1], [5, 2], [5, 6]];
        for (int row = 0; row < 4; row++)
        {
            List<int> text = [.. prompts[row]];
            double score = 0;
            do
            {
                double[] logs = decoder.LogProbabilities(row, text);
                text.Add(Array.IndexOf(logs, logs.Max()));
                score += logs.Max();
            }
            while (text[^1] != Stop && text.Count < 10);
            Assert.Equal(text[2..], result.Texts[row].Tokens);
            Assert.Equal(score, result.Texts[row].Score, 1e-4);
        }
    }

    [Fact]
    public void TheTableIsFollowedToTheStopToken()
    {
        TableDecoder decoder = new(Table);
        GenerationResult result = TextGenerator.Generate(decoder, Prompt([2], [3]), new() { StopTokens = [Stop], PadToken = 2 });
        Assert.Equal([3, 0], result.Texts[0].Tokens);
        Assert.Equal([0], result.Texts[1].Tokens);
        Assert.Equal([3, 0, 0, 2], result.ToIndices().ToArray());
        Assert.Equal(5, TextGenerator.Generate(decoder, Prompt([1]), new() { StopTokens = [Stop], MaxNewTokens = 5 }).Texts[0].Tokens.Count);
    }

    [Theory]
    [InlineData(1, false)]
    [InlineData(3, false)]
    [InlineData(1, true)]
    public void EveryRowOfABatchEqualsThatRowAlone(int beams, bool sample)
    {
        GenerationOptions options = new() { MaxNewTokens = 8, StopTokens = [Stop, 3], Beams = beams, Sample = sample, ReturnSequences = sample ? 2 : beams, Seed = 4, TopP = 0.9f };
        int[] contexts = [.. Enumerable.Range(0, 9)];
        GenerationResult all = TextGenerator.Generate(new ToyDecoder(7, contexts), Prompt([.. contexts.Select(_ => new[] { 5 })]), options);
        Assert.True(all.Texts.Select(text => text.Tokens.Count).Distinct().Count() > 1, "rows should end at different steps");
        foreach (int row in contexts)
        {
            GenerationResult alone = TextGenerator.Generate(new ToyDecoder(7, [row]), Prompt([5]), options with { FirstRow = row });
            GeneratedText[] same = [.. all.Texts.Where(text => text.Row == row)];
            Assert.Equal(same.Length, alone.Texts.Count);
            for (int i = 0; i < same.Length; i++)
            {
                Assert.Equal(same[i].Tokens, alone.Texts[i].Tokens);
                Assert.Equal(same[i].Score, alone.Texts[i].Score, 1e-5f);
            }
        }
    }

    [Fact]
    public void RowsThatHaveEndedAreDroppedFromTheWork()
    {
        ToyDecoder decoder = new(7, [.. Enumerable.Range(0, 9)]);
        GenerationResult result = TextGenerator.Generate(decoder, Prompt([.. Enumerable.Repeat(new[] { 5 }, 9)]), new() { MaxNewTokens = 10, StopTokens = [Stop, 3], Sample = true, Seed = 1 });
        int longest = result.Texts.Max(text => text.Tokens.Count);
        Assert.Equal(longest, decoder.Calls.Count);
        Assert.Equal(9, decoder.Calls[0]);
        for (int step = 1; step < longest; step++)
            Assert.InRange(decoder.Calls[step], result.Texts.Count(text => text.Tokens.Count > step), 2 * result.Texts.Count(text => text.Tokens.Count > step));
    }

    [Fact]
    public void SamplesFollowTheModelsProbabilities() => AssertFrequencies(new() { Sample = true }, [.. Softmax([0, 3, 2, 1], 1)]);

    [Fact]
    public void TemperatureDividesTheLogits() => AssertFrequencies(new() { Sample = true, Temperature = 2 }, [.. Softmax([0, 3, 2, 1], 2)]);

    [Fact]
    public void TheLikeliestKTokensAreDrawn()
    {
        double[] p = Softmax([3, 2], 1);
        AssertFrequencies(new() { Sample = true, TopK = 2 }, [0, p[0], p[1], 0]);
    }

    [Theory]
    [InlineData(0.5f, 1)]
    [InlineData(0.65f, 2)]
    [InlineData(0.9f, 3)]
    [InlineData(0.98f, 4)]
    public void TheNucleusIsTheSmallestSetOfAtLeastThatProbability(float topP, int size)
    {
        // Probabilities of tokens 1, 2, 3, 0: 0.644, 0.237, 0.087, 0.032; sums 0.644, 0.881, 0.968, 1.
        double[] p = Softmax([.. new[] { 3f, 2f, 1f, 0f }[..size]], 1);
        double[] expected = new double[4];
        for (int i = 0; i < size; i++) expected[(i + 1) % 4] = p[i];
        AssertFrequencies(new() { Sample = true, TopP = topP }, expected);
    }

    [Fact]
    public void TheNucleusIsThatOfTheTopK()
    {
        // Of tokens 1 and 2 alone, token 1 has 0.731.
        AssertFrequencies(new() { Sample = true, TopK = 2, TopP = 0.7f }, [0, 1, 0, 0]);
        AssertFrequencies(new() { Sample = true, TopK = 3, TopP = 0.7f }, [0, Softmax([3, 2], 1)[0], Softmax([3, 2], 1)[1], 0]);
    }

    [Fact]
    public void SamplesDependOnTheSeedAndNothingElse()
    {
        GenerationOptions options = new() { Sample = true, Seed = 3, MaxNewTokens = 30, ReturnSequences = 4 };
        TableDecoder decoder = new(Table);
        int[] first = TextGenerator.Generate(decoder, Prompt([1], [2]), options).ToIndices().ToArray();
        Assert.Equal(first, TextGenerator.Generate(decoder, Prompt([1], [2]), options).ToIndices().ToArray());
        Assert.NotEqual(first, TextGenerator.Generate(decoder, Prompt([1], [2]), options with { Seed = 4 }).ToIndices().ToArray());
        Generator.Current = new Generator(7);
        int[] drawn = TextGenerator.Generate(decoder, Prompt([1], [2]), options with { Seed = null }).ToIndices().ToArray();
        Assert.NotEqual(drawn, TextGenerator.Generate(decoder, Prompt([1], [2]), options with { Seed = null }).ToIndices().ToArray());
        Generator.Current = new Generator(7);
        Assert.Equal(drawn, TextGenerator.Generate(decoder, Prompt([1], [2]), options with { Seed = null }).ToIndices().ToArray());
    }

    [Fact]
    public void NoStopTokenComesBeforeTheShortestLength()
    {
        // Token 3 wants to stop; forbidden that, it goes on with token 1, which repeats itself.
        GenerationOptions options = new() { StopTokens = [Stop], MinNewTokens = 2, MaxNewTokens = 4 };
        Assert.Equal([1, 1, 1, 1], TextGenerator.Generate(new TableDecoder(Table), Prompt([3]), options).Texts[0].Tokens);
        Assert.Equal([3, 1, 1, 1], TextGenerator.Generate(new TableDecoder(Table), Prompt([2]), options).Texts[0].Tokens);
        Assert.Equal([3, 0], TextGenerator.Generate(new TableDecoder(Table), Prompt([2]), options with { MinNewTokens = 1 }).Texts[0].Tokens);
    }

    [Fact]
    public void SuppressedTokensAreNeverWritten()
        => Assert.Equal([2, 2, 2], TextGenerator.Generate(new TableDecoder(Table), Prompt([1]), new() { SuppressTokens = [1, 3, 0], MaxNewTokens = 3 }).Texts[0].Tokens);

    [Fact]
    public void RepeatedTokensArePenalisedOnEitherSideOfZero()
    {
        // From token 1: logits 3 for itself, 2 for token 2. Divided by 2, 3 is less than 2. Then from 2: 4 for token 3.
        Assert.Equal([2, 3], TextGenerator.Generate(new TableDecoder(Table), Prompt([1]), new() { RepetitionPenalty = 2, MaxNewTokens = 2 }).Texts[0].Tokens);
        float[,] negative = { { -1, -1.5f }, { -1, -1.5f } };
        Assert.Equal([0], TextGenerator.Generate(new TableDecoder(negative), Prompt([0]), new() { MaxNewTokens = 1 }).Texts[0].Tokens);
        Assert.Equal([1], TextGenerator.Generate(new TableDecoder(negative), Prompt([0]), new() { RepetitionPenalty = 2, MaxNewTokens = 1 }).Texts[0].Tokens);
    }

    [Fact]
    public void NoNgramOccursTwice()
    {
        GenerationResult result = TextGenerator.Generate(new ToyDecoder(5, [0, 1, 2]), Prompt([4], [4], [4]), new() { NoRepeatNgram = 2, MaxNewTokens = 11 });
        foreach (GeneratedText text in result.Texts)
        {
            int[] row = [4, .. text.Tokens];
            (int, int)[] pairs = [.. row.Zip(row[1..])];
            Assert.Equal(pairs.Length, pairs.Distinct().Count());
        }

        Assert.Equal([1, 2, 3, 0], TextGenerator.Generate(new TableDecoder(Table), Prompt([1]), new() { NoRepeatNgram = 2, MaxNewTokens = 4 }).Texts[0].Tokens);
    }

    [Theory]
    [InlineData(1, false)]
    [InlineData(4, false)]
    [InlineData(1, true)]
    public void AConstrainedTextNeverLeavesTheSet(int beams, bool sample)
    {
        int[][] allowed = [[1], [1, 2], [2, 2, 4], [3, 1, 1, 5], [4, 4]];
        int[] contexts = [.. Enumerable.Range(0, 12)];
        GenerationOptions options = new()
        {
            AllowedSequences = allowed,
            StopTokens = [Stop, 6],
            Beams = beams,
            Sample = sample,
            Seed = 2,
            ReturnSequences = sample ? 20 : beams,
            MaxNewTokens = 6,
            Temperature = 3,
        };
        GenerationResult result = TextGenerator.Generate(new ToyDecoder(7, contexts), Prompt([.. contexts.Select(_ => new[] { 5 })]), options);
        HashSet<string> written = [];
        foreach (GeneratedText text in result.Texts)
        {
            Assert.Contains(text.Tokens[^1], options.StopTokens);
            int[] answer = [.. text.Tokens.SkipLast(1)];
            Assert.Contains(allowed, answer.SequenceEqual);
            written.Add(string.Join(' ', answer));
        }

        if (sample || beams > 1) Assert.Equal(allowed.Length, written.Count);
    }

    [Fact]
    public void MistakesAreNamed()
    {
        TableDecoder decoder = new(Table);
        Assert.Throws<ShapeException>(() => TextGenerator.Generate(decoder, IndexTensor.FromArray([1], [1])));
        Assert.Throws<ShapeException>(() => TextGenerator.Generate(decoder, IndexTensor.FromArray([], [1, 0])));
        foreach ((GenerationOptions options, string field) in new (GenerationOptions, string)[]
        {
            (new() { MaxNewTokens = 0 }, "MaxNewTokens"), (new() { MaxNewTokens = 1001 }, "MaxNewTokens"), (new() { MinNewTokens = 30 }, "MinNewTokens"), (new() { Beams = 0 }, "Beams"),
            (new() { Beams = 2, Sample = true }, "Beams"), (new() { ReturnSequences = 2 }, "ReturnSequences"), (new() { Temperature = 0 }, "Temperature"), (new() { TopP = 0 }, "TopP"),
            (new() { TopK = -1 }, "TopK"), (new() { RepetitionPenalty = 0 }, "RepetitionPenalty"), (new() { StopTokens = [4] }, "StopTokens"), (new() { PadToken = -1 }, "PadToken"),
            (new() { AllowedSequences = [[1]] }, "StopTokens"), (new() { AllowedSequences = [[]], StopTokens = [0] }, "AllowedSequences"), (new() { AllowedSequences = [], StopTokens = [0] }, "AllowedSequences"),
            (new() { AllowedSequences = [[1, 2]], StopTokens = [0], MaxNewTokens = 2 }, "AllowedSequences"), (new() { AllowedSequences = [[1, 0]], StopTokens = [0] }, "AllowedSequences"),
        })
        {
            Assert.Contains("GenerationOptions." + field, Assert.Throws<ArgumentException>(() => TextGenerator.Generate(decoder, Prompt([1]), options)).Message, StringComparison.Ordinal);
        }

        Assert.Contains("no token", Assert.Throws<InvalidOperationException>(() => TextGenerator.Generate(decoder, Prompt([1]), new() { SuppressTokens = [0, 1, 2, 3] })).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ATapeThatRecordsIsLeftAlone()
    {
        using Tape tape = Tape.Record();
        Tensor x = Tensor.FromScalar(2);
        x.NeedsGradient = true;
        Tensor square = x * x;
        Assert.Equal([0], TextGenerator.Generate(new ToyDecoder(1, [0]), Prompt([0]), new() { MaxNewTokens = 1 }).Texts[0].Tokens);
        tape.Backward(square);
        Assert.Equal(4f, x.Gradient!.Item());
    }

    internal static IndexTensor Prompt(params int[][] rows) => IndexTensor.FromArray([.. rows.SelectMany(row => row)], [rows.Length, rows[0].Length]);

    private static double[] Softmax(float[] logits, double temperature)
    {
        double sum = logits.Sum(logit => Math.Exp(logit / temperature));
        return [.. logits.Select(logit => Math.Exp(logit / temperature) / sum)];
    }

    /// <summary>χ² of 20,000 draws behind token 1; 20 is exceeded once in several thousand times with 3 degrees of freedom.</summary>
    private static void AssertFrequencies(GenerationOptions options, double[] expected)
    {
        const int Draws = 20_000;
        GenerationResult result = TextGenerator.Generate(new TableDecoder(Table), Prompt([1]), options with { MaxNewTokens = 1, ReturnSequences = Draws, Seed = 11 });
        int[] counts = new int[4];
        foreach (GeneratedText text in result.Texts) counts[text.Tokens[0]]++;
        double chi = 0;
        for (int token = 0; token < 4; token++)
        {
            if (expected[token] == 0) Assert.Equal(0, counts[token]);
            else chi += Math.Pow(counts[token] - (Draws * expected[token]), 2) / (Draws * expected[token]);
        }

        Assert.True(chi < 20, $"χ² {chi:0.0}: {string.Join(", ", counts)}");
    }
}
