using MiniVlp.Data.Images;
using MiniVlp.Data.Text;
using MiniVlp.Models;
using MiniVlp.Nn.Pretraining;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Training.Recipes;

/// <summary>
/// ViLT: one transformer over words and patches; matching, whole masked words, words aligned with patches by optimal transport; AdamW, weight decay 0.01,
/// a tenth of the steps to warm up (arXiv:2102.03334, section 4.2).
/// </summary>
public sealed class ViltRecipe : ITrainingRecipe
{
    private static readonly (string Name, ViltConfig Config)[] Sizes = [("tiny", ViltConfig.Tiny), ("small", ViltConfig.Small), ("base-32", ViltConfig.Base32)];

    public string Name => "vilt";

    public string Description => "one transformer: matching, masked words, words on patches";

    public RecipeDefaults Defaults { get; } = new() { BatchSize = 64, LearningRate = 5e-4f, WeightDecay = 0.01f, WarmupShare = 0.1 };

    public IReadOnlyList<string> Presets { get; } = [.. Sizes.Select(size => size.Name)];

    public bool ReadsTexts => true;

    public int ImageSizeOf(string preset) => RecipePresets.Find(Sizes, preset).ImageSize;

    public TrainableModel Create(string preset, TextTokenizer? tokenizer, RecipeSettings settings, Device device, int seed)
    {
        ViltConfig config = RecipePresets.Find(Sizes, preset);
        ViltForPreTraining model = new(config with { VocabularySize = tokenizer!.VocabularySize, PaddingId = tokenizer.PadId });
        model.Initialize(device, seed);
        return Around(model, tokenizer, ImagePreprocessor.Vit(config.ImageSize), device);
    }

    public TrainableModel Load(string folder, RecipeSettings settings, Device device)
        => Around(RecipeFolder.Load<ViltForPreTraining>(this, folder, device), TextTokenizer.FromPretrained(folder), ImagePreprocessor.FromPretrained(folder), device);

    private static TrainableModel Around(ViltForPreTraining model, TextTokenizer tokenizer, ImagePreprocessor preprocessor, Device device)
    {
        ViltConfig config = model.Backbone.Config;
        ViltPretraining objective = new(model, new ViltPretrainingOptions { Masking = RecipeMasking.Of(tokenizer, "vilt", MaskingUnit.WholeWord) });
        return new TrainableModel(model, objective, TrainableModel.Whole(objective, batch => batch.Pairs(device)))
        {
            Tokenizer = tokenizer,
            Preprocessor = preprocessor,
            Device = device,
            ImageSize = config.ImageSize,
            ContextLength = Math.Min(config.MaxPositions, RecipeSettings.LongestCaption),
        };
    }
}
