using MiniVlp.Cli.Datasets;
using MiniVlp.Nn;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Training.Recipes;

/// <summary>A model that is fine-tuned by its own loss alone.</summary>
/// <param name="model">The model.</param>
/// <param name="part">Name of the loss in the log.</param>
/// <param name="loss">The loss of a batch.</param>
/// <param name="levels">What it comes to by chance.</param>
internal sealed class TaskObjective(Module model, string part, Func<ImageTextBatch, Tensor> loss, IReadOnlyList<ChanceLevel> levels) : PretrainingObjective<ImageTextBatch>
{
    public override Module Model => model;

    public override IReadOnlyList<ChanceLevel> ChanceLevels(int batchSize) => levels;

    public override LossParts Loss(ImageTextBatch batch) => new() { { part, loss(batch) } };
}
