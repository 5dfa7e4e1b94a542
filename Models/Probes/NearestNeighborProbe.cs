using MiniVlp.Autograd;
using MiniVlp.Tensors;

namespace MiniVlp.Models.Probes;

/// <summary>How a <see cref="NearestNeighborProbe"/> votes.</summary>
public sealed record NearestNeighborOptions
{
    /// <summary>k: how many neighbours vote; all where there are fewer.</summary>
    public int Neighbors { get; init; } = 20;

    /// <summary>τ: a neighbour of cosine similarity s has the weight exp(s / τ).</summary>
    public double Temperature { get; init; } = 0.07;
}

/// <summary>
/// Classification by the labelled images whose features are nearest: each of the k with the largest cosine similarity s votes for its class with weight
/// exp(s / τ) (Wu et al., arXiv:1805.01978; MoCo, DINO). There is nothing to train and nothing to select, so it measures features as they are.
/// </summary>
public sealed class NearestNeighborProbe : IDisposable
{
    /// <summary>Queries that are compared with the bank at once.</summary>
    private const int Rows = 256;

    private readonly Tensor _bank;
    private readonly int[] _labels;
    private readonly int _classCount;
    private readonly NearestNeighborOptions _options;

    /// <summary>Remembers labelled features.</summary>
    /// <param name="features">[n, width]; copied and normalised.</param>
    /// <param name="labels">For each row its class, 0 .. classes - 1.</param>
    /// <param name="classCount">Number of classes.</param>
    /// <param name="options">How neighbours vote; 20 of them with τ = 0.07 when null.</param>
    /// <exception cref="ShapeException">There is not one label for each row.</exception>
    /// <exception cref="ArgumentException">A label is no class, or an option is out of bounds.</exception>
    public NearestNeighborProbe(Tensor features, IReadOnlyList<int> labels, int classCount, NearestNeighborOptions? options = null)
    {
        ProbeData.Require(nameof(NearestNeighborProbe), features, labels, classCount);
        _options = options ?? new();
        if (_options.Neighbors < 1) throw new ArgumentOutOfRangeException(nameof(options), _options.Neighbors, "NearestNeighborProbe: at least one neighbour must vote.");
        if (!(_options.Temperature > 0)) throw new ArgumentOutOfRangeException(nameof(options), _options.Temperature, "NearestNeighborProbe: the temperature must be positive.");
        _labels = [.. labels];
        _classCount = classCount;
        _bank = Tensor.CreatePersistent(features.Shape, features.Device);
        using TensorScope scope = new();
        using IDisposable pause = Tape.NoGradient();
        _bank.CopyFrom(features.L2Normalize());
    }

    /// <summary>features [n, width] to the class with the most votes, the lower one where equal.</summary>
    public int[] Predict(Tensor features)
    {
        double[][] votes = Votes(features);
        return [.. votes.Select(row => Array.IndexOf(row, row.Max()))];
    }

    /// <summary>features [n, width] to the share of the votes that each class gets, rows of length classes that add up to 1.</summary>
    /// <exception cref="ShapeException">The features have another width than the bank.</exception>
    public double[][] Votes(Tensor features)
    {
        ProbeData.RequireWidth(nameof(NearestNeighborProbe), features, _bank.Shape[1]);
        int count = features.Shape[0], neighbors = Math.Min(_options.Neighbors, _labels.Length);
        double[][] votes = new double[count][];
        using IDisposable pause = Tape.NoGradient();
        for (int start = 0; start < count; start += Rows)
        {
            using TensorScope scope = new();
            int rows = Math.Min(Rows, count - start);
            (Tensor similarities, IndexTensor positions) = features.Slice(start, rows).L2Normalize().MatMul(_bank, transposeRight: true).TopK(neighbors);
            float[] values = similarities.ToArray();
            int[] nearest = positions.ToArray();
            for (int i = 0; i < rows; i++) votes[start + i] = Vote(values.AsSpan(i * neighbors, neighbors), nearest.AsSpan(i * neighbors, neighbors));
        }

        return votes;
    }

    /// <summary>Share of the rows whose label wins the vote.</summary>
    /// <param name="features">[n, width].</param>
    /// <param name="labels">The true classes.</param>
    public double Accuracy(Tensor features, IReadOnlyList<int> labels) => ProbeData.Accuracy(Predict(features), labels);

    /// <summary>Gives the memory of the bank back.</summary>
    public void Dispose() => _bank.Dispose();

    private double[] Vote(ReadOnlySpan<float> similarities, ReadOnlySpan<int> nearest)
    {
        double[] votes = new double[_classCount];
        double total = 0;
        for (int i = 0; i < nearest.Length; i++)
        {
            // Relative to the nearest, whose weight is then 1 whatever the temperature.
            double weight = Math.Exp(((double)similarities[i] - similarities[0]) / _options.Temperature);
            votes[_labels[nearest[i]]] += weight;
            total += weight;
        }

        for (int c = 0; c < votes.Length; c++) votes[c] /= total;
        return votes;
    }
}
