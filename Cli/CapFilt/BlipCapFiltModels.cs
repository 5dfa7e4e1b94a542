using System.Text.Json.Nodes;
using MiniVlp.Cli.Training;
using MiniVlp.Cli.Training.Recipes;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Data.Text;
using MiniVlp.Models;
using MiniVlp.Nn;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.CapFilt;

/// <summary>How long and how fast the models of a run are trained.</summary>
public sealed record CapFiltTraining
{
    /// <summary>A size of the recipe <c>blip</c>.</summary>
    public string Preset { get; init; } = "small";

    /// <summary>Folder of a BLIP to start from instead of training one.</summary>
    public string? Start { get; init; }

    /// <summary>Most pieces of a vocabulary that is built.</summary>
    public int Vocabulary { get; init; } = 2000;

    /// <summary>Steps on the noisy pairs.</summary>
    public int Steps { get; init; } = 2000;

    /// <summary>Steps on the clean pairs, for captioner and filter each.</summary>
    public int TuningSteps { get; init; } = 500;

    /// <summary>Pairs per step.</summary>
    public int BatchSize { get; init; } = 64;

    /// <summary>Largest learning rate on the noisy pairs.</summary>
    public float LearningRate { get; init; } = 1e-3f;

    /// <summary>Largest learning rate on the clean pairs.</summary>
    public float TuningRate { get; init; } = 3e-4f;

    /// <summary>Weight decay of matrices.</summary>
    public float WeightDecay { get; init; } = 0.05f;

    /// <summary>Minutes between two checkpoints.</summary>
    public TimeSpan SaveEvery { get; init; } = TimeSpan.FromMinutes(2);

    /// <summary>Of weights and order.</summary>
    public int Seed { get; init; }
}

/// <summary>BLIP as the models of a run: pre-trained by the recipe <c>blip</c>, then the captioner by language modelling, the filter by contrast and matching.</summary>
/// <param name="web">The noisy pairs.</param>
/// <param name="clean">The clean pairs.</param>
/// <param name="training">How they are trained.</param>
/// <param name="options">How they are used.</param>
/// <param name="device">Where they run.</param>
/// <param name="show">Runs a training under a title while it is being shown.</param>
public sealed class BlipCapFiltModels(
    IImageTextDataset web,
    IImageTextDataset clean,
    CapFiltTraining training,
    CapFiltOptions options,
    Device device,
    Func<string, Func<ITrainingObserver, TrainingSummary>, TrainingSummary> show) : ICapFiltModels
{
    private readonly RecipeSettings _settings = new() { BatchSize = training.BatchSize };
    private readonly ITrainingRecipe _recipe = TrainingRecipes.Find("blip");

    /// <inheritdoc/>
    public string? Start => training.Start;

    /// <inheritdoc/>
    public JsonObject Settings => new()
    {
        ["clean"] = clean.Name,
        ["clean_pictures"] = clean.Count,
        ["model"] = training.Start ?? training.Preset,
        ["vocabulary"] = training.Vocabulary,
        ["steps"] = training.Steps,
        ["tuning_steps"] = training.TuningSteps,
        ["batch_size"] = training.BatchSize,
        ["learning_rate"] = training.LearningRate,
        ["tuning_rate"] = training.TuningRate,
        ["weight_decay"] = training.WeightDecay,
    };

    /// <inheritdoc/>
    public bool Pretrain(string folder, CancellationToken cancellation)
    {
        using TrainableModel parts = IsUnderWay(folder) ? _recipe.Load(folder, _settings, device)
            : _recipe.Create(training.Preset, NewModel.BuildTokenizer(new ConcatenatedDataset([web, clean]), training.Vocabulary, _recipe.SpecialTokens), _settings, device, training.Seed);
        return Train("pre-training", parts, web, training.Steps, training.LearningRate, folder, cancellation);
    }

    /// <inheritdoc/>
    public bool TrainCaptioner(string start, string folder, CancellationToken cancellation)
    {
        using TrainableModel parts = Around(start, model => (model.Captioning, new CaptionerObjective(model.Captioning)));
        return Train("captioner", parts, clean, training.TuningSteps, training.TuningRate, folder, cancellation);
    }

    /// <inheritdoc/>
    public bool TrainFilter(string start, string folder, CancellationToken cancellation)
    {
        int queue = Math.Max(training.BatchSize, Math.Min(RecipeSettings.SmallQueue, clean.Count / training.BatchSize * training.BatchSize));
        using TrainableModel parts = Around(start, model => (model.Retrieval, new BlipPretraining(model, new BlipPretrainingOptions { QueueSize = queue, LanguageWeight = 0 }, (ulong)training.Seed)));
        return Train("filter", parts, clean, training.TuningSteps, training.TuningRate, folder, cancellation);
    }

    /// <inheritdoc/>
    public ICaptioner OpenCaptioner(string folder) => new BlipCaptioner(folder, options, device);

    /// <inheritdoc/>
    public ICaptionFilter OpenFilter(string folder) => new BlipFilter(folder, device);

    private static bool IsUnderWay(string folder) => File.Exists(Path.Combine(TrainingRun.CheckpointFolder(folder), "trainer.json")) && File.Exists(Path.Combine(folder, "config.json"));

    /// <summary>A view of the model in a folder, with the objective that trains it.</summary>
    private TrainableModel Around(string folder, Func<BlipForPreTraining, (PretrainedModel View, PretrainingObjective<PairBatch> Objective)> choose)
    {
        BlipForPreTraining model = RecipeFolder.Load<BlipForPreTraining>(_recipe, folder, device);
        (PretrainedModel view, PretrainingObjective<PairBatch> objective) = choose(model);
        return new TrainableModel(view, objective, TrainableModel.Whole(objective, batch => batch.Pairs(device)))
        {
            Tokenizer = TextTokenizer.FromPretrained(folder),
            Preprocessor = ImagePreprocessor.FromPretrained(folder),
            Device = device,
            ImageSize = model.Config.Vision.ImageSize,
            LearningRateFactor = RecipeSettings.LearningRateFactor,
            ContextLength = Math.Min(model.Config.Text.MaxPositions, RecipeSettings.LongestCaption),
        };
    }

    private bool Train(string title, TrainableModel parts, IImageTextDataset data, int steps, float rate, string folder, CancellationToken cancellation)
    {
        TrainingOptions how = new()
        {
            BatchSize = training.BatchSize,
            LearningRate = rate,
            WeightDecay = training.WeightDecay,
            Beta2 = _recipe.Defaults.Beta2,
            Steps = steps,
            SaveEvery = training.SaveEvery,
            Seed = training.Seed,
        };
        using TrainingRun run = new(_recipe, parts, data, how, _settings, folder);
        if (IsUnderWay(folder)) run.Resume();
        return show(title, observer => run.Run(observer, cancellation)).IsComplete;
    }

    /// <summary>Language modelling alone.</summary>
    private sealed class CaptionerObjective(BlipCaptioning model) : PretrainingObjective<PairBatch>
    {
        public override Module Model => model;

        public override IReadOnlyList<ChanceLevel> ChanceLevels(int batchSize) => [ChanceLevel.Tokens("lm", model.Config.Text.VocabularySize)];

        public override LossParts Loss(PairBatch batch) => new() { { "lm", model.Loss(batch.Images, batch.Text) } };
    }
}
