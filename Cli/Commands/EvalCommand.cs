using System.CommandLine;
using System.Text.Json.Nodes;
using MiniVlp.Cli.Datasets;
using MiniVlp.Cli.Evaluation;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Scenes;
using Spectre.Console;

namespace MiniVlp.Cli.Commands;

/// <summary><c>minivlp eval</c>: measures a trained model.</summary>
internal sealed class EvalCommand : Command
{
    public EvalCommand(ToolHost host)
        : base("eval", "Measure a model on data.")
    {
        Add(new RetrievalCommand(host));
        Add(new ZeroShotCommand(host));
        Add(new LinearProbeCommand(host));
        Add(new NearestNeighborCommand(host));
        Add(new ReconstructionCommand(host));
        Add(new CaptioningCommand(host));
        Add(new QuestionCommand(host));
        Add(new GroundingCommand(host));
        Add(new EntailmentCommand(host));
    }

    /// <summary>The options of all.</summary>
    internal sealed class Inputs
    {
        /// <summary>Scenes when the argument does not say.</summary>
        private const int SceneCount = 1000;

        private readonly Option<string> _model = new("--model") { Description = "A model folder.", HelpName = "DIR", Required = true };
        private readonly Option<string[]> _data = DataArgument.CreateOption();
        private readonly Option<int> _batch = OptionRules.Number("--batch", "Pictures that go through the model at once.", 1, 1 << 16, 64);
        private readonly Option<int?> _limit = OptionRules.OptionalNumber("--limit", "Only the first so many samples.", 1, int.MaxValue);
        private readonly (Option<string?> ImageColumn, Option<string?> CaptionColumn, Option<string?> ImageRoot) _table = DataArgument.CreateTableOptions();

        public void AddTo(Command command)
        {
            command.Add(_model);
            command.Add(_data);
            command.Add(_batch);
            command.Add(_limit);
            command.Add(_table.ImageColumn);
            command.Add(_table.CaptionColumn);
            command.Add(_table.ImageRoot);
        }

        public string[] Data(ParseResult arguments) => arguments.GetRequiredValue(_data);

        public int? Limit(ParseResult arguments) => arguments.GetValue(_limit);

        public int BatchSize(ParseResult arguments) => arguments.GetValue(_batch);

        public DualEncoderFolder LoadModel(ToolContext context) => Warn(context, DualEncoderFolder.Load(context.Arguments.GetRequiredValue(_model), context.Device, context.PackedWeights));

        /// <summary>Loads a model of any kind.</summary>
        /// <param name="context">Of the command.</param>
        /// <param name="needsGradients">Weights stay as they are: packed ones let no gradient through.</param>
        public ModelFolder LoadFolder(ToolContext context, bool needsGradients = false)
            => Warn(context, ModelFolder.Open(context.Arguments.GetRequiredValue(_model), context.Device, needsGradients ? null : context.PackedWeights));

        /// <summary>What --data names, cut to --limit.</summary>
        /// <param name="context">Of the command.</param>
        /// <param name="model">Says how large scenes are.</param>
        /// <param name="annotations">The file of answers to a file of questions.</param>
        public IImageTextDataset Open(ToolContext context, ModelFolder model, string? annotations = null)
        {
            ParseResult arguments = context.Arguments;
            IImageTextDataset dataset = DataArgument.Open(Data(arguments), model.ImageSize, SceneSplit.Validation, SceneCount, TableOptions(arguments), annotations: annotations);
            return Limit(arguments) is { } limit && limit < dataset.Count ? new FirstSamples(dataset, limit) : dataset;
        }

        /// <summary>How tables and picture paths are read.</summary>
        private ImageTextOptions TableOptions(ParseResult arguments) => new()
        {
            ImageColumn = arguments.GetValue(_table.ImageColumn),
            CaptionColumn = arguments.GetValue(_table.CaptionColumn),
            ImageRoot = arguments.GetValue(_table.ImageRoot),
        };

        /// <summary>Which scenes --data names, cut to --limit; null when it names other data.</summary>
        public SceneDatasetOptions? Scenes(ToolContext context, ModelFolder model)
        {
            if (Data(context.Arguments) is not [string spec] || !DataArgument.IsScenes(spec)) return null;
            SceneDatasetOptions options = ((SceneDataset)DataArgument.Open([spec], model.ImageSize, SceneSplit.Validation, SceneCount)).Options;
            return options with { Count = Math.Min(options.Count, Limit(context.Arguments) ?? options.Count) };
        }

        public EmbeddedDataset Encode(ToolContext context, DualEncoderFolder model) => Encode(context, model, new EvaluationRun(Open(context, model), BatchSize(context.Arguments)));

        public static EmbeddedDataset Encode(ToolContext context, DualEncoderFolder model, EvaluationRun run)
            => EncodingProgress.Run(context, run.Dataset, report => EmbeddedDataset.Encode(model, run.Dataset, run.BatchSize, report, context.Cancellation));

