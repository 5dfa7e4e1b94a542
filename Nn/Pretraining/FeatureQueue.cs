using System.Text.Json.Nodes;
using MiniVlp.Autograd;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;

namespace MiniVlp.Nn.Pretraining;

/// <summary>
/// The last features of a momentum encoder, first in, first out: a dictionary of negatives far larger than a batch (MoCo, arXiv:1911.05722;
/// ALBEF, arXiv:2107.07651). Each feature carries an id, so that an old caption of the same picture is known to be no negative. Until it
/// is full the places that were never written hold random unit vectors with the id -1, which are ordinary negatives.
/// </summary>
/// <remarks>Enqueue after the backward pass: the loss reads the queue again there.</remarks>
public sealed class FeatureQueue : ITrainingState, IDisposable
{
    /// <summary>The id of a feature that belongs to no picture: equal to none of a batch.</summary>
    public const int NoId = -1;

    /// <summary>A queue of random unit vectors.</summary>
    /// <param name="capacity">K: how many features it holds, at least 1; 65536 in MoCo and ALBEF, 57600 in BLIP.</param>
    /// <param name="width">Size of a feature, at least 1.</param>
    /// <param name="device">Where it is kept: that of the features.</param>
    /// <param name="seed">Of the random vectors; give two queues of one model different ones.</param>
    public FeatureQueue(int capacity, int width, Device device, ulong seed = 0)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        (Capacity, Width) = (capacity, width);
        Features = Tensor.CreatePersistent([capacity, width], device);
        Ids = IndexTensor.CreatePersistent([capacity], device);
        using TensorScope scope = new();
        Ids.CopyFrom(NoIds(capacity), 0);
        Features.CopyFrom(Tensor.RandomNormal([capacity, width], generator: new Generator(seed), device: device).L2Normalize());
    }

    /// <summary>K: how many features it holds.</summary>
    public int Capacity { get; }

    /// <summary>Size of a feature.</summary>
    public int Width { get; }

    /// <summary>[capacity, width]: the features, a constant of the loss. Place <see cref="Position"/> is the oldest once the queue is full.</summary>
    public Tensor Features { get; }

    /// <summary>[capacity]: the id of each feature, <see cref="NoId"/> where there is none.</summary>
    public IndexTensor Ids { get; }

    /// <summary>The place that the next feature takes.</summary>
    public int Position { get; private set; }

    /// <summary>How many places hold enqueued features: rows 0 .. Filled - 1.</summary>
    public int Filled { get; private set; }

    /// <inheritdoc/>
    public IEnumerable<(string Name, Tensor Value)> Tensors => [("features", Features)];

    /// <inheritdoc/>
    public IEnumerable<(string Name, IndexTensor Value)> Indices => [("ids", Ids)];

    /// <summary>Writes a batch over the oldest features, in order, going on at place 0 behind the last place.</summary>
    /// <param name="features">[n, width] with n ≤ capacity, normalised as those of the loss; only their values are taken.</param>
    /// <param name="ids">[n]; null for <see cref="NoId"/>.</param>
    /// <exception cref="ShapeException">A shape does not fit, or the batch is larger than the queue.</exception>
    /// <exception cref="ArgumentException">An operand is on another device.</exception>
    public void Enqueue(Tensor features, IndexTensor? ids = null)
    {
        if (features.Shape.Rank != 2 || features.Shape[1] != Width) throw new ShapeException($"FeatureQueue: features must be [n, {Width}], found {features.Shape}.");
        int count = features.Shape[0];
        if (count > Capacity) throw new ShapeException($"FeatureQueue: a batch of {count} features does not fit into a queue of {Capacity}; the capacity must be at least the batch.");
        if (ids is not null && ids.Shape != [count]) throw new ShapeException($"FeatureQueue: ids must be [n] = [{count}] as the features are, found {ids.Shape}.");
        foreach (Device device in (ReadOnlySpan<Device>)[features.Device, ids?.Device ?? Features.Device])
            if (!ReferenceEquals(device, Features.Device)) throw new ArgumentException($"FeatureQueue: the queue is on {Features.Device}, an operand on {device}.", nameof(features));

        using IDisposable pause = Tape.NoGradient();
        using TensorScope scope = new();
        int toEnd = Math.Min(count, Capacity - Position);
        Write(features, ids, 0, toEnd, Position);
        Write(features, ids, toEnd, count - toEnd, 0);
        Position = (Position + count) % Capacity;
        Filled = Math.Min(Capacity, Filled + count);
    }

    /// <inheritdoc/>
    public JsonObject SaveCounters() => new() { ["position"] = Position, ["filled"] = Filled };

    /// <inheritdoc/>
    public void RestoreCounters(JsonObject? counters)
    {
        int position = Counter("position", Capacity - 1), filled = Counter("filled", Capacity);
        if (filled < Capacity && position != filled) throw new InvalidDataException($"FeatureQueue: a queue of {Capacity} with {filled} features goes on at place {filled}, but its position is {position}.");
        (Position, Filled) = (position, filled);

        int Counter(string name, int largest) => counters?[name] is JsonValue value && value.TryGetValue(out int number) && number >= 0 && number <= largest
            ? number
            : throw new InvalidDataException($"FeatureQueue: '{name}' must be 0 .. {largest}, found {counters?[name]?.ToJsonString() ?? "nothing"}.");
    }

    /// <summary>Gives the memory back.</summary>
    public void Dispose()
    {
        Features.Dispose();
        Ids.Dispose();
    }

    private void Write(Tensor features, IndexTensor? ids, int start, int count, int place)
    {
        if (count == 0) return;
        Features.Slice(place, count).CopyFrom(features.Slice(start, count));
        Ids.CopyFrom(ids is null ? NoIds(count) : ids.Slice(start, count), place);
    }

    private IndexTensor NoIds(int count)
    {
        int[] ids = new int[count];
        Array.Fill(ids, NoId);
        return IndexTensor.FromArray(ids, [count], Features.Device);
    }
}
