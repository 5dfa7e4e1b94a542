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
            TakesGraph = true,
        };
    }

    private sealed class ClipObjective(Clip model, Device device) : PretrainingObjective<ImageTextBatch>, IDisposable
    {
        private readonly Dictionary<(int Count, int TextLength), RecordedBatch> _recorded = [];

        public override Module Model => model;

        public override LearnedTemperature Temperature { get; } = new(model.LogitScale, float.NegativeInfinity, MathF.Log(100), TemperatureForm.LogarithmOfScale);

        public override IReadOnlyList<ChanceLevel> ChanceLevels(int batchSize) => [ChanceLevel.Contrastive("itc", batchSize)];

        public override LossParts Loss(ImageTextBatch batch) => new() { { "itc", Contrast(batch, EncodeImages(batch, Range.All), EncodeTexts(batch, Range.All)) } };

        /// <summary>CLIP keeps the factor on similarities at 100 at most, or training becomes unstable.</summary>
        public override void AfterUpdate(int step) => Temperature.Clamp();

        public StepResult TrainStep(Trainer trainer, ImageTextBatch batch, TrainingOptions options)
        {
            int piece = options.MicroBatchSize ?? batch.Count;
            if (options.UsesGraph) return trainer.TrainStep(Record(batch));
            if (piece >= batch.Count) return trainer.TrainStep(this, batch);
            Range PartOf(int index) => (index * piece)..Math.Min(batch.Count, (index + 1) * piece);
            StepResult step = trainer.TrainStep(new ContrastiveAccumulation(
                (batch.Count + piece - 1) / piece,
                index => (EncodeImages(batch, PartOf(index)), EncodeTexts(batch, PartOf(index))),
                (images, texts) => Contrast(batch, images, texts)));
            return step with { Parts = [new LossPartValue("itc", step.Loss)] };
        }

        public void Dispose()
        {
            foreach (RecordedBatch recorded in _recorded.Values) recorded.Dispose();
        }

        /// <summary>The graph for batches of this shape, with this one in its tensors: batches are as long as their longest text, in steps, so there are a few.</summary>
        private LossGraph Record(ImageTextBatch batch)
        {
            if (!_recorded.TryGetValue((batch.Count, batch.TextLength), out RecordedBatch? recorded))
            {
                recorded = new RecordedBatch(batch, device, (images, texts, pairIds) => Contrast(model.EncodeImage(images), model.EncodeText(texts), pairIds));
                _recorded.Add((batch.Count, batch.TextLength), recorded);
            }

            recorded.Fill(batch);
            return recorded.Graph;
        }

        private Tensor EncodeImages(ImageTextBatch batch, Range part) => model.EncodeImage(batch.Images(device, part));

        private Tensor EncodeTexts(ImageTextBatch batch, Range part) => model.EncodeText(batch.Texts(device, part));

        private Tensor Contrast(ImageTextBatch batch, Tensor images, Tensor texts)
        {
            if (!batch.HasEqualPairs) return model.ContrastiveLoss(images, texts);

            return Contrast(images, texts, batch.PairIdsOn(device));
        }

        /// <summary>Pictures with the same caption are no negatives of each other.</summary>
        private Tensor Contrast(Tensor images, Tensor texts, IndexTensor pairIds)
            => images.SoftmaxContrastive(texts, model.LogitScale.Value.Exp(), new ContrastiveOptions { Ids = pairIds });

        /// <summary>The tensors on the device that a recorded step reads its batches from.</summary>
        private sealed class RecordedBatch : IDisposable
        {
            private readonly Tensor _images;
            private readonly IndexTensor _tokenIds, _pairIds;

            public RecordedBatch(ImageTextBatch first, Device device, Func<Tensor, TextBatch, IndexTensor, Tensor> loss)
            {
                _images = Tensor.CreatePersistent([first.Count, 3, first.ImageSize, first.ImageSize], device);
                _tokenIds = IndexTensor.CreatePersistent([first.Count, first.TextLength], device);
                _pairIds = IndexTensor.CreatePersistent([first.Count], device);
                Graph = new LossGraph(() => new LossParts { { "itc", loss(_images, new TextBatch(_tokenIds), _pairIds) } });
            }

            public LossGraph Graph { get; }

            public void Fill(ImageTextBatch batch)
            {
                batch.CopyImagesTo(_images);
                _tokenIds.CopyFrom(batch.TokenIds);
                _pairIds.CopyFrom(batch.PairIds);
            }

            public void Dispose()
            {
                Graph.Dispose();
                _images.Dispose();
                _tokenIds.Dispose();
                _pairIds.Dispose();
            }
        }
    }
}
