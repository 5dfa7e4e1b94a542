using System.CommandLine;
using MiniVlp.Cli.Evaluation;
using MiniVlp.Cli.Reports;
using MiniVlp.Data.Datasets;

namespace MiniVlp.Cli.Commands;

/// <summary>What the commands below <c>minivlp eval</c> share that measure a task by a <see cref="TaskResult"/>.</summary>
internal abstract class TaskCommand : ToolCommand
{
    private readonly Option<string?> _sheet = new("--sheet") { Description = "Write examples, pictures with what was said and what is right, as a web page or one picture.", HelpName = "FILE.html|FILE.png" };
    private readonly Option<int> _examples = OptionRules.Number("--examples", "Examples on the sheet.", 1, 1000, 24);

    protected TaskCommand(string name, string description, ToolHost host)
        : base(name, description, host)
    {
        Inputs.AddTo(this);
        Add(_sheet);
        Add(_examples);
    }

    protected EvalCommand.Inputs Inputs { get; } = new();

    /// <summary>Whether the model must let gradients through.</summary>
    protected virtual bool NeedsGradients => false;

    /// <summary>Prepares before any picture is read, so that a model that cannot do the task is told at once.</summary>
    /// <returns>The data, and what to do with it.</returns>
    protected abstract (IImageTextDataset Dataset, Func<EvaluationRun, TaskResult> Evaluate) Prepare(ToolContext context, ModelFolder model);

    protected sealed override int Run(ToolContext context)
    {
        string? sheet = context.Arguments.GetValue(_sheet);
        if (sheet is not null) ExampleSheet.CheckName(sheet);
        using ModelFolder model = Inputs.LoadFolder(context, NeedsGradients);
        (IImageTextDataset dataset, Func<EvaluationRun, TaskResult> evaluate) = Prepare(context, model);
        if (Inputs.Limit(context.Arguments) is { } limit && limit < dataset.Count) dataset = new Datasets.FirstSamples(dataset, limit);
        int examples = sheet is null ? 0 : context.Arguments.GetValue(_examples), batch = Inputs.BatchSize(context.Arguments);
        TaskResult result = EncodingProgress.Run(
            context, dataset, report => evaluate(new EvaluationRun(dataset, batch, examples, (ulong)context.Seed, report, context.Cancellation)), Name);
        if (context.Json) context.WriteJson(EvaluationOutput.ToJson(result));
        else EvaluationOutput.Print(context.Console, result);
        if (sheet is not null) ExampleSheet.Save(sheet, result, model.Model.Architecture);
        return ExitCode.Success;
    }
}
