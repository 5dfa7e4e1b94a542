using MiniVlp.Autograd;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;

namespace MiniVlp.Nn.Pretraining;

/// <summary>
/// One feature for every picture of a data set, changed when the picture comes by: v = normalise(m · v + (1 - m) · feature) (Wu et al.,
/// arXiv:1805.01978). Its features are as old as an epoch, which is what MoCo's queue improves on (arXiv:1911.05722).
/// </summary>
/// <remarks>Update after the backward pass: the loss reads the bank again there.</remarks>
public sealed class MemoryBank : ITrainingState, IDisposable
{
    private readonly float _momentum;

    /// <summary>A bank of random unit vectors.</summary>
    /// <param name="count">N: how many pictures there are, at least 1.</param>
    /// <param name="width">Size of a feature, at least 1.</param>
    /// <param name="device">Where it is kept: that of the features.</param>
    /// <param name="momentum">m in [0, 1]; 0.5 in the paper.</param>
    /// <param name="seed">Of the random vectors.</param>
    public MemoryBank(int count, int width, Device device, float momentum = 0.5f, ulong seed = 0)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        if (!(momentum is >= 0 and <= 1)) throw new ArgumentOutOfRangeException(nameof(momentum), momentum, "The momentum must lie in [0, 1].");
        _momentum = momentum;
        Features = Tensor.CreatePersistent([count, width], device);
        using TensorScope scope = new();
        Features.CopyFrom(Tensor.RandomNormal([count, width], generator: new Generator(seed), device: device).L2Normalize());
    }

    /// <summary>N: how many pictures there are.</summary>
    public int Count => Features.Shape[0];

    /// <summary>[count, width]: the features, constants of the loss.</summary>
    public Tensor Features { get; }

    /// <inheritdoc/>
    public IEnumerable<(string Name, Tensor Value)> Tensors => [("features", Features)];

    /// <summary>The features of some pictures: [n] to [n, width].</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is no such picture.</exception>
    public Tensor Of(IndexTensor pictures) => Features.GatherRows(pictures);

    /// <summary>Features of pictures that are none of a batch, each at most once, all equally likely: [count, width].</summary>
    /// <param name="count">How many.</param>
    /// <param name="batch">Numbers of the pictures of the batch.</param>
    /// <param name="generator">Where to draw from; <see cref="Generator.Current"/> when null.</param>
    /// <exception cref="ArgumentOutOfRangeException">There are not so many others.</exception>
    public Tensor SampleOthers(int count, ReadOnlySpan<int> batch, Generator? generator = null)
    {
        generator ??= Generator.Current;
        bool[] isInBatch = new bool[Count];
        foreach (int picture in batch) isInBatch[picture] = true;
        int[] others = [.. Enumerable.Range(0, Count).Where(picture => !isInBatch[picture])];
        if (count < 0 || count > others.Length) throw new ArgumentOutOfRangeException(nameof(count), count, $"MemoryBank: beside the batch there are {others.Length} pictures to draw from.");
        for (int i = 0; i < count; i++)
        {
            int j = i + generator.Next(others.Length - i);
            (others[i], others[j]) = (others[j], others[i]);
        }

        return Of(IndexTensor.FromArray(others.AsSpan(0, count), [count], Features.Device));
    }

    /// <summary>Moves the features of some pictures towards new ones.</summary>
    /// <param name="features">[n, width], normalised; only their values are taken.</param>
    /// <param name="pictures">[n]: whose they are; of one that occurs twice the last counts.</param>
    /// <exception cref="ShapeException">The shapes do not fit.</exception>
    /// <exception cref="ArgumentOutOfRangeException">There is no such picture.</exception>
    public void Update(Tensor features, IndexTensor pictures)
    {
        if (pictures.Shape.Rank != 1 || features.Shape != [pictures.Shape[0], Features.Shape[1]])
            throw new ShapeException($"MemoryBank: features must be [n, {Features.Shape[1]}] and pictures [n], found {features.Shape} and {pictures.Shape}.");
        using IDisposable pause = Tape.NoGradient();
        using TensorScope scope = new();
        Tensor updated = ((Of(pictures) * _momentum) + (features * (1 - _momentum))).L2Normalize();
        int[] places = pictures.ToArray();
        for (int i = 0; i < places.Length; i++) Features.Slice(places[i], 1).CopyFrom(updated.Slice(i, 1));
    }

    /// <summary>Gives the memory back.</summary>
    public void Dispose() => Features.Dispose();
}
