using System.CommandLine;
using MiniVlp.Cli.Evaluation;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Scenes;
using MiniVlp.Models.Generation;

namespace MiniVlp.Cli.Commands;

/// <summary><c>minivlp eval captioning</c>.</summary>
internal sealed class CaptioningCommand : TaskCommand
{
    private readonly Option<int> _beams = OptionRules.Number("--beams", "Captions followed at once; 1 is greedy search.", 1, 64, 3);
    private readonly Option<int> _tokens = OptionRules.Number("--max-tokens", "Longest caption in tokens.", 1, 512, 20);
    private readonly Option<int> _fewest = OptionRules.Number("--min-tokens", "Shortest caption in tokens.", 0, 512, 0);
    private readonly Option<double?> _nucleus = OptionRules.OptionalNumber("--top-p", "Draw from the nucleus of this probability instead of searching.", 0.01, 1.0, "P");
    private readonly Option<double> _repetition = OptionRules.Number("--repetition-penalty", "Divides the scores of tokens that were written already.", 0.1, 10, 1.0, "X");
    private readonly Option<string> _prompt = new("--prompt") { Description = "What every caption starts with.", HelpName = "TEXT", DefaultValueFactory = _ => string.Empty };

    public CaptioningCommand(ToolHost host)
        : base("captioning", "Write captions: BLEU, CIDEr-D, ROUGE-L, METEOR-like; on scenes also exact facts and truth.", host)
    {
        Add(_beams);
        Add(_tokens);
        Add(_fewest);
        Add(_nucleus);
        Add(_repetition);
        Add(_prompt);
    }

    protected override (IImageTextDataset Dataset, Func<EvaluationRun, TaskResult> Evaluate) Prepare(ToolContext context, ModelFolder model)
    {
        double? nucleus = context.Arguments.GetValue(_nucleus);
        GenerationOptions options = new()
        {
            Beams = nucleus is null ? context.Arguments.GetValue(_beams) : 1,
            MaxNewTokens = context.Arguments.GetValue(_tokens),
            MinNewTokens = context.Arguments.GetValue(_fewest),
            Sample = nucleus is not null,
            TopP = (float)(nucleus ?? 1),
            RepetitionPenalty = (float)context.Arguments.GetValue(_repetition),
            Seed = (ulong)context.Seed,
        };
        PictureCaptioner captioner = ModelTasks.Captioner(model, options, context.Arguments.GetValue(_prompt)!.Trim());
        return (Inputs.Scenes(context, model) is { } scenes ? new SceneDataset(scenes) : Inputs.Open(context, model), run => CaptioningEvaluation.Run(captioner, run));
    }
}
