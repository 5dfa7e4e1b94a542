using MiniVlp.Cli.Evaluation;
using MiniVlp.Data.Datasets;

namespace MiniVlp.Cli.Commands;

/// <summary>What the commands below <c>minivlp eval</c> share that measure a task by a <see cref="TaskResult"/>.</summary>
internal abstract class TaskCommand : ToolCommand
{
    private readonly SheetOptions _sheet = new("pictures with what was said and what is right", 24);

    protected TaskCommand(string name, string description, ToolHost host)
        : base(name, description, host)
    {
        Inputs.AddTo(this);
        _sheet.AddTo(this);
    }

    protected EvalCommand.Inputs Inputs { get; } = new();

    /// <summary>Whether the model must let gradients through.</summary>
    protected virtual bool NeedsGradients => false;

    /// <summary>Prepares before any picture is read, so that a model that cannot do the task is told at once.</summary>
    /// <returns>The data, and what to do with it.</returns>
    protected abstract (IImageTextDataset Dataset, Func<EvaluationRun, TaskResult> Evaluate) Prepare(ToolContext context, ModelFolder model);

    protected sealed override int Run(ToolContext context)
    {
        int examples = _sheet.Count(context.Arguments), batch = Inputs.BatchSize(context.Arguments);
        using ModelFolder model = Inputs.LoadFolder(context, NeedsGradients);
        (IImageTextDataset dataset, Func<EvaluationRun, TaskResult> evaluate) = Prepare(context, model);
        if (Inputs.Limit(context.Arguments) is { } limit && limit < dataset.Count) dataset = new Datasets.FirstSamples(dataset, limit);
        TaskResult result = EncodingProgress.Run(
            context, dataset, report => evaluate(new EvaluationRun(dataset, batch, examples, (ulong)context.Seed, report, context.Cancellation)), Name);
        if (context.Json) context.WriteJson(EvaluationOutput.ToJson(result));
        else EvaluationOutput.Print(context.Console, result);
        _sheet.Save(context.Arguments, result, model);
        return ExitCode.Success;
    }
}
