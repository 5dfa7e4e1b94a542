using MiniVlp.Autograd;
using MiniVlp.Engine.Tests.OpTable;
using MiniVlp.Kernels;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Engine.Tests.Losses;

[Collection("op table")]
public sealed class AttentionTests
{
    [Fact]
    public void Memory_grows_with_the_length_and_not_with_its_square()
    {
        const int Length = 4096, Width = 8;
        using Device device = Device.CreateCpu(2);
        using (Tape tape = Tape.Record())
        {
            Tensor x = Tensor.Full([1, Length, Width], 0.5f, device);
            x.NeedsGradient = true;
            tape.Backward(x.Attention(x, x, new AttentionOptions(1)));
        }

        Assert.InRange(((CpuBackend)device.Backend).CachedBytes, 1, 64L * Length * sizeof(float));
    }

    [Fact]
    public void Wrong_operands_are_refused_with_the_reason()
    {
        Device device = TestDevices.Get(CpuBackend.WidestTier, 1);
        using TensorScope scope = new();
        Tensor x = Tensor.Zeros([2, 3, 8], device);
        Assert.Contains("Heads", Assert.Throws<ArgumentOutOfRangeException>(() => x.Attention(x, x, default)).Message, StringComparison.Ordinal);
        Assert.Contains("KeyValueHeads (3)", Assert.Throws<ArgumentException>(() => x.Attention(x, x, new AttentionOptions(4) { KeyValueHeads = 3 })).Message, StringComparison.Ordinal);
        Assert.Throws<ShapeException>(() => x.Attention(x, x, new AttentionOptions(3)));
        Assert.Throws<ShapeException>(() => x.Attention(Tensor.Zeros([1, 3, 8], device), x, new AttentionOptions(2)));
        Assert.Throws<ShapeException>(() => x.Attention(Tensor.Zeros([2, 3, 4], device), x, new AttentionOptions(2)));
        Assert.Throws<ShapeException>(() => x.Attention(x, x, new AttentionOptions(2) { KeyMask = new IndexTensor([2, 4], device) }));
        Assert.Throws<ShapeException>(() => x.Attention(x, x, new AttentionOptions(2) { Bias = Tensor.Zeros([3, 3], device) }));
    }
}
