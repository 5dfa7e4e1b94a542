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
    public static bool Accepts(EffectData data) => data.World is not null || data.ClassCount > 0;

    /// <summary>The pictures with labels that belong to the data of a run: scenes have their own.</summary>
    public static EffectData LabelledPictures(EffectData data) => data.ClassCount > 0 ? data : Scenes.Value;

    /// <summary>In percent, on the validation pictures: <c>k-NN</c> by cosine, 20 neighbours, and <c>linear probe</c>.</summary>
    /// <param name="data">Pictures with labels.</param>
    /// <param name="features">Pictures [n, 3, size, size] to features [n, width].</param>
    /// <param name="run">Seed and device.</param>
    public static Dictionary<string, double> Measure(EffectData data, Func<Tensor, Tensor> features, ExperimentRun run)
    {
        using TensorScope scope = new();
        int[] learned = [.. Enumerable.Range(0, Math.Min(Learned, data.Train.Count))], held = [.. Enumerable.Range(0, data.Validation.Count)];
        Tensor train = Encode(data, data.Train, learned, features, run.Device), validation = Encode(data, data.Validation, held, features, run.Device);
        int[] labels = [.. learned.Select(index => data.Train.Labels[index])];
        using NearestNeighborProbe neighbors = new(train, labels, data.ClassCount);
        using LinearProbe probe = LinearProbe.Fit(train, labels, data.ClassCount, new LinearProbeOptions { Seed = run.Seed }, run.Cancellation);
        return new Dictionary<string, double>(StringComparer.Ordinal)
        {
            ["k-NN"] = 100 * neighbors.Accuracy(validation, data.Validation.Labels),
            ["linear probe"] = 100 * probe.Accuracy(validation, data.Validation.Labels),
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
