using MiniVlp.Autograd;
using MiniVlp.Engine.Tests.OpTable;
using MiniVlp.Kernels;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Engine.Tests.Core;

/// <summary>Memory is never looked at after it was given back, and no gradient is lost on the way.</summary>
[Collection("op table")]
public sealed class LifetimeTests
{
    [Fact]
    public void A_view_ends_with_the_tensor_that_it_looks_at()
    {
        Tensor source = Tensor.FromArray([1f, 2f, 3f, 4f], [4]);
        Tensor view = source.Reshape([2, 2]).Slice(1, 1);
        Assert.Equal([3f, 4f], view.ToArray());
        source.Dispose();
        Assert.True(view.IsReleased);
        Assert.Throws<ObjectDisposedException>(() => view.ToArray());

        IndexTensor ids = IndexTensor.FromArray([1, 2, 3, 4], [4]);
        IndexTensor idsView = ids.Reshape([2, 2]);
        ids.Dispose();
        Assert.Throws<ObjectDisposedException>(() => idsView.ToArray());
    }

    [Fact]
    public void A_gradient_ends_with_its_tensor()
    {
        Tensor x = Tensor.FromArray([1f, 2f], [2]);
        x.NeedsGradient = true;
        using (Tape tape = Tape.Record()) tape.Backward(x.Square().Sum());
        Tensor gradient = x.Gradient!;
        Assert.Equal([2f, 4f], gradient.ToArray());
        x.Dispose();
        Assert.Throws<ObjectDisposedException>(() => gradient.ToArray());
    }

    [Fact]
    public void A_scope_keeps_what_an_index_view_looks_at()
    {
        IndexTensor kept;
        using (TensorScope scope = new()) kept = scope.Keep(IndexTensor.FromArray([5, 6], [2]).Reshape([1, 2]));
        using IndexTensor next = IndexTensor.FromArray([7, 8], [2]);
        Assert.Equal([5, 6], kept.ToArray());
    }

    [Fact]
    public void A_closed_tape_does_not_run_backward()
    {
        Tensor x = Tensor.FromArray([1f, 2f], [2]);
        x.NeedsGradient = true;
        Tape closed = Tape.Record();
        Tensor loss = x.Sum();
        closed.Dispose();
        using Tape open = Tape.Record();
        Tensor other = x.Square().Sum();
        Assert.Throws<ObjectDisposedException>(() => closed.Backward(loss));
        open.Backward(other);
        Assert.Equal([2f, 4f], x.Gradient!.ToArray());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_loss_that_has_a_gradient_already_gets_more(bool seeded)
    {
        Tensor x = Tensor.FromArray([1f, 2f], [2]);
        x.NeedsGradient = true;
        Tensor seed = Tensor.FromArray([1f, 1f], [2]);
        for (int i = 0; i < 2; i++)
        {
            using Tape tape = Tape.Record();
            tape.Backward(x, seeded ? seed : null);
        }

        Assert.Equal([2f, 2f], x.Gradient!.ToArray());
    }

    [Fact]
    public void A_checkpoint_that_changes_nothing_adds_its_gradient()
    {
        Tensor x = Tensor.FromArray([1f, 2f], [2]);
        x.NeedsGradient = true;
        using Tape tape = Tape.Record();
        Tensor first = x.Checkpoint(input => input), second = x.Square();
        tape.Backward((first + second).Sum());
        Assert.Equal([3f, 5f], x.Gradient!.ToArray());
    }

    [Fact]
    public void A_checkpoint_may_also_look_at_its_input_from_outside()
    {
        Device device = TestDevices.Get(SimdTier.Scalar, 1);
        int rented = device.Backend.RentedCount;
        Tensor x = Tensor.FromArray([1f, 2f], [2], device);
        x.NeedsGradient = true;
        using (Tape tape = Tape.Record()) tape.Backward((x.Checkpoint(input => input * x) + x.Square()).Sum());
        Assert.Equal([4f, 8f], x.Gradient!.ToArray());
        x.Dispose();
        Assert.Equal(rented, device.Backend.RentedCount);
    }

    [Fact]
    public void A_product_without_columns_leaves_other_memory_alone()
    {
        Device device = TestDevices.Get(CpuBackend.WidestTier, 1);
        using Tape tape = Tape.Record();
        Tensor left = Tensor.Zeros([1, 3, 16], device), right = Tensor.Zeros([5, 16, 0], device);
        left.NeedsGradient = right.NeedsGradient = true;
        tape.Backward(left.MatMul(right).Sum());
        Assert.All(left.Gradient!.ToArray(), g => Assert.Equal(0f, g));
    }

    [Fact]
    public void Tensors_that_nobody_disposes_do_not_pile_up()
    {
        const int Count = 300, Length = 2_000_000;
        long before = Environment.WorkingSet, most = 0;
        for (int i = 0; i < Count; i++)
        {
            Tensor.Full([Length], i);
            most = Math.Max(most, Environment.WorkingSet - before);
        }

        Assert.True(most < (long)Count * Length * sizeof(float) / 2, $"{most >> 20} MiB at most, of {((long)Count * Length * sizeof(float)) >> 20} in all");
    }
}
