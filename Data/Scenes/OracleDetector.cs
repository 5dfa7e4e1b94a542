using System.Collections.Immutable;

namespace MiniVlp.Data.Scenes;

/// <summary>What a detector reports about one part of a picture.</summary>
/// <param name="Box">Where, on the unit plane.</param>
/// <param name="ClassId">What: the number of the <see cref="SceneShape"/>; names in <see cref="SceneWords.Shapes"/>.</param>
/// <param name="AttributeId">Of which kind: the number of the <see cref="SceneColor"/>; names in <see cref="SceneWords.Colors"/>.</param>
/// <param name="Feature">What a detector's last layer would say, one vector.</param>
public sealed record SceneRegion(SceneBox Box, int ClassId, int AttributeId, ReadOnlyMemory<float> Feature)
{
    /// <summary>Place and extent as region models take them: left, top, right, bottom, width, height, area, all relative to the picture.</summary>
    public ImmutableArray<float> Geometry =>
    [
        (float)Box.Left, (float)Box.Top, (float)Box.Right, (float)Box.Bottom, (float)Box.Width, (float)Box.Height, (float)Box.Area,
    ];
}

/// <summary>
/// Stands in for a pre-trained object detector: it knows every object and answers with tight boxes, right labels and feature vectors
/// f = (s + c + z) / sqrt(3) + noise * e, where s, c and z are fixed random directions of expected length 1 for shape, colour and size
/// and e is a random direction that depends on the object alone.
/// </summary>
public sealed class OracleDetector
{
    private readonly float[][] _shapes;
    private readonly float[][] _colors;
    private readonly float[][] _sizes;
    private readonly double _noise;

    /// <summary>Makes a detector.</summary>
    /// <param name="featureSize">Length of the feature vectors, at least 1.</param>
    /// <param name="noise">Length of the noise relative to the signal, at least 0.</param>
    /// <param name="seed">Fixes the directions: detectors with equal arguments answer alike.</param>
    /// <exception cref="ArgumentOutOfRangeException">A size below 1 or negative noise.</exception>
    public OracleDetector(int featureSize = 64, double noise = 0.1, ulong seed = 0)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(featureSize, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(noise);
        FeatureSize = featureSize;
        _noise = noise;
        _shapes = Directions(SceneWords.Shapes.Length, SceneHash.Combine(seed, 0));
        _colors = Directions(SceneWords.Colors.Length, SceneHash.Combine(seed, 1));
        _sizes = Directions(SceneWords.Sizes.Length, SceneHash.Combine(seed, 2));
    }

    /// <summary>Length of the feature vectors.</summary>
    public int FeatureSize { get; }

    /// <summary>One region for each object, in scene order; the same scene always gives the same regions.</summary>
    /// <param name="scene">The scene.</param>
    public ImmutableArray<SceneRegion> Detect(Scene scene)
    {
        ArgumentNullException.ThrowIfNull(scene);
        ulong key = scene.Fingerprint;
        return [.. scene.Objects.Select((item, i) => new SceneRegion(item.Box, (int)item.Shape, (int)item.Color, Feature(item, SceneHash.Combine(key, (ulong)i))))];
    }

    private float[] Feature(SceneObject item, ulong seed)
    {
        float[] feature = Direction(seed);
        for (int i = 0; i < feature.Length; i++)
        {
            float signal = _shapes[(int)item.Shape][i] + _colors[(int)item.Color][i] + _sizes[(int)item.Size][i];
            feature[i] = (signal / MathF.Sqrt(3)) + ((float)_noise * feature[i]);
        }

        return feature;
    }

    private float[][] Directions(int count, ulong seed)
    {
        return [.. Enumerable.Range(0, count).Select(i => Direction(SceneHash.Combine(seed, (ulong)i)))];
    }

    /// <summary>Uniform numbers of variance 1 / size, so that the expected squared length is 1.</summary>
    private float[] Direction(ulong seed)
    {
        SampleRandom random = SceneHash.Random(seed, SceneDraw.Features);
        double bound = Math.Sqrt(3.0 / FeatureSize);
        var direction = new float[FeatureSize];
        for (int i = 0; i < direction.Length; i++)
        {
            direction[i] = (float)random.Uniform(-bound, bound);
        }

        return direction;
    }
}
