using MiniVlp.Cli.Datasets;
using MiniVlp.Cli.Training.Tasks;
using MiniVlp.Data.Text;
using MiniVlp.Models;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Training.Recipes;

/// <summary>
/// ALBEF for visual question answering: an answer decoder that starts as the fusion layers, and the likelihood of each answer weighted by how many gave
/// it; AdamW, weight decay 0.02, cosine (arXiv:2107.07651, section 5), without momentum distillation.
/// </summary>
public sealed class AlbefQuestionRecipe : FineTuningRecipe<Albef, AlbefQuestionAnswering>
{
    public override string Name => "albef-vqa";

    public override string Description => "a pre-trained albef answers questions";

    public override RecipeDefaults Defaults { get; } = new() { BatchSize = 64, LearningRate = 5e-4f, WeightDecay = 0.02f };

    public override TextKind Texts => TextKind.Questions;

    protected override string LossName => "answer";

    protected override AlbefQuestionAnswering Begin(Albef pretrained, int seed) => AlbefQuestionAnswering.From(pretrained, seed);

    protected override (int ImageSize, int Positions, int Vocabulary) SizesOf(AlbefQuestionAnswering model)
        => (model.Config.Vision.ImageSize, model.Config.Text.MaxPositions, model.Config.Text.VocabularySize);

    protected override ISampleTask TaskOf(TextTokenizer tokenizer, int positions) => new QuestionTask(tokenizer, positions);

    protected override Tensor Loss(AlbefQuestionAnswering model, ImageTextBatch batch, Device device)
        => model.Loss(batch.Images(device), batch.Texts(device, masked: true), batch.Answers!.Texts(device), batch.Answers.Questions, batch.Answers.Weights);
}
