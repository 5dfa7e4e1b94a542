using System.CommandLine;
using MiniVlp.Cli.Evaluation;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Scenes;
using MiniVlp.Data.Skia;

namespace MiniVlp.Cli.Commands;

/// <summary><c>minivlp eval vqa</c>.</summary>
internal sealed class QuestionCommand : TaskCommand
{
    private readonly Option<string?> _annotations = new("--annotations") { Description = "With a VQA v2 file of questions as --data: the file of answers.", HelpName = "FILE.json" };
    private readonly Option<string[]> _answers = new("--answers") { Description = "Answers that a ranking model chooses from, or a file with one per line; on scenes all words that answer something.", HelpName = "TEXT|FILE", AllowMultipleArgumentsPerToken = true };

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
        IReadOnlyList<string>? answers = context.Arguments.GetValue(_generate) ? null : OptionRules.ListOrFile(context.Arguments.GetValue(_answers)) ?? scenes?.Answers;
        QuestionAnswerer answerer = ModelTasks.Answerer(model, answers);
        return (scenes ?? Open(context, model), run => QuestionEvaluation.Run(answerer, run));
    }

    private IImageTextDataset Open(ToolContext context, ModelFolder model)
    {
        if (context.Arguments.GetValue(_annotations) is not { } annotations) return Inputs.Open(context, model);
        return Inputs.Data(context.Arguments) is [string questions]
            ? new VqaDataset(questions, annotations, new SkiaImageDecoder(), Inputs.TableOptions(context.Arguments))
            : throw new ToolException("--annotations goes with one file of questions as --data.");
    }
}
