using System.CommandLine;
using System.Globalization;
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
    }

    /// <summary>The options of both.</summary>
    internal sealed class Inputs
    {
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

        public DualEncoderFolder LoadModel(ToolContext context)
        {
            DualEncoderFolder model = DualEncoderFolder.Load(context.Arguments.GetRequiredValue(_model), context.Device, context.PackedWeights);
            foreach (string warning in model.Model.Warnings) context.Warn(warning);
            return model;
        }

        public EmbeddedDataset Encode(ToolContext context, DualEncoderFolder model)
        {
            const int SceneCount = 1000;
            ParseResult arguments = context.Arguments;
            ImageTextOptions options = new()
            {
                ImageColumn = arguments.GetValue(_table.ImageColumn),
                CaptionColumn = arguments.GetValue(_table.CaptionColumn),
                ImageRoot = arguments.GetValue(_table.ImageRoot),
            };
            IImageTextDataset dataset = DataArgument.Open(Data(arguments), model.ImageSize, SceneSplit.Validation, SceneCount, options);
            if (Limit(arguments) is { } limit && limit < dataset.Count) dataset = new FirstSamples(dataset, limit);
            return EncodingProgress.Run(context, dataset, report => EmbeddedDataset.Encode(model, dataset, arguments.GetValue(_batch), report, context.Cancellation));
        }
    }

    /// <summary><c>minivlp eval retrieval</c>.</summary>
    private sealed class RetrievalCommand : ToolCommand
    {
        private readonly Inputs _inputs = new();

        public RetrievalCommand(ToolHost host)
            : base("retrieval", "R@1, R@5 and R@10 in both directions, beside what a random order would give.", host)
        {
            _inputs.AddTo(this);
        }

        protected override int Run(ToolContext context)
        {
            using DualEncoderFolder model = _inputs.LoadModel(context);
            EmbeddedDataset data = _inputs.Encode(context, model);
            RetrievalResult result = RetrievalEvaluation.Run(model, data, context.Cancellation);
            if (context.Json) context.WriteJson(EvaluationOutput.ToJson(result));
            else EvaluationOutput.Print(context.Console, result);
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
            IReadOnlyList<ZeroShotResult> results = _inputs.Data(context.Arguments) is [string spec] && DataArgument.IsScenes(spec) ? Scenes(context, model, spec) : [Pictures(context, model)];
            if (context.Json) context.WriteJson(new JsonArray([.. results.Select(result => (JsonNode?)EvaluationOutput.ToJson(result))]));
            else EvaluationOutput.Print(context.Console, results);
            return ExitCode.Success;
        }

        private IReadOnlyList<ZeroShotResult> Scenes(ToolContext context, DualEncoderFolder model, string spec)
        {
            SceneDataset data = (SceneDataset)DataArgument.Open([spec], model.ImageSize, SceneSplit.Validation, 1000);
            return SceneZeroShot.Run(model, data.Options.World, data.Options.Split, Math.Min(data.Count, _inputs.Limit(context.Arguments) ?? data.Count), context.Cancellation);
        }

        private ZeroShotResult Pictures(ToolContext context, DualEncoderFolder model)
        {
            EmbeddedDataset data = _inputs.Encode(context, model);
            string[]? classes = ListOrFile(context.Arguments.GetValue(_classes));
            IReadOnlyList<string> templates = ListOrFile(context.Arguments.GetValue(_templates)) ?? ZeroShotClassifier.DefaultTemplates;
            if (templates.FirstOrDefault(template => !template.Contains("{}", StringComparison.Ordinal)) is { } bad) throw new ToolException($"--templates: '{bad}' has no {{}} for the class name.");
            (IReadOnlyList<string> names, IReadOnlyList<int> labels) = SampleLabels.Find(data.Samples, context.Arguments.GetValue(_labelField), classes);
            ZeroShotClassifier classifier = new(model, names, ZeroShotClassifier.Fill(names, templates), context.Cancellation);
            float[] vectors = new float[data.Samples.Count * data.Size];
            for (int i = 0; i < data.Samples.Count; i++) data.ImageVectors.AsSpan(data.Samples[i].ImageIndex * data.Size, data.Size).CopyTo(vectors.AsSpan(i * data.Size));
            return classifier.Evaluate("class", vectors, labels);
        }

        private static string[]? ListOrFile(string[]? values)
        {
            if (values is not { Length: > 0 }) return null;
            if (values is not [string only] || !File.Exists(only)) return values;
            string[] lines = [.. File.ReadLines(only).Select(line => line.Trim()).Where(line => line.Length > 0)];
            return lines.Length > 0 ? lines : throw new ToolException(string.Create(CultureInfo.InvariantCulture, $"{only}: the file holds no line."));
        }
    }
}
