using MiniVlp.KernelLadder;
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
