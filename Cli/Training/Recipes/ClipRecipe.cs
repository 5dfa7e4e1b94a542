using MiniVlp.Autograd;
using MiniVlp.Cli.Datasets;
using MiniVlp.Cli.Evaluation;
using MiniVlp.Data.Text;
using MiniVlp.Models;
using MiniVlp.Nn;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Training.Recipes;

/// <summary>
/// CLIP: symmetric InfoNCE over large batches, AdamW without decay on biases, norms and the logit scale, warm-up and cosine, gradients clipped to
/// norm 1, logit scale at most 100 (arXiv:2103.00020, section 2.5).
/// </summary>
public sealed class ClipRecipe : ITrainingRecipe
{
    public string Name => "clip";

    public string Description => "two towers, pictures and texts contrasted";

    public RecipeDefaults Defaults { get; } = new() { BatchSize = 128, LearningRate = 1e-3f, WeightDecay = 0.1f, Beta2 = 0.98, SmallestCrop = 0.7 };

    public IReadOnlyList<string> Presets { get; } = [.. ModelPresets.All.Select(preset => preset.Name)];

    public bool ReadsTexts => true;

    public int ImageSizeOf(string preset) => ModelPresets.Find(preset).ImageSize;

    public TrainableModel Create(string preset, TextTokenizer? tokenizer, RecipeSettings settings, Device device, int seed)
        => Around(NewModel.Create(ModelPresets.Find(preset), tokenizer!, device, seed));

    public TrainableModel Load(string folder, RecipeSettings settings, Device device) => Around(DualEncoderFolder.Load(folder, device));

    /// <summary>The method around a model that is there already.</summary>
    /// <exception cref="ToolException">The model is no CLIP.</exception>
    public static TrainableModel Around(DualEncoderFolder parts)
    {
        Clip model = parts.Model as Clip ?? throw new ToolException($"The recipe clip trains a CLIPModel, not a {parts.Model.Architecture}.");
        ClipObjective objective = new(model, parts.Device);
        return new TrainableModel(model, objective, objective.TrainStep)
        {
            Tokenizer = parts.Tokenizer,
            Preprocessor = parts.Preprocessor,
            Device = parts.Device,
            ImageSize = parts.ImageSize,
            ContextLength = parts.ContextLength,
            TakesMicroBatches = true,
        };
    }

    private sealed class ClipObjective(Clip model, Device device) : PretrainingObjective<ImageTextBatch>
    {
        public override Module Model => model;

        public override LearnedTemperature Temperature { get; } = new(model.LogitScale, float.NegativeInfinity, MathF.Log(100), TemperatureForm.LogarithmOfScale);

        public override IReadOnlyList<ChanceLevel> ChanceLevels(int batchSize) => [ChanceLevel.Contrastive("itc", batchSize)];

        public override LossParts Loss(ImageTextBatch batch) => new() { { "itc", Contrast(batch, EncodeImages(batch, Range.All), EncodeTexts(batch, Range.All)) } };

        /// <summary>CLIP keeps the factor on similarities at 100 at most, or training becomes unstable.</summary>
        public override void AfterUpdate(int step) => Temperature.Clamp();

        public StepResult TrainStep(Trainer trainer, ImageTextBatch batch, TrainingOptions options)
        {
            int piece = options.MicroBatchSize ?? batch.Count;
            if (piece >= batch.Count) return trainer.TrainStep(this, batch);
            Range PartOf(int index) => (index * piece)..Math.Min(batch.Count, (index + 1) * piece);
            StepResult step = trainer.TrainStep(new ContrastiveAccumulation(
                (batch.Count + piece - 1) / piece,
                index => (EncodeImages(batch, PartOf(index)), EncodeTexts(batch, PartOf(index))),
                (images, texts) => Contrast(batch, images, texts)));
            return step with { Parts = [new LossPartValue("itc", step.Loss)] };
        }

        private Tensor EncodeImages(ImageTextBatch batch, Range part) => model.EncodeImage(batch.Images(device, part));

        private Tensor EncodeTexts(ImageTextBatch batch, Range part) => model.EncodeText(batch.Texts(device, part));

        private Tensor Contrast(ImageTextBatch batch, Tensor images, Tensor texts)
        {
            if (!batch.HasEqualPairs) return model.ContrastiveLoss(images, texts);

            // Pictures with the same caption are no negatives of each other.
            return images.SoftmaxContrastive(texts, model.LogitScale.Value.Exp(), new ContrastiveOptions { Ids = batch.PairIdsOn(device) });
        }
    }
}
