using MiniVlp.Cli.Datasets;
using MiniVlp.Data.Text;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Training.Recipes;

/// <summary>What <c>--recipe</c> names: a training method with its models and settings.</summary>
public interface ITrainingRecipe
{
    /// <summary>As <c>--recipe</c> spells it.</summary>
    string Name { get; }

    /// <summary>One line for <c>--help</c>.</summary>
    string Description { get; }

    /// <summary>Settings where the user gives none.</summary>
    RecipeDefaults Defaults { get; }

    /// <summary>Sizes that <c>--model</c> can name, from small to large; <c>small</c> is among them. None for a method that starts from a trained model.</summary>
    IReadOnlyList<string> Presets { get; }

    /// <summary>Whether texts are read, so that there is a tokenizer.</summary>
    bool ReadsTexts { get; }

    /// <summary>What texts are to their pictures.</summary>
    TextKind Texts => TextKind.Captions;

    /// <summary>Settings that the method reads.</summary>
    RecipeUses Uses => RecipeUses.Nothing;

    /// <summary>Special tokens that a new vocabulary has besides those of BERT.</summary>
    IReadOnlyList<string> SpecialTokens => [];

    /// <summary>Whether the method compares two views of each picture; augmentation is not a matter of choice then.</summary>
    bool TakesTwoViews => false;

    /// <summary>Side of the pictures of a preset.</summary>
    int ImageSizeOf(string preset);

    /// <summary>A model with random weights.</summary>
    /// <param name="preset">One of <see cref="Presets"/>.</param>
    /// <param name="tokenizer">There when texts are read.</param>
    /// <param name="settings">What surrounds the model.</param>
    /// <param name="device">Where it is trained.</param>
    /// <param name="seed">Of the weights.</param>
    TrainableModel Create(string preset, TextTokenizer? tokenizer, RecipeSettings settings, Device device, int seed);

    /// <summary>A model from a folder that this recipe has written, or Hugging Face; or one made for a task of what a folder holds.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="settings">What surrounds the model.</param>
    /// <param name="device">Where it is trained.</param>
    /// <exception cref="ToolException">The model is of another class.</exception>
    TrainableModel Load(string folder, RecipeSettings settings, Device device);
}

/// <summary>Which of <see cref="RecipeSettings"/> a method reads.</summary>
[Flags]
public enum RecipeUses
{
    /// <summary>None.</summary>
    Nothing = 0,

    /// <summary><see cref="RecipeSettings.QueueSize"/>.</summary>
    Queue = 1,

    /// <summary><see cref="RecipeSettings.Momentum"/>.</summary>
    Momentum = 2,

    /// <summary><see cref="RecipeSettings.MaskRatio"/>.</summary>
    MaskRatio = 4,

    /// <summary><see cref="RecipeSettings.Distillation"/>.</summary>
    Distillation = 8,
}

/// <summary>Settings of a method that are neither the model's nor the optimizer's; null for the method's default.</summary>
public sealed record RecipeSettings
{
    /// <summary>
    /// Factor of the learning rate for a temperature that is learnt itself and not as a logarithm: Adam moves every parameter by about the rate, and
    /// the rates of small models would drive it from 0.07 to its bound within a hundred steps.
    /// </summary>
    private const double TemperatureRate = 0.1;

    /// <summary>Queues for data sets of thousands; the papers' have 57,600 and 65,536 features.</summary>
    public const int SmallQueue = 4096;

    /// <summary>Steps before queues count, for a model from scratch.</summary>
    public const int QueueWarmUp = 200;

    /// <summary>Longest caption that is read, in tokens, special ones included; the papers read 25 to 40 words.</summary>
    public const int LongestCaption = 48;

    /// <summary>The factor of the learning rate for a parameter of ALBEF and BLIP, whose temperature is called <c>temp</c>.</summary>
    public static double LearningRateFactor(string parameter) => parameter == "temp" ? TemperatureRate : 1;

    /// <summary>Samples per step.</summary>
    public required int BatchSize { get; init; }

    /// <summary>Of parameters that a trained model gets for a new task.</summary>
    public int Seed { get; init; }

    /// <summary>Features that a queue holds.</summary>
    public int? QueueSize { get; init; }

    /// <summary>m of a momentum encoder.</summary>
    public double? Momentum { get; init; }

    /// <summary>Share of the patches that are hidden.</summary>
    public double? MaskRatio { get; init; }

    /// <summary>Weight of momentum distillation.</summary>
    public double? Distillation { get; init; }
}

/// <summary>What a method trains with, scaled down from its paper to small models and batches.</summary>
public sealed record RecipeDefaults
{
    public required int BatchSize { get; init; }

    public required float LearningRate { get; init; }

    /// <summary>The learning rate at the end, as a share of the largest.</summary>
    public float FinalShare { get; init; }

    public required float WeightDecay { get; init; }

    public double Beta2 { get; init; } = 0.999;

    public double WarmupShare { get; init; } = 0.05;

    public float ClipNorm { get; init; } = 1f;

    /// <summary>Least share of a picture that a random crop keeps.</summary>
    public double SmallestCrop { get; init; } = 0.5;
}
