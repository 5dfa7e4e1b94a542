using MiniVlp.KernelLadder;
using MiniVlp.KernelLadder.Cpu;
using MiniVlp.Kernels;
using Xunit;

namespace MiniVlp.Gpu.Tests;

/// <summary>Every step of the ladder computes the same, on the devices that are here.</summary>
public sealed class KernelLadderTests
{
    public static TheoryData<string> Names() => [.. GpuDevices.Names];

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_matrix_product_equals_double_precision(string deviceName) => Check(deviceName, gpu => new MatMulLadder(gpu, 64));

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_attention_equals_double_precision(string deviceName) => Check(deviceName, gpu => new AttentionLadder(gpu, 32, 1));

    /// <summary>The same on one core, with every vector width that this machine has.</summary>
    [Theory]
    [InlineData(SimdTier.Vector128)]
    [InlineData(SimdTier.Vector256)]
    [InlineData(SimdTier.Vector512)]
    public void Every_step_on_one_core_equals_double_precision(SimdTier tier)
    {
        Assert.SkipWhen(tier > CpuBackend.WidestTier, $"This machine has no {tier} instructions.");
        using CpuBackend cpu = new(threads: 1, tier, checkGuards: true);
        using Ladder product = new CpuMatMulLadder(cpu, 320), attention = new CpuAttentionLadder(cpu, 48, 2);
        Assert.All(product.Steps, step => Assert.InRange(product.Check(step), 0, step.Tolerance));
        Assert.All(attention.Steps, step => Assert.InRange(attention.Check(step), 0, step.Tolerance));
    }

    [Theory]
    [InlineData("--size", "100")]
    [InlineData("--tokens", "8")]
    [InlineData("--device", "tpu")]
    [InlineData("--size")]
    public void Options_that_do_not_do_are_refused(params string[] args) => Assert.Throws<ArgumentException>(() => Options.Parse(args));

    private static void Check(string deviceName, Func<GpuBackend, Ladder> create)
    {
        (Tensors.Device? device, string reason) = GpuDevices.Find(deviceName);
        Assert.SkipWhen(device is null, $"{deviceName}: {reason}");
        using Ladder ladder = create((GpuBackend)device!.Backend);
        Assert.All(ladder.Steps, step => Assert.InRange(ladder.Check(step), 0, step.Tolerance));
    }
}
