namespace MiniVlp.Cli.Training;

/// <summary>How a CLIP is trained, apart from model and data.</summary>
public sealed record ClipTrainingOptions
{
    /// <summary>Pairs per step.</summary>
    public int BatchSize { get; init; } = 128;

    /// <summary>
    /// Pairs that go through the model at once: a larger batch is encoded piece by piece, twice, with the same gradients up to rounding.
    /// Null takes the whole batch.
    /// </summary>
    public int? MicroBatchSize { get; init; }

    /// <summary>Largest learning rate.</summary>
    public float LearningRate { get; init; } = 1e-3f;

    /// <summary>Of matrices; biases, norms and the logit scale do not decay.</summary>
    public float WeightDecay { get; init; } = 0.1f;

    /// <summary>Share of the steps in which the learning rate rises.</summary>
    public double WarmupShare { get; init; } = 0.05;

    /// <summary>Norm that larger gradients are scaled down to.</summary>
    public float ClipNorm { get; init; } = 1f;

    /// <summary>Passes over the data; null when the length is given otherwise.</summary>
    public double? Epochs { get; init; }

    /// <summary>Steps; null when the length is given otherwise.</summary>
    public int? Steps { get; init; }

    /// <summary>Time; the pace of the first steps decides how many fit. Null when the length is given otherwise.</summary>
    public double? Minutes { get; init; }

    /// <summary>Ends this run after so many steps, as Ctrl+C would; null for never.</summary>
    public int? StopAfter { get; init; }

    /// <summary>Time between two checkpoints.</summary>
    public TimeSpan SaveEvery { get; init; } = TimeSpan.FromMinutes(2);

    /// <summary>Whether pictures are cropped and mirrored at random.</summary>
    public bool Augment { get; init; }

    /// <summary>Seed of weights, order and augmentation.</summary>
    public int Seed { get; init; }
}
