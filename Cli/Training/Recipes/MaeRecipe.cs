using MiniVlp.Cli.Reports;
using MiniVlp.Data.Images;
using MiniVlp.Data.Text;
using MiniVlp.Models;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Training.Recipes;

/// <summary>
/// MAE: pictures alone, of which the encoder sees a quarter; AdamW with β₂ 0.95, weight decay 0.05, cosine to zero, random crops and mirror
/// (arXiv:2111.06377, appendix A.1).
/// </summary>
public sealed class MaeRecipe : ITrainingRecipe
{
    private static readonly (string Name, MaeConfig Config)[] Sizes =
        [("tiny", MaeConfig.Tiny), ("small", MaeConfig.Small), ("base-16", MaeConfig.Base16), ("large-16", MaeConfig.Large16), ("huge-14", MaeConfig.Huge14)];

    public string Name => "mae";

    public string Description => "pictures from a quarter of their patches";

    public RecipeDefaults Defaults { get; } = new() { BatchSize = 128, LearningRate = 1e-3f, WeightDecay = 0.05f, Beta2 = 0.95, SmallestCrop = 0.2 };

    public IReadOnlyList<string> Presets { get; } = [.. Sizes.Select(size => size.Name)];

    public bool ReadsTexts => false;

    public RecipeUses Uses => RecipeUses.MaskRatio;

    public int ImageSizeOf(string preset) => ConfigOf(preset).Encoder.ImageSize;

    public TrainableModel Create(string preset, TextTokenizer? tokenizer, RecipeSettings settings, Device device, int seed)
    {
        MaeConfig config = ConfigOf(preset);
        Mae model = new(settings.MaskRatio is { } ratio ? config with { MaskRatio = ratio } : config);
        model.Initialize(device, seed);
        return Around(model, ImagePreprocessor.Vit(model.ImageSize), device);
    }

    public TrainableModel Load(string folder, RecipeSettings settings, Device device)
    {
        Mae model = RecipeFolder.Load<Mae>(this, folder, device);
        if (settings.MaskRatio is { } ratio && ratio != model.Config.MaskRatio) throw new ToolException($"--mask-ratio {ratio}: the model in {folder} was made for {model.Config.MaskRatio}.");
        return Around(model, ImagePreprocessor.FromPretrained(folder), device);
    }

    private static TrainableModel Around(Mae model, ImagePreprocessor preprocessor, Device device)
    {
        MaePretraining objective = new(model);
        return new TrainableModel(model, objective, TrainableModel.Whole(objective, batch => batch.Images(device)))
        {
            Preprocessor = preprocessor,
            Device = device,
            ImageSize = model.ImageSize,
            Draw = Draw,
        };

        RgbImage Draw(IReadOnlyList<RgbImage> images)
        {
            // The same patches whenever it is drawn, so that pictures of different moments can be compared.
            Generator outer = Generator.Current;
            Generator.Current = new Generator(0);
            RgbImage grid = ReconstructionGrid.Draw(model, preprocessor, images, device);
            Generator.Current = outer;
            return grid;
        }
    }

    private static MaeConfig ConfigOf(string preset) => RecipePresets.Find(Sizes, preset);
}
