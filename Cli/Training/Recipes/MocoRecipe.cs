using MiniVlp.Data.Images;
using MiniVlp.Data.Text;
using MiniVlp.Models;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Training.Recipes;

/// <summary>
/// MoCo v2: two views of each picture, the first to find the second among a queue of others; an MLP head that is thrown away, τ 0.2, crops, colour jitter,
/// grey, blur and mirror (arXiv:1911.05722, 2003.04297). A vision transformer is trained here, so AdamW takes the place of SGD, as in arXiv:2104.02057.
/// </summary>
public sealed class MocoRecipe : ITrainingRecipe
{
    private static readonly (string Name, VisionTransformerConfig Config)[] Sizes =
    [
        ("tiny", new() { ImageSize = 32, PatchSize = 8, Width = 96, Layers = 3, Heads = 3, HiddenWidth = 384 }),
        ("small", new() { ImageSize = 64, PatchSize = 8, Width = 192, Layers = 6, Heads = 3, HiddenWidth = 768 }),
        ("base-16", VisionTransformerConfig.Base16),
    ];

    public string Name => "moco";

    public string Description => "pictures found again in another view, among a queue";

    public RecipeDefaults Defaults { get; } = new() { BatchSize = 128, LearningRate = 5e-4f, WeightDecay = 0.1f, SmallestCrop = 0.2 };

    public IReadOnlyList<string> Presets { get; } = [.. Sizes.Select(size => size.Name)];

    public bool ReadsTexts => false;

    public bool TakesTwoViews => true;

    public RecipeUses Uses => RecipeUses.Queue | RecipeUses.Momentum;

    public int ImageSizeOf(string preset) => RecipePresets.Find(Sizes, preset).ImageSize;

    public TrainableModel Create(string preset, TextTokenizer? tokenizer, RecipeSettings settings, Device device, int seed)
    {
        VisionTransformerConfig config = RecipePresets.Find(Sizes, preset);
        return Around(() => new VisionTransformer(config, pooler: false), ImagePreprocessor.Vit(config.ImageSize), settings, device, seed);
    }

    public TrainableModel Load(string folder, RecipeSettings settings, Device device)
        => Around(() => RecipeFolder.Load<VisionTransformer>(this, folder, device), ImagePreprocessor.FromPretrained(folder), settings, device, seed: 0);

    private static TrainableModel Around(Func<VisionTransformer> createBackbone, ImagePreprocessor preprocessor, RecipeSettings settings, Device device, int seed)
    {
        // A queue is some batches long, and may hold a small data set more than once, so that it has to know its pictures; the key encoder of a short run
        // follows sooner than that of the paper's 200 epochs.
        int negatives = settings.QueueSize ?? Math.Max(1, RecipeSettings.SmallQueue / settings.BatchSize) * settings.BatchSize;
        if (negatives % settings.BatchSize != 0) throw new ToolException($"--queue {negatives}: must be a multiple of the batch, {settings.BatchSize}.");
        MocoConfig config = MocoConfig.V2 with { BatchSize = settings.BatchSize, Negatives = negatives, Momentum = settings.Momentum ?? 0.99, ReadsPictures = true };
        Moco<VisionTransformer> objective = new(config, createBackbone, device, seed);
        VisionTransformer model = objective.Encoder.Backbone;
        return new TrainableModel(model, objective, TrainableModel.Whole(objective, batch => new ImageViews(batch.Images(device), batch.Images(device, view: 1), batch.PairIdsOn(device))))
        {
            Preprocessor = preprocessor,
            Device = device,
            ImageSize = model.Config.ImageSize,
        };
    }
}
