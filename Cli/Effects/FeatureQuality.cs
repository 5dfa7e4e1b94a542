using MiniVlp.Models.Probes;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Effects;

/// <summary>How well frozen features of pictures tell classes apart.</summary>
internal static class FeatureQuality
{
    private const int PicturesAtOnce = 256;

    /// <summary>Pictures that the probes learn from.</summary>
    private const int Learned = 2048;

    // Single-object scenes are the same for all runs.
    private static readonly Lazy<EffectData> Scenes = new(() => EffectData.SingleObjects(8192, 1024));

    /// <summary>Whether there are labels to measure by.</summary>
    public static bool Accepts(EffectData data) => data.World is not null || data.Labels.Count > 0;

    /// <summary>The pictures with labels that belong to the data of a run: scenes have their own.</summary>
    public static EffectData LabelledPictures(EffectData data) => data.Labels.Count > 0 ? data : Scenes.Value;

    /// <summary>In percent, on the validation pictures, mean over what is known of them: <c>k-NN</c> by cosine, 20 neighbours, and <c>linear probe</c>.</summary>
    /// <param name="data">Pictures with labels.</param>
    /// <param name="features">Pictures [n, 3, size, size] to features [n, width].</param>
    /// <param name="run">Seed and device.</param>
    public static Dictionary<string, double> Measure(EffectData data, Func<Tensor, Tensor> features, ExperimentRun run)
    {
        using TensorScope scope = new();
        int[] learned = [.. Enumerable.Range(0, Math.Min(Learned, data.Train.Count))], held = [.. Enumerable.Range(0, data.Validation.Count)];
        Tensor train = Encode(data, data.Train, learned, features, run.Device), validation = Encode(data, data.Validation, held, features, run.Device);
        double neighbors = 0, linear = 0;
        foreach (EffectLabels labels in data.Labels)
        {
            int[] classes = [.. labels.Train.Take(learned.Length)];
            using NearestNeighborProbe nearest = new(train, classes, labels.ClassCount);
            using LinearProbe probe = LinearProbe.Fit(train, classes, labels.ClassCount, new LinearProbeOptions { Seed = run.Seed }, run.Cancellation);
            neighbors += nearest.Accuracy(validation, labels.Validation);
            linear += probe.Accuracy(validation, labels.Validation);
        }

        return new Dictionary<string, double>(StringComparer.Ordinal)
        {
            ["k-NN"] = 100 * neighbors / data.Labels.Count,
            ["linear probe"] = 100 * linear / data.Labels.Count,
        };
    }

    private static Tensor Encode(EffectData data, EffectSplit split, int[] indices, Func<Tensor, Tensor> features, Device device)
    {
        List<float> values = [];
        int width = 0;
        foreach (int[] some in indices.Chunk(PicturesAtOnce))
        {
            using TensorScope scope = new();
            Tensor encoded = features(data.Images(split, some, device));
            width = encoded.Shape[1];
            values.AddRange(encoded.ToArray());
        }

        return Tensor.FromArray(values.ToArray(), [indices.Length, width], device);
    }
}
