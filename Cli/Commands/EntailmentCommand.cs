using MiniVlp.Cli.Evaluation;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Scenes;

namespace MiniVlp.Cli.Commands;

/// <summary><c>minivlp eval entailment</c>.</summary>
internal sealed class EntailmentCommand(ToolHost host)
    : TaskCommand("entailment", "Say whether sentences are true of pictures; data with a field 'label': entailment, neutral or contradiction, or scenes.", host)
{
    protected override (IImageTextDataset Dataset, Func<EvaluationRun, TaskResult> Evaluate) Prepare(ToolContext context, ModelFolder model)
    {
        EntailmentJudge judge = ModelTasks.Judge(model);
        return (Inputs.Scenes(context, model) is { } scenes ? new SceneEntailmentDataset(scenes) : Inputs.Open(context, model), run => EntailmentEvaluation.Run(judge, run));
    }
}
