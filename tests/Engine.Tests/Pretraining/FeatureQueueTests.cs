using System.Text.Json.Nodes;
using MiniVlp.Engine.Tests.OpTable;
using MiniVlp.Kernels;
using MiniVlp.Nn.Pretraining;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Engine.Tests.Pretraining;

/// <summary>The queue against a list of what was put into it.</summary>
[Collection("op table")]
public sealed class FeatureQueueTests
{
    private static Device TestDevice => TestDevices.Get(CpuBackend.WidestTier, 2);

    [Theory]
    [InlineData(8, 4, 5)] // The capacity is a multiple of the batch.
    [InlineData(7, 3, 9)] // Batches wrap.
    [InlineData(5, 5, 3)] // One batch fills it.
    [InlineData(1, 1, 3)]
    public void After_n_batches_it_holds_the_last_features_in_order(int capacity, int batch, int batches)
    {
        Device device = TestDevice;
        int rented = device.Backend.RentedCount;
        using (FeatureQueue queue = new(capacity, 2, device, seed: 3))
        {
            float[] expected = queue.Features.ToArray();
            int[] expectedIds = [.. Enumerable.Repeat(FeatureQueue.NoId, capacity)];
            Assert.Equal(expectedIds, queue.Ids.ToArray());
            for (int i = 0, feature = 0; i < batches; i++)
            {
                using TensorScope scope = new();
                float[] values = new float[2 * batch];
                int[] ids = new int[batch];
                for (int j = 0; j < batch; j++, feature++)
                {
                    (values[2 * j], values[(2 * j) + 1], ids[j]) = (feature + 0.25f, -feature, 100 + feature);
                    int place = feature % capacity;
                    (expected[2 * place], expected[(2 * place) + 1], expectedIds[place]) = (feature + 0.25f, -feature, 100 + feature);
                }

                queue.Enqueue(Tensor.FromArray(values, [batch, 2], device), IndexTensor.FromArray(ids, [batch], device));
                Assert.Equal(expected, queue.Features.ToArray());
                Assert.Equal(expectedIds, queue.Ids.ToArray());
                Assert.Equal(feature % capacity, queue.Position);
                Assert.Equal(Math.Min(capacity, feature), queue.Filled);
            }
        }

        Assert.Equal(rented, device.Backend.RentedCount);
    }

    [Fact]
    public void It_starts_with_random_unit_vectors_that_its_seed_determines()
    {
        using FeatureQueue one = new(50, 8, TestDevice, 1), same = new(50, 8, TestDevice, 1), other = new(50, 8, TestDevice, 2);
        float[] values = one.Features.ToArray();
        Assert.Equal(values, same.Features.ToArray());
        Assert.NotEqual(values, other.Features.ToArray());
        foreach (float[] row in values.Chunk(8)) Assert.Equal(1, row.Sum(v => (double)v * v), 1e-5);
        Assert.InRange(values.Average(), -0.1, 0.1);
        Assert.Equal(0, one.Filled);
    }

    [Fact]
    public void Features_without_ids_are_nobodys()
    {
        using FeatureQueue queue = new(3, 1, TestDevice);
        using TensorScope scope = new();
        queue.Enqueue(Tensor.FromArray([1, 2], [2, 1], TestDevice), IndexTensor.FromArray([7, 8], [2], TestDevice));
        queue.Enqueue(Tensor.FromArray([3, 4], [2, 1], TestDevice));
        Assert.Equal([4, 2, 3], queue.Features.ToArray());
        Assert.Equal([-1, 8, -1], queue.Ids.ToArray());
    }

    [Fact]
    public void Misfits_are_refused_and_change_nothing()
    {
        using FeatureQueue queue = new(3, 2, TestDevice);
        using TensorScope scope = new();
        float[] before = queue.Features.ToArray();
        ShapeException tooLarge = Assert.Throws<ShapeException>(() => queue.Enqueue(Tensor.Zeros([4, 2], TestDevice)));
        Assert.Contains("4", tooLarge.Message, StringComparison.Ordinal);
        Assert.Contains("queue of 3", tooLarge.Message, StringComparison.Ordinal);
        Assert.Throws<ShapeException>(() => queue.Enqueue(Tensor.Zeros([1, 3], TestDevice)));
        Assert.Throws<ShapeException>(() => queue.Enqueue(Tensor.Zeros([2], TestDevice)));
        Assert.Throws<ShapeException>(() => queue.Enqueue(Tensor.Zeros([2, 2], TestDevice), IndexTensor.FromArray([1], [1], TestDevice)));
        Assert.Throws<ArgumentException>(() => queue.Enqueue(Tensor.Zeros([1, 2], Device.Cpu)));
        Assert.Equal(before, queue.Features.ToArray());
        Assert.Equal(0, queue.Position);
        Assert.Throws<ArgumentOutOfRangeException>(() => new FeatureQueue(0, 2, TestDevice));
    }

    [Fact]
    public void A_restored_queue_goes_on_as_the_saved_one()
    {
        using FeatureQueue saved = new(5, 1, TestDevice, 1), restored = new(5, 1, TestDevice, 2);
        using TensorScope scope = new();
        for (int i = 0; i < 4; i++) Enqueue(saved, i);
        Copy(saved, restored);
        for (int i = 4; i < 7; i++)
        {
            Enqueue(saved, i);
            Enqueue(restored, i);
        }

        Assert.Equal(saved.Features.ToArray(), restored.Features.ToArray());
        Assert.Equal(saved.Ids.ToArray(), restored.Ids.ToArray());
        Assert.Equal((saved.Position, saved.Filled), (restored.Position, restored.Filled));

        static void Enqueue(FeatureQueue queue, int i)
            => queue.Enqueue(Tensor.FromArray([i, i + 0.5f], [2, 1], TestDevice), IndexTensor.FromArray([i, i], [2], TestDevice));
    }

    [Theory]
    [InlineData("""{"position": 5, "filled": 5}""", "position")]
    [InlineData("""{"position": -1, "filled": 5}""", "position")]
    [InlineData("""{"position": 1, "filled": 6}""", "filled")]
    [InlineData("""{"position": 1, "filled": 3}""", "position")]
    [InlineData("""{"position": "x", "filled": 3}""", "position")]
    [InlineData("""{"position": 1}""", "filled")]
    [InlineData("{}", "position")]
    public void Counters_that_cannot_be_are_named(string json, string field)
    {
        using FeatureQueue queue = new(5, 1, TestDevice);
        Assert.Contains(field, Assert.Throws<InvalidDataException>(() => queue.RestoreCounters(JsonNode.Parse(json)!.AsObject())).Message, StringComparison.Ordinal);
        Assert.Throws<InvalidDataException>(() => queue.RestoreCounters(null));
    }

    /// <summary>As a trainer does it: tensors in place, then the counters by way of JSON.</summary>
    internal static void Copy(ITrainingState from, ITrainingState to)
    {
        foreach (((string name, Tensor source), (string otherName, Tensor target)) in from.Tensors.Zip(to.Tensors))
        {
            Assert.Equal(name, otherName);
            target.CopyFrom(source.ToArray());
        }

        foreach (((_, IndexTensor source), (_, IndexTensor target)) in from.Indices.Zip(to.Indices)) target.CopyFrom(source.ToArray());
        to.RestoreCounters(from.SaveCounters() is { } counters ? JsonNode.Parse(counters.ToJsonString())!.AsObject() : null);
    }
}
