using MiniVlp.Data.Images;
using MiniVlp.Data.Text;
using MiniVlp.Models;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Training.Recipes;

/// <summary>
/// ALBEF: image-text contrast with queues, matching with hard negatives and masked words, with momentum distillation; AdamW, weight decay 0.02, cosine
/// to a tenth, random crops and mirror (arXiv:2107.07651, section 3.5).
/// </summary>
public sealed class AlbefRecipe : ITrainingRecipe
{
    private static readonly (string Name, AlbefConfig Config)[] Sizes = [("tiny", AlbefConfig.Tiny), ("small", AlbefConfig.Small), ("base", AlbefConfig.Base)];

    public string Name => "albef";

    public string Description => "align before fuse: contrast, matching, masked words";

    public RecipeDefaults Defaults { get; } = new() { BatchSize = 64, LearningRate = 5e-4f, FinalShare = 0.1f, WeightDecay = 0.02f };

    public IReadOnlyList<string> Presets { get; } = [.. Sizes.Select(size => size.Name)];

    public bool ReadsTexts => true;

    public RecipeUses Uses => RecipeUses.Queue | RecipeUses.Momentum | RecipeUses.Distillation;

    public int ImageSizeOf(string preset) => RecipePresets.Find(Sizes, preset).Vision.ImageSize;

    public TrainableModel Create(string preset, TextTokenizer? tokenizer, RecipeSettings settings, Device device, int seed)
    {
        AlbefConfig config = RecipePresets.Find(Sizes, preset);
        Albef model = new(config with { Text = config.Text with { VocabularySize = tokenizer!.VocabularySize } });
        model.Initialize(device, seed);
        return Around(model, tokenizer, ImagePreprocessor.Blip(config.Vision.ImageSize), settings, device, seed);
    }

    public TrainableModel Load(string folder, RecipeSettings settings, Device device)
        => Around(RecipeFolder.Load<Albef>(this, folder, device), TextTokenizer.FromPretrained(folder), ImagePreprocessor.FromPretrained(folder), settings, device, seed: 0);

    private static TrainableModel Around(Albef model, TextTokenizer tokenizer, ImagePreprocessor preprocessor, RecipeSettings settings, Device device, int seed)
    {
        AlbefPretrainingOptions options = new()
        {
            Masking = RecipeMasking.Of(tokenizer, "albef"),
            QueueCapacity = settings.QueueSize ?? Math.Max(RecipeSettings.SmallQueue, settings.BatchSize),
            QueueWarmUp = RecipeSettings.QueueWarmUp,
            Momentum = settings.Momentum ?? 0.995,
            Alpha = (float)(settings.Distillation ?? 0.4),
        };
        AlbefPretraining objective = new(model, options, (ulong)seed);
        return new TrainableModel(model, objective, TrainableModel.Whole(objective, batch => batch.Pairs(device)))
        {
            Tokenizer = tokenizer,
            Preprocessor = preprocessor,
            Device = device,
            LearningRateFactor = RecipeSettings.LearningRateFactor,
            ImageSize = model.Config.Vision.ImageSize,
            ContextLength = Math.Min(model.Config.Text.MaxPositions, RecipeSettings.LongestCaption),
        };
    }
}
