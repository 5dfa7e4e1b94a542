using MiniVlp.Autograd;
using MiniVlp.Engine.Tests.OpTable;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Gpu.Tests;

/// <summary>A seed gives the same numbers on every device.</summary>
public sealed class GpuRandomTests
{
    private static readonly Generator Far = new(ulong.MaxValue - 3, (1UL << 40) - 2);

    [Theory]
    [MemberData(nameof(GpuDevices.All), MemberType = typeof(GpuDevices))]
    public void Uniform_numbers_have_the_bits_of_the_CPU(string name)
        => OpRunner.AssertSameBits(
            Fill(Device.Cpu, (g, d) => Tensor.RandomUniform([1003], -1.1f, 3.3f, g, d)),
            Fill(GpuDevices.Require(name), (g, d) => Tensor.RandomUniform([1003], -1.1f, 3.3f, g, d)),
            "uniform");

    [Theory]
    [MemberData(nameof(GpuDevices.All), MemberType = typeof(GpuDevices))]
    public void Normal_numbers_are_within_a_few_last_places_of_the_CPU(string name)
    {
        Device device = GpuDevices.RequireFast(name);
        AssertNear(Fill(Device.Cpu, (g, d) => Tensor.RandomNormal([40_003], 0f, 3f, g, d)), Fill(device, (g, d) => Tensor.RandomNormal([40_003], 0f, 3f, g, d)), 0, 3);
        float[] truncated = Fill(device, (g, d) => Tensor.RandomTruncatedNormal([40_003], 1f, 0.5f, 0.7f, g, d));
        AssertNear(Fill(Device.Cpu, (g, d) => Tensor.RandomTruncatedNormal([40_003], 1f, 0.5f, 0.7f, g, d)), truncated, 1, 0.5f);
        Assert.All(truncated, v => Assert.InRange(v, 0.65f, 1.35f));
    }

    [Theory]
    [MemberData(nameof(GpuDevices.All), MemberType = typeof(GpuDevices))]
    public void Dropout_keeps_what_the_CPU_keeps(string name)
    {
        Device device = GpuDevices.RequireFast(name);
        foreach (float rate in new[] { 0.1f, 0.5f, 0.999f })
        {
            foreach (Shape shape in new Shape[] { [40_003], [257, 4], [63, 5, 3] })
            {
                OpRunner.AssertSameBits(Drop(Device.Cpu, (x, g) => x.Dropout(rate, g)), Drop(device, (x, g) => x.Dropout(rate, g)), $"dropout of {shape} by {rate}");
                OpRunner.AssertSameBits(Drop(Device.Cpu, (x, g) => x.DropPath(rate, g)), Drop(device, (x, g) => x.DropPath(rate, g)), $"paths of {shape} dropped by {rate}");

                float[] Drop(Device d, Func<Tensor, Generator, Tensor> drop)
                    => Fill(d, (g, _) => drop(Tensor.FromArray([.. Enumerable.Range(0, shape.Length).Select(i => (i * 0.37f) - 5f)], shape, d), g));
            }
        }
    }

    private static float[] Fill(Device device, Func<Generator, Device, Tensor> fill)
    {
        using TensorScope scope = new();
        return fill(new Generator(Far.Seed, Far.Position), device).ToArray();
    }

    private static void AssertNear(float[] expected, float[] actual, float mean, float deviation)
    {
        for (int i = 0; i < expected.Length; i++)
        {
            float tolerance = 4 * MathF.BitIncrement(Math.Abs(mean) + (2 * deviation)) * 6e-8f;
            Assert.True(Math.Abs(expected[i] - actual[i]) <= tolerance, $"element {i}: {expected[i]} and {actual[i]}");
        }
    }
}
