using System.CommandLine;
using MiniVlp.Cli.Datasets;
using MiniVlp.Cli.Evaluation;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Scenes;

namespace MiniVlp.Cli.Commands;

/// <summary><c>minivlp eval vqa</c>.</summary>
internal sealed class QuestionCommand : TaskCommand
{
    private readonly Option<string?> _annotations = DataArgument.CreateAnnotationsOption();
    private readonly Option<string[]> _answers = new("--answers") { Description = "Answers that a ranking model chooses from, a file with one per line, or the VQA v2 file of answers that it was trained on (its most frequent 3128); on scenes all words that answer something.", HelpName = "TEXT|FILE", AllowMultipleArgumentsPerToken = true };

    private readonly Option<bool> _generate = new("--generate") { Description = "Let the model write answers instead of ranking those of --answers." };

    public QuestionCommand(ToolHost host)
        : base("vqa", "Answer questions about pictures: official VQA accuracy; data with fields 'answer' or 'answers', VQA v2 files, or scenes.", host)
    {
        Add(_annotations);
        Add(_answers);
        Add(_generate);
    }

    protected override (IImageTextDataset Dataset, Func<EvaluationRun, TaskResult> Evaluate) Prepare(ToolContext context, ModelFolder model)
    {
        SceneQuestionDataset? scenes = Inputs.Scenes(context, model) is { } options ? new SceneQuestionDataset(options) : null;
        IReadOnlyList<string>? answers = context.Arguments.GetValue(_generate) ? null : ReadAnswers(context.Arguments.GetValue(_answers)) ?? scenes?.Answers;
        QuestionAnswerer answerer = ModelTasks.Answerer(model, answers);
        return (scenes ?? Inputs.Open(context, model, context.Arguments.GetValue(_annotations)), run => QuestionEvaluation.Run(answerer, run));
    }

    private static IReadOnlyList<string>? ReadAnswers(string[]? given)
        => given is [string file] && file.EndsWith(".json", StringComparison.OrdinalIgnoreCase) ? VqaDataset.FrequentAnswers(file) : OptionRules.ListOrFile(given);
}
