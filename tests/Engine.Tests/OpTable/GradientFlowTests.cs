using MiniVlp.Autograd;
using MiniVlp.Kernels;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Engine.Tests.OpTable;

/// <summary>Operations that hand their gradient on may give away its memory, but not what somebody still wants to read.</summary>
[Collection("op table")]
public sealed class GradientFlowTests
{
    [Fact]
    public void Gradients_of_the_loss_and_of_retained_results_stay()
    {
        Device device = TestDevices.Get(CpuBackend.WidestTier, 1);
        int rented = device.Backend.RentedCount;
        using (TensorScope scope = new())
        {
            Tensor x = Tensor.FromArray([1f, 2f, 3f, 4f], [2, 2], device), row = Tensor.FromArray([5f, 6f], [2], device);
            x.NeedsGradient = row.NeedsGradient = true;
            using Tape tape = Tape.Record();
            Tensor sum = tape.Retain(x + row), shaped = tape.Retain(sum.Reshape([4]));
            Tensor loss = (2f * shaped + 1f).Sum() + 3f;
            tape.Backward(loss);
            Assert.Equal([1f], loss.Gradient!.ToArray());
            Assert.Equal([2f, 2f, 2f, 2f], shaped.Gradient!.ToArray());
            Assert.Equal([2f, 2f, 2f, 2f], sum.Gradient!.ToArray());
            Assert.Equal([6f, 8f, 8f, 10f], sum.ToArray());
            Assert.Equal([2f, 2f, 2f, 2f], x.Gradient!.ToArray());
            Assert.Equal([4f, 4f], row.Gradient!.ToArray());
        }

        Assert.Equal(rented, device.Backend.RentedCount);
    }

    [Fact]
    public void Branches_that_meet_again_add_up()
    {
        using TensorScope scope = new();
        Tensor x = Tensor.FromArray([1f, 2f, 3f], [3], TestDevices.Get(CpuBackend.WidestTier, 1));
        x.NeedsGradient = true;
        using Tape tape = Tape.Record();
        Tensor branch = x + 1f;
        Tensor loss = (branch + branch.Reshape([3, 1]).Reshape([3]) + (x - branch) * branch + -branch).Sum();
        tape.Backward(loss);
        Assert.Equal([0f, 0f, 0f], x.Gradient!.ToArray());
    }

    [Fact]
    public void Views_keep_the_memory_they_look_at()
    {
        Device device = TestDevices.Get(CpuBackend.WidestTier, 1);
        int rented = device.Backend.RentedCount;
        using (TensorScope scope = new())
        {
            Tensor x = Tensor.FromArray([1f, 2f, 3f, 4f], [2, 2], device);
            x.NeedsGradient = true;
            Tensor kept;
            using (TensorScope inner = new()) kept = inner.Keep((x * 3f).Reshape([4]).Slice(1, 2));
            Overwrite();
            Assert.Equal([6f, 9f], kept.ToArray());

            using Tape tape = Tape.Record();
            Tensor retained = tape.Retain((x * 2f).Reshape([4]));
            Tensor loss = retained.Square().Mean().Reshape([1]);
            tape.Backward(loss);
            Overwrite();
            Assert.Equal([2f, 4f, 6f, 8f], retained.ToArray());
            Assert.Equal(30f, loss.Item());
            Assert.Equal([2f, 4f, 6f, 8f], x.Gradient!.ToArray());
        }

        Assert.Equal(rented, device.Backend.RentedCount);

        // Memory that was given back by mistake is rented again and poisoned here.
        void Overwrite()
        {
            using TensorScope scope = new();
            for (int i = 0; i < 10; i++) Tensor.Full([4], -1f, device);
        }
    }
}
