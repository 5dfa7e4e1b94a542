using MiniVlp.Autograd;
using MiniVlp.Engine.Tests.OpTable;
using MiniVlp.Kernels;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Engine.Tests.Losses;

[Collection("op table")]
public sealed class CrossEntropyTests
{
    [Fact]
    public void Mean_over_no_row_is_not_a_number_and_its_gradient_is_zero()
    {
        Device device = TestDevices.Get(CpuBackend.WidestTier, 1);
        using Tape tape = Tape.Record();
        Tensor logits = Tensor.FromArray([1f, 2f, 3f, 4f], [2, 2], device);
        logits.NeedsGradient = true;
        Tensor loss = logits.CrossEntropy(IndexTensor.FromArray([-100, -100], [2], device));
        Assert.Equal(float.NaN, loss.Item());
        tape.Backward(loss);
        Assert.All(logits.Gradient!.ToArray(), g => Assert.Equal(0f, g));
    }

    [Fact]
    public void Wrong_operands_are_refused_with_the_reason()
    {
        Device device = TestDevices.Get(CpuBackend.WidestTier, 1);
        using TensorScope scope = new();
        Tensor logits = Tensor.FromArray(new float[6], [2, 3], device);
        IndexTensor labels = IndexTensor.FromArray([0, 3], [2], device);
        Assert.Contains("label 1 is 3", Assert.Throws<ArgumentException>(() => logits.CrossEntropy(labels)).Message, StringComparison.Ordinal);
        Assert.Throws<ShapeException>(() => logits.CrossEntropy(IndexTensor.FromArray([0], [1], device)));
        Assert.Throws<ShapeException>(() => logits.CrossEntropy(Tensor.Zeros([3, 2], device)));
        Assert.Throws<ShapeException>(() => logits.CrossEntropy(labels, classWeights: Tensor.Zeros([2], device)));
        Assert.Throws<ArgumentOutOfRangeException>(() => logits.CrossEntropy(labels, labelSmoothing: 1.5f));
        Tensor targets = Tensor.Zeros([2, 3], device);
        targets.NeedsGradient = true;
        Assert.Contains("Detach", Assert.Throws<ArgumentException>(() => logits.CrossEntropy(targets)).Message, StringComparison.Ordinal);
    }
}
