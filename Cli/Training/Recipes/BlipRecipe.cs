using MiniVlp.Data.Images;
using MiniVlp.Data.Text;
using MiniVlp.Models;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Training.Recipes;

/// <summary>
/// BLIP: image-text contrast with queues, matching with hard negatives, and captions word by word; AdamW, weight decay 0.05, cosine to zero, random crops
/// and mirror (arXiv:2201.12086, section 4.1).
/// </summary>
public sealed class BlipRecipe : ITrainingRecipe
{
    private static readonly (string Name, BlipConfig Config)[] Sizes = [("tiny", BlipConfig.Tiny), ("small", BlipConfig.Small), ("base", BlipConfig.Base), ("large", BlipConfig.Large)];

    public string Name => "blip";

    public string Description => "contrast, matching, captions";

    public RecipeDefaults Defaults { get; } = new() { BatchSize = 64, LearningRate = 5e-4f, WeightDecay = 0.05f };

    public IReadOnlyList<string> Presets { get; } = [.. Sizes.Select(size => size.Name)];

    public bool ReadsTexts => true;

    public RecipeUses Uses => RecipeUses.Queue | RecipeUses.Momentum | RecipeUses.Distillation;

    public IReadOnlyList<string> SpecialTokens => BlipTextConfig.AddedTokens;

    public int ImageSizeOf(string preset) => RecipePresets.Find(Sizes, preset).Vision.ImageSize;

    public TrainableModel Create(string preset, TextTokenizer? tokenizer, RecipeSettings settings, Device device, int seed)
    {
        BlipConfig config = RecipePresets.Find(Sizes, preset);
        BlipForPreTraining model = new(config.WithVocabulary(tokenizer!.VocabularySize, IdOf("[DEC]"), IdOf("[ENC]"), tokenizer.EndId, tokenizer.PadId));
        model.Initialize(device, seed);
        return Around(model, tokenizer, ImagePreprocessor.Blip(config.Vision.ImageSize), settings, device, seed);

        int IdOf(string token) => tokenizer.IdOf(token) ?? throw new ToolException($"The tokenizer has no {token}, which the recipe blip needs.");
    }

    public TrainableModel Load(string folder, RecipeSettings settings, Device device)
        => Around(RecipeFolder.Load<BlipForPreTraining>(this, folder, device), TextTokenizer.FromPretrained(folder), ImagePreprocessor.FromPretrained(folder), settings, device, seed: 0);

    private static TrainableModel Around(BlipForPreTraining model, TextTokenizer tokenizer, ImagePreprocessor preprocessor, RecipeSettings settings, Device device, int seed)
    {
        BlipPretrainingOptions options = new()
        {
            QueueSize = settings.QueueSize ?? Math.Max(RecipeSettings.SmallQueue, settings.BatchSize),
            QueueWarmUp = RecipeSettings.QueueWarmUp,
            Momentum = settings.Momentum ?? 0.995,
            Alpha = (float)(settings.Distillation ?? 0.4),
        };
        BlipPretraining objective = new(model, options, (ulong)seed);
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
