using MiniVlp.Nn.Pretraining;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Engine.Tests.Pretraining;

/// <summary>Rates, what must never be masked, and what is masked as a whole.</summary>
public sealed class TokenMaskingTests
{
    // 0 [PAD], 1 [CLS], 2 [SEP], 3 [MASK]; from 60 on the tokens go on with a word.
    private const int Vocabulary = 100, Mask = 3, FirstContinuation = 60;

    private static TokenMasking Words(MaskingUnit unit) => new()
    {
        MaskId = Mask,
        VocabularySize = Vocabulary,
        SpecialIds = [0, 1, 2],
        Unit = unit,
        ContinuesWord = id => id >= FirstContinuation,
    };

    [Theory]
    [InlineData(MaskingUnit.Token)]
    [InlineData(MaskingUnit.WholeWord)]
    [InlineData(MaskingUnit.Span)]
    public void Fifteen_percent_are_chosen_and_eight_of_ten_become_the_mask(MaskingUnit unit)
    {
        using TensorScope scope = new();
        (int[] ids, IndexTensor text) = Text(rows: 3000, length: 42);
        MaskedTokens masked = Words(unit).Apply(text, new Generator(8));
        int[] after = masked.Ids.ToArray(), labels = masked.Labels.ToArray();
        int ordinary = 0, chosen = 0, masks = 0, kept = 0, other = 0;
        int[] drawn = new int[Vocabulary];
        for (int i = 0; i < ids.Length; i++)
        {
            if (ids[i] > Mask) ordinary++;
            if (labels[i] == TokenMasking.IgnoredLabel)
            {
                Assert.Equal(ids[i], after[i]);
                continue;
            }

            Assert.True(ids[i] > Mask, "a special token was masked");
            Assert.Equal(ids[i], labels[i]);
            chosen++;
            if (after[i] == Mask) masks++;
            else if (after[i] == ids[i]) kept++;
            else
            {
                other++;
                drawn[after[i]]++;
            }
        }

        Assert.Equal(chosen, masked.Count);
        Assert.True(ordinary > 100_000);

        // Tokens of a word or span share their fate, so the spread is that of fewer draws: three times the deviation of single ones at most.
        double spread = unit == MaskingUnit.Token ? 4 : 12;
        Within(0.15, chosen, ordinary, spread);
        double random = 0.1 * (Vocabulary - 5) / (Vocabulary - 4); // One of 96 draws hits the token that was there.
        Within(0.8, masks, chosen, spread);
        Within(random, other, chosen, spread);
        Within(0.2 - random, kept, chosen, spread);
        Assert.All(drawn[..4], count => Assert.Equal(0, count));
        if (unit == MaskingUnit.Token) ChiSquare.Check([masks, other, kept], [0.8, random, 0.2 - random], chosen);
        Assert.All(drawn[4..], count => Assert.InRange(count, other / 96 / 3, other / 96 * 3));

        static void Within(double share, int count, int of, double deviations)
            => Assert.Equal(share, (double)count / of, deviations * Math.Sqrt(share * (1 - share) / of));
    }

    [Theory]
    [InlineData(MaskingUnit.WholeWord)]
    [InlineData(MaskingUnit.Span)]
    public void A_word_is_masked_whole_or_not_at_all(MaskingUnit unit)
    {
        using TensorScope scope = new();
        (int[] ids, IndexTensor text) = Text(rows: 400, length: 30);
        int[] labels = Words(unit).Apply(text, new Generator(2)).Labels.ToArray();
        int longWords = 0;
        for (int i = 1; i < ids.Length; i++)
        {
            if (i % 30 == 0 || ids[i] < FirstContinuation || ids[i - 1] <= Mask) continue;
            Assert.Equal(labels[i - 1] == TokenMasking.IgnoredLabel, labels[i] == TokenMasking.IgnoredLabel);
            if (labels[i] != TokenMasking.IgnoredLabel) longWords++;
        }

        Assert.True(longWords > 100);
    }

    [Fact]
    public void A_span_is_a_run_with_one_fate_and_geometric_length()
    {
        // One long text of words of one piece and a low rate, so that spans hardly ever touch.
        using TensorScope scope = new();
        const int length = 400_000;
        int[] ids = new int[length];
        for (int i = 0; i < length; i++) ids[i] = 4 + (i % 50);
        TokenMasking masking = Words(MaskingUnit.Span) with { Rate = 0.02, RandomShare = 0, SpanStop = 0.4, LongestSpan = 5 };
        MaskedTokens masked = masking.Apply(IndexTensor.FromArray(ids, [1, length]), new Generator(6));
        int[] after = masked.Ids.ToArray(), labels = masked.Labels.ToArray(), lengths = new int[6];
        Assert.InRange(masked.Count, (int)(0.02 * length), (int)(0.02 * length) + 1);
        int spans = 0, joined = 0, masks = 0;
        for (int i = 0; i < length; i++)
        {
            if (labels[i] == TokenMasking.IgnoredLabel) continue;
            int end = i;
            while (end < length && labels[end] != TokenMasking.IgnoredLabel) end++;
            int size = end - i;
            i = end;
            bool isMask = after[end - 1] == Mask;
            if (size > 5 || !Enumerable.Range(end - size, size).All(j => isMask ? after[j] == Mask : after[j] == ids[j]))
            {
                joined++;
                continue;
            }

            spans++;
            lengths[size]++;
            if (isMask) masks++;
        }

        // Two spans side by side look like one, which some 2 of 100 do.
        Assert.InRange(joined, 0, spans / 40);
        double[] expected = [0, 0.4, 0.24, 0.144, 0.0864, 0.1296];
        for (int i = 1; i <= 5; i++) Assert.Equal(expected[i], (double)lengths[i] / spans, 0.025);
        Assert.Equal(0.8, (double)masks / spans, 0.03);
    }

