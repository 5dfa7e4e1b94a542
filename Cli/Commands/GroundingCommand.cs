using System.CommandLine;
using MiniVlp.Cli.Evaluation;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Scenes;

namespace MiniVlp.Cli.Commands;

/// <summary><c>minivlp eval grounding</c>.</summary>
internal sealed class GroundingCommand : TaskCommand
{
    private readonly Option<double> _share = OptionRules.Number("--threshold", "The box holds what reaches this share of the heat map's range.", 0.01, 1, 0.5);

    public GroundingCommand(ToolHost host)
        : base("grounding", "Find what a text means: pointing game, IoU, choice among proposals; data with a field 'box' (shares of width and height), or scenes.", host)
    {
        Add(_share);
    }

    /// <summary>Heat maps are weighed by gradients.</summary>
    protected override bool NeedsGradients => true;

    protected override (IImageTextDataset Dataset, Func<EvaluationRun, TaskResult> Evaluate) Prepare(ToolContext context, ModelFolder model)
    {
        TextLocator locator = ModelTasks.Locator(model);
        double share = context.Arguments.GetValue(_share);
        return (Inputs.Scenes(context, model) is { } scenes ? new SceneReferenceDataset(scenes) : Inputs.Open(context, model), run => GroundingEvaluation.Run(locator, run, share));
    }
}
