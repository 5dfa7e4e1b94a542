using MiniVlp.Nn.Pretraining;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Engine.Tests.Pretraining;

/// <summary>Exact counts, places, and the shapes of blocks.</summary>
public sealed class PatchMaskingTests
{
    [Theory]
    [InlineData(14, 14, 75, PatchPattern.Random)]
    [InlineData(14, 14, 75, PatchPattern.Blockwise)]
    [InlineData(14, 14, 147, PatchPattern.Grid)]
    [InlineData(6, 9, 48, PatchPattern.Grid)]
    [InlineData(4, 4, 6, PatchPattern.Blockwise)]
    [InlineData(3, 17, 50, PatchPattern.Blockwise)]
    [InlineData(1, 5, 4, PatchPattern.Blockwise)]
    [InlineData(5, 1, 1, PatchPattern.Blockwise)]
    [InlineData(1, 2, 1, PatchPattern.Random)]
    public void Exactly_so_many_patches_are_masked(int rows, int columns, int count, PatchPattern pattern)
    {
        using TensorScope scope = new();
        PatchMasking masking = new(rows, columns, count) { Pattern = pattern };
        int[] masks = masking.Apply(200, generator: new Generator(4)).ToArray();
        Assert.Equal(200 * rows * columns, masks.Length);
        foreach (int[] mask in masks.Chunk(rows * columns))
        {
            Assert.All(mask, value => Assert.InRange(value, 0, 1));
            Assert.Equal(count, mask.Sum());
        }

        Assert.Equal(masks, masking.Apply(200, generator: new Generator(4)).ToArray());
        if (pattern != PatchPattern.Grid) Assert.NotEqual(masks, masking.Apply(200, generator: new Generator(5)).ToArray());
    }

    [Fact]
    public void At_random_each_patch_is_masked_equally_often()
    {
        using TensorScope scope = new();
        const int pictures = 20000;
        int[] counts = Counts(new PatchMasking(4, 5, 15), pictures);

        // Of the 20 patches of a picture exactly 15 are masked, which makes their spread smaller than that of independent draws.
        ChiSquare.Check(counts, [.. Enumerable.Repeat(1.0 / 20, 20)], 15 * pictures);
        Assert.All(counts, count => Assert.Equal(0.75, (double)count / pictures, 0.015));
    }

    [Fact]
    public void A_grid_keeps_one_patch_of_each_square_and_any_of_them()
    {
        using TensorScope scope = new();
        int[] masks = new PatchMasking(4, 6, 18) { Pattern = PatchPattern.Grid }.Apply(400, generator: new Generator(1)).ToArray();
        HashSet<int> kept = [];
        foreach (int[] mask in masks.Chunk(24))
        {
            int[] visible = [.. Enumerable.Range(0, 24).Where(i => mask[i] == 0)];
            Assert.Single(visible.Select(i => (i / 6 % 2, i % 6 % 2)).Distinct());
            kept.Add(visible[0]);
        }

        Assert.Equal([0, 1, 6, 7], kept.Order());
    }

    [Fact]
    public void Blocks_hang_together_far_more_than_random_patches()
    {
        using TensorScope scope = new();
        double random = Neighbours(PatchPattern.Random), blocks = Neighbours(PatchPattern.Blockwise);

        // A masked patch's right neighbour is masked with probability 74/195 at random.
        Assert.Equal(74.0 / 195, random, 0.01);
        Assert.InRange(blocks, 0.7, 1);

        static double Neighbours(PatchPattern pattern)
        {
            int masked = 0, pairs = 0;
            foreach (int[] mask in new PatchMasking(14, 14, 75) { Pattern = pattern }.Apply(1000, generator: new Generator(9)).ToArray().Chunk(196))
            {
                for (int i = 0; i < 196; i++)
                {
                    if (mask[i] == 0 || i % 14 == 13) continue;
                    masked++;
                    pairs += mask[i + 1];
                }
            }

            return (double)pairs / masked;
        }
    }