    [Fact]
    public void When_chance_chooses_nothing_one_token_is_masked_all_the_same()
    {
        using TensorScope scope = new();
        TokenMasking masking = Words(MaskingUnit.Token) with { Rate = 1e-9 };
        int[] places = new int[4];
        for (ulong seed = 0; seed < 200; seed++)
        {
            MaskedTokens masked = masking.Apply(IndexTensor.FromArray([1, 10, 11, 2], [1, 4]), new Generator(seed));
            Assert.Equal(1, masked.Count);
            places[Array.FindIndex(masked.Labels.ToArray(), label => label != TokenMasking.IgnoredLabel)]++;
        }

        Assert.Equal(0, places[0] + places[3]);
        Assert.InRange(places[1], 70, 130);
        Assert.Equal(0, masking.Apply(IndexTensor.FromArray([1, 2, 0], [1, 3]), new Generator(1)).Count);
    }

    [Fact]
    public void The_generator_decides_alone_and_rows_may_be_left_out()
    {
        using TensorScope scope = new();
        (int[] ids, IndexTensor text) = Text(rows: 8, length: 20);
        TokenMasking masking = Words(MaskingUnit.WholeWord) with { Rate = 0.4 };
        Generator.Current = new Generator(5);
        int[] first = masking.Apply(text).Ids.ToArray();
        Assert.Equal(first, masking.Apply(text, new Generator(5)).Ids.ToArray());
        Assert.NotEqual(first, masking.Apply(text, new Generator(6)).Ids.ToArray());
        Assert.Equal(ids, text.ToArray());
        bool[] rows = [.. Enumerable.Range(0, 8).Select(row => row == 3)];
        int[] labels = masking.Apply(text, new Generator(5), rows).Labels.ToArray();
        Assert.All(Enumerable.Range(0, 160).Where(i => i / 20 != 3), i => Assert.Equal(TokenMasking.IgnoredLabel, labels[i]));
        Assert.Contains(labels, label => label != TokenMasking.IgnoredLabel);
        Assert.Throws<ShapeException>(() => masking.Apply(text, new Generator(5), new bool[7]));
    }

    [Fact]
    public void Options_and_ids_out_of_range_are_named()
    {
        using TensorScope scope = new();
        IndexTensor text = IndexTensor.FromArray([1, 10, 2], [1, 3]);
        TokenMasking masking = Words(MaskingUnit.Token);
        foreach ((TokenMasking wrong, string name) in new (TokenMasking, string)[]
        {
            (masking with { Rate = 0 }, "Rate"), (masking with { Rate = 1 }, "Rate"), (masking with { MaskId = 100 }, "MaskId"), (masking with { MaskShare = 0.95 }, "MaskShare"),
            (masking with { RandomShare = -0.1 }, "RandomShare"), (masking with { SpecialIds = [-1] }, "SpecialIds"), (masking with { SpanStop = 0 }, "SpanStop"),
            (masking with { LongestSpan = 0 }, "LongestSpan"), (masking with { Unit = MaskingUnit.WholeWord, ContinuesWord = null }, "ContinuesWord"), (masking with { VocabularySize = 9 }, "VocabularySize"),
        }) Assert.Contains(name, Assert.Throws<InvalidOperationException>(() => wrong.Apply(text)).Message, StringComparison.Ordinal);
    }

    /// <summary>Captions of one to three pieces a word between [CLS] and [SEP], padded to different lengths.</summary>
    private static (int[] Ids, IndexTensor Text) Text(int rows, int length)
    {
        Generator generator = new(77);
        int[] ids = new int[rows * length];
        for (int row = 0; row < rows; row++)
        {
            int end = length - 1 - generator.Next(3);
            ids[row * length] = 1;
            ids[(row * length) + end] = 2;
            for (int i = 1; i < end; i++) ids[(row * length) + i] = i > 1 && generator.Next(3) == 0 ? FirstContinuation + generator.Next(40) : 4 + generator.Next(56);
        }

        return (ids, IndexTensor.FromArray(ids, [rows, length]));
    }
}
