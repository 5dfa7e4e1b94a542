using MiniVlp.Cli.Datasets;
using MiniVlp.Cli.Training.Tasks;
using MiniVlp.Data.Text;
using MiniVlp.Models;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Training.Recipes;

/// <summary>
/// BLIP for visual question answering: encoder and decoder of the pre-trained model part, the decoder writes the answer to a question that has seen the
/// picture, each answer weighted by how many gave it; AdamW, weight decay 0.05, cosine to zero (arXiv:2201.12086, section 5.3).
/// </summary>
public sealed class BlipQuestionRecipe : FineTuningRecipe<BlipForPreTraining, BlipQuestionAnswering>
{
    public override string Name => "blip-vqa";

    public override string Description => "a pre-trained blip answers questions";

    public override RecipeDefaults Defaults { get; } = new() { BatchSize = 64, LearningRate = 5e-4f, WeightDecay = 0.05f };

    public override TextKind Texts => TextKind.Questions;

    protected override string LossName => "answer";

    protected override BlipQuestionAnswering Begin(BlipForPreTraining pretrained, int seed) => BlipQuestionAnswering.From(pretrained);

    protected override (int ImageSize, int Positions, int Vocabulary) SizesOf(BlipQuestionAnswering model)
        => (model.Config.Vision.ImageSize, model.Config.Text.MaxPositions, model.Config.Text.VocabularySize);

    protected override ISampleTask TaskOf(TextTokenizer tokenizer, int positions) => new QuestionTask(tokenizer, positions);

    protected override Tensor Loss(BlipQuestionAnswering model, ImageTextBatch batch, Device device)
        => model.WeightedLoss(batch.Images(device), batch.Texts(device, masked: true), batch.Answers!.Texts(device), batch.Answers.Questions, batch.Answers.Weights);
}
