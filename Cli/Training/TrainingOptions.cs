using MiniVlp.Cli.Training.Recipes;
using MiniVlp.Nn.Training;

namespace MiniVlp.Cli.Training;

/// <summary>How a model is trained, apart from model and data. The defaults are CLIP's; those of a recipe are in <see cref="RecipeDefaults"/>.</summary>
public sealed record TrainingOptions
{
    /// <summary>Samples per step.</summary>
    public int BatchSize { get; init; } = 128;

    /// <summary>
    /// Pairs that go through the model at once: a larger batch is encoded piece by piece, twice, with the same gradients up to rounding.
    /// Null takes the whole batch.
    /// </summary>
    public int? MicroBatchSize { get; init; }

    /// <summary>Whether loss and gradients of a step are launched as one CUDA graph, see <see cref="LossGraph"/>.</summary>
    public bool UsesGraph { get; init; }

    /// <summary>Largest learning rate.</summary>
    public float LearningRate { get; init; } = 1e-3f;

    /// <summary>Learning rate at the end of the cosine, as a share of the largest.</summary>
    public float FinalShare { get; init; }

    /// <summary>Of matrices; biases, norms and temperatures do not decay.</summary>
    public float WeightDecay { get; init; } = 0.1f;

    /// <summary>AdamW's β₂.</summary>
    public double Beta2 { get; init; } = 0.98;

    /// <summary>Share of the steps in which the learning rate rises.</summary>
    public double WarmupShare { get; init; } = 0.05;

    /// <summary>Steps in which it rises, instead of a share.</summary>
    public int? WarmupSteps { get; init; }

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

    /// <summary>Least share of a picture that such a crop keeps.</summary>
    public double SmallestCrop { get; init; } = 0.7;

    /// <summary>Share of captions of scenes that are made wrong; part of the data, noted so that a resumed run has the same.</summary>
    public double CaptionNoise { get; init; }

    /// <summary>When something counts as wrong; by the length of the training when null.</summary>
    public CollapseDetectorOptions? Detection { get; init; }

    /// <summary>Seed of weights, order and augmentation.</summary>
    public int Seed { get; init; }
}
