using MiniVlp.Cli.Datasets;
using MiniVlp.Cli.Training.Tasks;
using MiniVlp.Data.Text;
using MiniVlp.Models;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Training.Recipes;

/// <summary>
/// ALBEF for visual entailment: a classifier of contradiction, neutral and entailment on the first fused token; AdamW, weight decay 0.02, cosine
/// (arXiv:2107.07651, section 5).
/// </summary>
public sealed class AlbefEntailmentRecipe : FineTuningRecipe<Albef, AlbefEntailment>
{
    private static readonly int Classes = Enum.GetValues<EntailmentLabel>().Length;

    public override string Name => "albef-entailment";

    public override string Description => "a pre-trained albef says whether sentences are true of pictures";

    public override RecipeDefaults Defaults { get; } = new() { BatchSize = 64, LearningRate = 5e-4f, WeightDecay = 0.02f };

    public override TextKind Texts => TextKind.Sentences;

    protected override string LossName => "label";

    protected override IReadOnlyList<ChanceLevel> ChanceLevels { get; } =
        [new("label", MathF.Log(Classes), "ln 3: the three labels are equally likely", "the head gets no gradient, the fused token does not see the picture, or the learning rate is too small or too large")];

    protected override AlbefEntailment Begin(Albef pretrained, int seed) => AlbefEntailment.From(pretrained, Classes, seed);

    protected override (int ImageSize, int Positions, int Vocabulary) SizesOf(AlbefEntailment model) => model.Classes == Classes
        ? (model.Config.Vision.ImageSize, model.Config.Text.MaxPositions, model.Config.Text.VocabularySize)
        : throw new ToolException($"The recipe {Name} trains {Classes} classes: contradiction, neutral and entailment; the model has {model.Classes}.");

    protected override ISampleTask TaskOf(TextTokenizer tokenizer, int positions) => new EntailmentTask();

    protected override Tensor Loss(AlbefEntailment model, ImageTextBatch batch, Device device)
        => model.Loss(batch.Images(device), batch.Texts(device, masked: true), IndexTensor.FromArray(batch.Labels!, [batch.Count], device));
}