    [Fact]
    public void No_blockwise_mask_has_an_island_smaller_than_a_block()
    {
        using TensorScope scope = new();
        foreach (int[] mask in new PatchMasking(14, 14, 75) { Pattern = PatchPattern.Blockwise }.Apply(300, generator: new Generator(3)).ToArray().Chunk(196))
        {
            // Later blocks may be cut by what is still to be masked, but a first block of at least 16 (rounded sides: 12) is always there.
            Assert.True(LargestIsland(mask) >= 12);
        }

        static int LargestIsland(int[] mask)
        {
            int largest = 0;
            for (int start = 0; start < 196; start++)
            {
                if (mask[start] != 1) continue;
                int size = 0;
                Stack<int> open = new([start]);
                while (open.TryPop(out int i))
                {
                    if (mask[i] != 1) continue;
                    mask[i] = 2;
                    size++;
                    if (i % 14 > 0) open.Push(i - 1);
                    if (i % 14 < 13) open.Push(i + 1);
                    if (i >= 14) open.Push(i - 14);
                    if (i < 182) open.Push(i + 14);
                }

                largest = Math.Max(largest, size);
            }

            return largest;
        }
    }

    [Fact]
    public void The_share_of_MAE_leaves_a_quarter()
    {
        Assert.Equal(147, PatchMasking.OfRatio(14, 14, 0.75).MaskedCount);
        Assert.Equal(8, PatchMasking.OfRatio(3, 3, 0.8).MaskedCount); // ⌊1.8⌋ = 1 stays.
    }

    [Fact]
    public void What_cannot_be_masked_is_refused()
    {
        foreach (PatchMasking wrong in new[]
        {
            new PatchMasking(4, 4, 0), new PatchMasking(4, 4, 16), new PatchMasking(0, 4, 1), new PatchMasking(5, 4, 15) { Pattern = PatchPattern.Grid },
            new PatchMasking(4, 4, 11) { Pattern = PatchPattern.Grid }, new PatchMasking(4, 4, 4) { LeastAspect = 0 }, new PatchMasking(4, 4, 4) { SmallestBlock = 0 },
        }) Assert.Throws<InvalidOperationException>(() => wrong.Apply(1));
        Assert.Throws<ShapeException>(() => new PatchMasking(4, 4, 4).Apply(2, masked: new bool[3]));
    }

    [Fact]
    public void Conditional_masking_masks_one_modality_of_each_pair()
    {
        using TensorScope scope = new();
        const int batch = 2000, length = 12;
        int[] ids = new int[batch * length];
        for (int i = 0; i < ids.Length; i++) ids[i] = i % length == 0 ? 0 : 2 + (i % 7);
        ConditionalMasking masking = new(new TokenMasking { MaskId = 1, VocabularySize = 10, SpecialIds = [0], Rate = 0.5 }, new PatchMasking(3, 3, 4)) { TextShare = 0.3 };
        ConditionallyMasked masked = masking.Apply(IndexTensor.FromArray(ids, [batch, length]), new Generator(2));
        int[][] labels = [.. masked.Text.Labels.ToArray().Chunk(length)], patches = [.. masked.Patches.ToArray().Chunk(9)];
        int texts = 0;
        for (int i = 0; i < batch; i++)
        {
            Assert.Equal(masked.MasksText[i] ? 0 : 4, patches[i].Sum());
            if (!masked.MasksText[i]) Assert.All(labels[i], label => Assert.Equal(TokenMasking.IgnoredLabel, label));
            texts += masked.MasksText[i] ? 1 : 0;
        }

        Assert.Equal(0.3, (double)texts / batch, 0.04);
        Assert.Equal(0.5, masked.Text.Count / (11.0 * texts), 0.03);
        Assert.Equal(0, (masking with { TextShare = 0 }).Apply(IndexTensor.FromArray(ids, [batch, length]), new Generator(2)).Text.Count);
        Assert.Throws<ArgumentOutOfRangeException>(() => masking with { TextShare = 1.5 });
    }

    private static int[] Counts(PatchMasking masking, int pictures)
    {
        int patches = masking.Rows * masking.Columns;
        int[] counts = new int[patches];
        foreach (int[] mask in masking.Apply(pictures, generator: new Generator(12)).ToArray().Chunk(patches))
            for (int i = 0; i < patches; i++) counts[i] += mask[i];
        return counts;
    }
}
