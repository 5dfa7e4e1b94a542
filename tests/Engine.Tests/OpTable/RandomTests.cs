using MiniVlp.Autograd;
using MiniVlp.Kernels;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Engine.Tests.OpTable;

[Collection("op table")]
public sealed class RandomTests
{
    /// <summary>Known answers of the Random123 distribution (kat_vectors, philox4x32 10).</summary>
    [Theory]
    [InlineData(0u, 0u, 0u, 0u, 0u, 0u, 0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u)]
    [InlineData(~0u, ~0u, ~0u, ~0u, ~0u, ~0u, 0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu)]
    [InlineData(0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u, 0xa4093822u, 0x299f31d0u, 0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u)]
    public void Philox_gives_the_known_answers(uint c0, uint c1, uint c2, uint c3, uint k0, uint k1, uint r0, uint r1, uint r2, uint r3)
        => Assert.Equal((r0, r1, r2, r3), Philox.Generate(c0, c1, c2, c3, k0, k1));

    [Fact]
    public void Fills_have_the_moments_of_their_distribution_and_do_not_depend_on_threads()
    {
        float[] uniform = Fill(1, (g, d) => Tensor.RandomUniform([50_001], -1f, 3f, g, d));
        Assert.Equal(uniform, Fill(2, (g, d) => Tensor.RandomUniform([50_001], -1f, 3f, g, d)));
        Assert.All(uniform, v => Assert.InRange(v, -1f, 3f));
        Assert.Equal(1.0, uniform.Average(), 0.03);
        Assert.Equal(16.0 / 12, Variance(uniform), 0.03);

        float[] normal = Fill(1, (g, d) => Tensor.RandomNormal([50_001], 2f, 3f, g, d));
        Assert.Equal(normal, Fill(2, (g, d) => Tensor.RandomNormal([50_001], 2f, 3f, g, d)));
        Assert.Equal(2.0, normal.Average(), 0.06);
        Assert.Equal(9.0, Variance(normal), 0.2);
        Assert.Equal(0.6827, normal.Count(v => Math.Abs(v - 2) < 3) / 50_001.0, 0.01);

        float[] truncated = Fill(1, (g, d) => Tensor.RandomTruncatedNormal([50_001], 0f, 0.5f, 2f, g, d));
        Assert.Equal(truncated, Fill(2, (g, d) => Tensor.RandomTruncatedNormal([50_001], 0f, 0.5f, 2f, g, d)));
        Assert.All(truncated, v => Assert.InRange(v, -1f, 1f));
        Assert.Equal(0.25 * 0.7737, Variance(truncated), 0.01);
    }

    [Theory]
    [InlineData(0f)]
    [InlineData(float.NaN)]
    [InlineData(1e-30f)]
    public void A_limit_that_no_number_passes_is_refused(float limit)
        => Assert.Throws<ArgumentOutOfRangeException>(() => Tensor.RandomTruncatedNormal([2], limit: limit));

    [Fact]
    public void Every_draw_moves_the_generator_on()
    {
        using TensorScope scope = new();
        Generator generator = new(3);
        float[] first = Tensor.RandomNormal([8], generator: generator).ToArray();
        Assert.Equal(2ul, generator.Position);
        Assert.NotEqual(first, Tensor.RandomNormal([8], generator: generator).ToArray());
        generator.Position = 0;
        Assert.Equal(first, Tensor.RandomNormal([8], generator: generator).ToArray());
    }

    [Theory]
    [InlineData(-0.1f)]
    [InlineData(1f)]
    [InlineData(float.NaN)]
    public void A_rate_that_is_no_probability_is_refused(float rate)
    {
        using TensorScope scope = new();
        Tensor x = Tensor.Zeros([3]);
        Assert.Throws<ArgumentOutOfRangeException>(() => x.Dropout(rate));
        Assert.Throws<ArgumentOutOfRangeException>(() => x.DropPath(rate));
    }

    private static float[] Fill(int threads, Func<Generator, Device, Tensor> fill)
    {
        using TensorScope scope = new();
        return fill(new Generator(11, 5), TestDevices.Get(CpuBackend.WidestTier, threads)).ToArray();
    }

    private static double Variance(float[] values)
    {
        double mean = values.Average();
        return values.Average(v => (v - mean) * (v - mean));
    }
}
