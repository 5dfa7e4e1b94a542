using MiniVlp.Engine.Tests.Goldens;
using MiniVlp.Engine.Tests.OpTable;
using MiniVlp.Kernels;
using MiniVlp.Nn.Pretraining;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Engine.Tests.Pretraining;

/// <summary>Who becomes the negative of whom, and how often.</summary>
[Collection("op table")]
public sealed class HardNegativeSamplerTests
{
    private static Device TestDevice => TestDevices.Get(CpuBackend.WidestTier, 2);

    [Fact]
    public void Weights_are_those_of_ALBEF_normalised()
    {
        OpGolden golden = new("hard_negative_weights", TestDevice);
        IndexTensor ids = golden.Indices("image_ids");
        int batch = ids.Shape[0];
        HardNegativeSampler exact = new() { Floor = 0 }, floored = new();
        foreach ((string direction, string hardest) in new[] { ("i2t", "hardest_text"), ("t2i", "hardest_image") })
        {
            // The reference masks after the softmax and leaves the normalisation to multinomial; beyond the batch there are columns of a queue.
            (Shape shape, float[] all) = golden.Floats("inputs", "sim_" + direction);
            float[] inBatch = [.. Enumerable.Range(0, batch * batch).Select(i => all[(i / batch * shape[1]) + (i % batch)])];
            Tensor similarities = Tensor.FromArray(inBatch, [batch, batch], TestDevice);
            double[] weights = exact.Weights(similarities);
            Compare(golden.Floats("outputs", "weights_" + direction).Values, weights, 1e-6);
            Compare(golden.Floats("outputs", $"weights_{direction}_ids").Values, exact.Weights(similarities, ids), 1e-6);

            // The floor comes on top of what is left for the candidates, not of what the right pair leaves over.
            float[] reference = golden.Floats("outputs", "weights_" + direction).Values;
            float[] offset = [.. reference.Select((w, i) => w == 0 ? 0 : (float)((w / reference.Skip(i / batch * batch).Take(batch).Sum(v => (double)v)) + 1e-4))];
            Compare(offset, floored.Weights(similarities), 1e-6);
            Assert.Equal(
                golden.Integers("outputs", hardest).Values,
                Enumerable.Range(0, batch).Select(row => Enumerable.Range(0, batch).MaxBy(column => weights[(row * batch) + column])));
        }

        void Compare(float[] reference, double[] actual, double tolerance)
        {
            for (int row = 0; row < batch; row++)
            {
                double sum = reference.Skip(row * batch).Take(batch).Sum(w => (double)w);
                for (int column = 0; column < batch; column++) Assert.Equal(reference[(row * batch) + column] / sum, actual[(row * batch) + column], tolerance);
            }
        }
    }

    [Theory]
    [InlineData(NegativeStrategy.Hard)]
    [InlineData(NegativeStrategy.Random)]
    public void Frequencies_follow_the_softmax_of_the_similarities_or_are_equal(NegativeStrategy strategy)
    {
        const int draws = 20000;
        float[] scores = [9, 1, 0, 2, 0.5f, 3, -1, 2, 1.5f, 0, 8, 0, 0, 0, 0, 0]; // 4 x 4
        using Tensor similarities = Tensor.FromArray(scores, [4, 4], TestDevice);
        HardNegativeSampler sampler = new() { Strategy = strategy, Floor = 0 };
        Generator generator = new(11);
        int[] counts = new int[16];
        for (int i = 0; i < draws; i++)
        {
            using IndexTensor chosen = sampler.Sample(similarities, generator: generator);
            int[] columns = chosen.ToArray();
            for (int row = 0; row < 4; row++) counts[(4 * row) + columns[row]]++;
        }

        Assert.Equal(4UL * draws, generator.Position);
        for (int row = 0; row < 4; row++)
        {
            double[] expected = [.. Enumerable.Range(0, 4).Select(column => column == row ? 0 : strategy == NegativeStrategy.Hard ? Math.Exp(scores[(4 * row) + column]) : 1)];
            double sum = expected.Sum();
            ChiSquare.Check(counts.AsSpan(4 * row, 4), [.. expected.Select(e => e / sum)], draws);
        }
    }

    [Theory]
    [InlineData(NegativeStrategy.Hard)]
    [InlineData(NegativeStrategy.Random)]
    public void Columns_of_the_same_picture_are_never_drawn(NegativeStrategy strategy)
    {
        int[] ids = [7, 3, 7, 7, 3, 5];
        float[] scores = new float[36];
        for (int i = 0; i < 36; i++) scores[i] = ids[i / 6] == ids[i % 6] ? 50 : -3 + (i % 5);
        using Tensor similarities = Tensor.FromArray(scores, [6, 6], TestDevice);
        using IndexTensor rowIds = IndexTensor.FromArray(ids, [6], TestDevice);
        HardNegativeSampler sampler = new() { Strategy = strategy };
        Generator generator = new(5);
        for (int i = 0; i < 500; i++)
        {
            using IndexTensor chosen = sampler.Sample(similarities, rowIds, generator: generator);
            int[] columns = chosen.ToArray();
            for (int row = 0; row < 6; row++) Assert.NotEqual(ids[row], ids[columns[row]]);
        }
    }

