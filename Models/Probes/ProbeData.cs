using MiniVlp.Tensors;

namespace MiniVlp.Models.Probes;

/// <summary>What both probes ask of their data.</summary>
internal static class ProbeData
{
    /// <exception cref="ShapeException">The features are not [n, width] with one label each.</exception>
    /// <exception cref="ArgumentException">There are fewer than two classes, or a label is none of them.</exception>
    public static void Require(string probe, Tensor features, IReadOnlyList<int> labels, int classCount)
    {
        if (features.Shape.Rank != 2 || features.Shape[0] != labels.Count || labels.Count == 0)
            throw new ShapeException($"{probe}: features must be [n, width] with a label for each of n > 0 rows, found {features.Shape} and {labels.Count} labels.");
        if (classCount < 2) throw new ArgumentException($"{probe}: a classification needs at least two classes, found {classCount}.", nameof(classCount));
        for (int i = 0; i < labels.Count; i++)
            if ((uint)labels[i] >= (uint)classCount) throw new ArgumentException($"{probe}: labels must be 0 .. {classCount - 1}, but number {i} is {labels[i]}.", nameof(labels));
    }

    /// <exception cref="ShapeException">The features have another width.</exception>
    public static void RequireWidth(string probe, Tensor features, int width)
    {
        if (features.Shape.Rank != 2 || features.Shape[1] != width) throw new ShapeException($"{probe}: features must be [n, {width}] as the ones it was fitted to, found {features.Shape}.");
    }

    /// <summary>Share of predictions that equal their label.</summary>
    public static double Accuracy(IReadOnlyList<int> predictions, IReadOnlyList<int> labels)
    {
        if (predictions.Count != labels.Count || labels.Count == 0) throw new ArgumentException($"Accuracy: there must be as many labels as predictions and at least one, found {labels.Count} and {predictions.Count}.", nameof(labels));
        int right = 0;
        for (int i = 0; i < labels.Count; i++) right += predictions[i] == labels[i] ? 1 : 0;
        return (double)right / labels.Count;
    }
}