        private static TFolder Warn<TFolder>(ToolContext context, TFolder model)
            where TFolder : ModelFolder
        {
            foreach (string warning in model.Model.Warnings) context.Warn(warning);
            return model;
        }
    }

    /// <summary><c>minivlp eval retrieval</c>.</summary>
    private sealed class RetrievalCommand : ToolCommand
    {
        private readonly Inputs _inputs = new();
        private readonly Option<int?> _rerank = OptionRules.OptionalNumber("--rerank", "Candidates of each query that a model with a matching head puts in order, looking at picture and text at once.", 1, 1 << 20, "K");
        private readonly SheetOptions _sheet = new("captions with the pictures that were found first", 6);

        public RetrievalCommand(ToolHost host)
            : base("retrieval", "R@1, R@5 and R@10 in both directions, beside what a random order would give; coarse, and fine with --rerank.", host)
        {
            _inputs.AddTo(this);
            Add(_rerank);
            _sheet.AddTo(this);
        }

        protected override int Run(ToolContext context)
        {
            int examples = _sheet.Count(context.Arguments);
            using ModelFolder model = _inputs.LoadFolder(context);
            int? candidates = context.Arguments.GetValue(_rerank);
            EvaluationRun run = new(_inputs.Open(context, model), _inputs.BatchSize(context.Arguments), examples, Cancellation: context.Cancellation);
            StagedRetrieval result = model is DualEncoderFolder towers && candidates is null
                ? RetrievalEvaluation.Run(towers, Inputs.Encode(context, towers, run), run, context.Cancellation)
                : EncodingProgress.Run(context, run.Dataset, (encoded, scored) => RetrievalEvaluation.Run(model, run with { Progress = encoded }, candidates, scored));
            if (context.Json) context.WriteJson(EvaluationOutput.ToJson(result));
            else EvaluationOutput.Print(context.Console, result);
            if (examples > 0) _sheet.Save(context.Arguments, result.ToTaskResult(), model);
            return ExitCode.Success;
        }
    }

    /// <summary><c>minivlp eval zero-shot</c>.</summary>
    private sealed class ZeroShotCommand : ToolCommand
    {
        private readonly Inputs _inputs = new();
        private readonly Option<string[]> _classes = new("--classes") { Description = "Class names, or a file with one per line; the distinct labels when not given.", HelpName = "NAME|FILE", AllowMultipleArgumentsPerToken = true };
        private readonly Option<string[]> _templates = new("--templates") { Description = "Prompt templates with {} for the class name, or a file with one per line.", HelpName = "TEXT|FILE", AllowMultipleArgumentsPerToken = true };
        private readonly Option<string?> _labelField = new("--label-field") { Description = "Field of the data that holds the label; the caption when not given.", HelpName = "NAME" };

        public ZeroShotCommand(ToolHost host)
            : base("zero-shot", "Classify pictures by prompts; on scenes, colour and shape of single objects.", host)
        {
            _inputs.AddTo(this);
            Add(_classes);
            Add(_templates);
            Add(_labelField);
        }

        protected override int Run(ToolContext context)
        {
            using DualEncoderFolder model = _inputs.LoadModel(context);
            IReadOnlyList<ZeroShotResult> results = _inputs.Scenes(context, model) is { } scenes
                ? SceneZeroShot.Run(model, scenes.World, scenes.Split, scenes.Count, context.Cancellation)
                : [Pictures(context, model)];
            if (context.Json) context.WriteJson(new JsonArray([.. results.Select(result => (JsonNode?)EvaluationOutput.ToJson(result))]));
            else EvaluationOutput.Print(context.Console, results);
            return ExitCode.Success;
        }

        private ZeroShotResult Pictures(ToolContext context, DualEncoderFolder model)
        {
            EmbeddedDataset data = _inputs.Encode(context, model);
            string[]? classes = OptionRules.ListOrFile(context.Arguments.GetValue(_classes));
            IReadOnlyList<string> templates = OptionRules.ListOrFile(context.Arguments.GetValue(_templates)) ?? ZeroShotClassifier.DefaultTemplates;
            if (templates.FirstOrDefault(template => !template.Contains("{}", StringComparison.Ordinal)) is { } bad) throw new ToolException($"--templates: '{bad}' has no {{}} for the class name.");
            (IReadOnlyList<string> names, IReadOnlyList<int> labels) = SampleLabels.Find(data.Samples, context.Arguments.GetValue(_labelField), classes);
            ZeroShotClassifier classifier = new(model, names, ZeroShotClassifier.Fill(names, templates), context.Cancellation);
            float[] vectors = new float[data.Samples.Count * data.Size];
            for (int i = 0; i < data.Samples.Count; i++) data.ImageVectors.AsSpan(data.Samples[i].ImageIndex * data.Size, data.Size).CopyTo(vectors.AsSpan(i * data.Size));
            return classifier.Evaluate("class", vectors, labels);
        }
    }
}