    [Fact]
    public void Ids_of_the_columns_may_be_others_than_those_of_the_rows()
    {
        using Tensor similarities = Tensor.Zeros([2, 3], TestDevice);
        using IndexTensor rowIds = IndexTensor.FromArray([1, 2], [2], TestDevice), columnIds = IndexTensor.FromArray([9, 1, 1], [3], TestDevice);
        double[] weights = new HardNegativeSampler().Weights(similarities, rowIds, columnIds);
        Assert.Equal([0, 0, 0, 0.5, 0, 0.5], weights);
        Assert.Throws<InvalidOperationException>(() => new HardNegativeSampler().Sample(similarities, rowIds, columnIds));
    }

    /// <summary>Column 2 is right for row 0 and column 0 for row 2, though their ids differ: what is left is column 1, and for row 1 both.</summary>
    [Fact]
    public void A_column_that_is_right_under_another_id_is_no_negative()
    {
        using Tensor similarities = Tensor.FromArray([0, 1, 9, 1, 0, 2, 9, 2, 0], [3, 3], TestDevice);
        using IndexTensor ids = IndexTensor.FromArray([0, 1, 2], [3], TestDevice);
        double[] weights = new HardNegativeSampler { Strategy = NegativeStrategy.Random }.Weights(similarities, ids, isRight: IsRight);
        Assert.Equal([0, 1, 0, 0.5, 0, 0.5, 0, 1, 0], weights);
        Assert.Equal([0, 1, 0], new HardNegativeSampler().Weights(similarities, ids, isRight: IsRight)[..3]);

        static bool IsRight(int row, int column) => row + column == 2 && row != 1;
    }

    [Fact]
    public void In_a_batch_of_two_the_other_one_is_the_negative()
    {
        // With the softmax over all columns, row 0 would have the weight e^-2000 = 0.
        using Tensor similarities = Tensor.FromArray([1000, -1000, 0, 0], [2, 2], TestDevice);
        foreach (double floor in new[] { 0, 1e-4 })
        {
            using IndexTensor chosen = new HardNegativeSampler { Floor = floor }.Sample(similarities, generator: new Generator(1));
            Assert.Equal([1, 0], chosen.ToArray());
        }
    }

    [Fact]
    public void A_far_second_is_possible_only_by_the_floor()
    {
        using Tensor similarities = Tensor.FromArray([0, 2000, 0, 0, 0, 0, 0, 0, 0], [3, 3], TestDevice);
        Assert.Equal([0, 1, 0], new HardNegativeSampler { Floor = 0 }.Weights(similarities)[..3]);
        double[] floored = new HardNegativeSampler { Floor = 0.01 }.Weights(similarities);
        Assert.Equal(0.01 / 1.02, floored[2], 1e-12);
        Assert.Equal(1.01 / 1.02, floored[1], 1e-12);
    }

    [Fact]
    public void Rows_without_a_negative_are_told()
    {
        using Tensor similarities = Tensor.Zeros([3, 3], TestDevice);
        using IndexTensor same = IndexTensor.FromArray([4, 4, 4], [3], TestDevice);
        using IndexTensor chosen = new HardNegativeSampler().Sample(similarities, same, null, out bool[] found, new Generator(1));
        Assert.Equal([false, false, false], found);
        Assert.Equal([0, 1, 2], chosen.ToArray());
        InvalidOperationException exception = Assert.Throws<InvalidOperationException>(() => new HardNegativeSampler().Sample(similarities, same));
        Assert.Contains("row 0", exception.Message, StringComparison.Ordinal);

        using IndexTensor pair = IndexTensor.FromArray([4, 4, 5], [3], TestDevice);
        using IndexTensor negatives = new HardNegativeSampler().Sample(similarities, pair, null, out found, new Generator(1));
        Assert.Equal([true, true, true], found);
        Assert.Equal([2, 2], negatives.ToArray()[..2]);
    }

    [Fact]
    public void Misfits_are_refused()
    {
        HardNegativeSampler sampler = new();
        using Tensor one = Tensor.Zeros([1, 1], TestDevice), square = Tensor.Zeros([2, 2], TestDevice), notFinite = Tensor.FromArray([0, float.NaN, 0, 0], [2, 2], TestDevice);
        using IndexTensor ids = IndexTensor.FromArray([1, 2, 3], [3], TestDevice);
        Assert.Contains("at least 2 columns", Assert.Throws<ShapeException>(() => sampler.Sample(one)).Message, StringComparison.Ordinal);
        Assert.Throws<ShapeException>(() => sampler.Sample(square, ids));
        Assert.Throws<ArgumentException>(() => sampler.Sample(square, null, ids));
        Assert.Contains("row 0 and column 1", Assert.Throws<NotFiniteNumberException>(() => sampler.Sample(notFinite)).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentOutOfRangeException>(() => new HardNegativeSampler { Floor = -1 });
    }

    [Fact]
    public void The_same_position_of_the_generator_draws_the_same()
    {
        using TensorScope scope = new();
        Tensor similarities = Tensor.Zeros([64, 64], TestDevice);
        int[] first = new HardNegativeSampler().Sample(similarities, generator: new Generator(3, 17)).ToArray();
        Assert.Equal(first, new HardNegativeSampler().Sample(similarities, generator: new Generator(3, 17)).ToArray());
        Assert.NotEqual(first, new HardNegativeSampler().Sample(similarities, generator: new Generator(4, 17)).ToArray());
    }
}
