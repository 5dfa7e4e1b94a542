using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using MiniVlp.Cli.Datasets;
using MiniVlp.Cli.Evaluation;
using MiniVlp.Cli.Training;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Scenes;
using MiniVlp.Data.Text;
using MiniVlp.Models;

namespace MiniVlp.Cli.Commands;

/// <summary><c>minivlp train</c>: trains a model from scratch or further.</summary>
internal sealed class TrainCommand : ToolCommand
{
    private const double DefaultEpochs = 10;

    private readonly Option<string> _recipe = new("--recipe") { Description = "What to train; clip is the only recipe so far.", HelpName = "clip", DefaultValueFactory = _ => "clip" };
    private readonly Option<string[]> _data = DataArgument.CreateOption();
    private readonly (Option<string?> ImageColumn, Option<string?> CaptionColumn, Option<string?> ImageRoot) _table = DataArgument.CreateTableOptions();
    private readonly Option<string> _output = new("--out") { Description = "The model folder to write.", HelpName = "DIR", Required = true };
    private readonly Option<string> _model = new("--model")
    {
        Description = $"A preset ({string.Join(", ", ModelPresets.All.Select(preset => preset.Name))}) or a model folder to train further.",
        HelpName = "NAME|DIR",
        DefaultValueFactory = _ => "small",
    };

    private readonly Option<string?> _tokenizer = new("--tokenizer") { Description = "Folder of a tokenizer; without one a vocabulary is built from the captions.", HelpName = "DIR" };
    private readonly Option<int> _vocabulary = OptionRules.Number("--vocabulary", "Most pieces of a vocabulary that is built.", 64, 1 << 20, 2000);
    private readonly Option<double?> _epochs = OptionRules.OptionalNumber("--epochs", $"Passes over the data; {DefaultEpochs} when no length is given.", 0.001, 1e6, "X");
    private readonly Option<int?> _steps = OptionRules.OptionalNumber("--steps", "Number of steps.", 1, int.MaxValue);
    private readonly Option<double?> _minutes = OptionRules.OptionalNumber("--minutes", "Time to train; the pace of the first steps decides how many fit.", 0.01, 1e6, "X");
    private readonly Option<int> _batch = OptionRules.Number("--batch", "Pairs per step.", 2, 1 << 20, 128);
    private readonly Option<int?> _microBatch = OptionRules.OptionalNumber("--micro-batch", "Pairs that go through the model at once, to save memory; gradients stay those of the whole batch.", 1, 1 << 20);
    private readonly Option<float> _learningRate = OptionRules.Number("--lr", "Largest learning rate.", 0f, 10f, 1e-3f, "X");
    private readonly Option<float> _weightDecay = OptionRules.Number("--weight-decay", "Weight decay of matrices.", 0f, 10f, 0.1f, "X");
    private readonly Option<double> _warmup = OptionRules.Number("--warmup", "Share of the steps in which the learning rate rises.", 0.0, 1.0, 0.05, "X");
    private readonly Option<bool> _noAugmentation = new("--no-augmentation") { Description = "Show pictures as they are; scenes always are." };
    private readonly Option<bool> _resume = new("--resume") { Description = "Go on from the checkpoint in --out, with its options where none are given." };
    private readonly Option<int?> _stopAfter = OptionRules.OptionalNumber("--stop-after", "Save and stop after so many steps of this run, to be resumed later.", 1, int.MaxValue);
    private readonly Option<double> _saveEvery = OptionRules.Number("--save-every", "Minutes between two checkpoints.", 0.01, 1e6, 2.0, "X");

    public TrainCommand(ToolHost host)
        : base("train", "Train a model; Ctrl+C saves and stops.", host)
    {
        _recipe.AcceptOnlyFromAmong("clip");
        Option[] options = [_recipe, _data, _output, _model, _tokenizer, _vocabulary, _epochs, _steps, _minutes, _batch, _microBatch, _learningRate, _weightDecay, _warmup, _noAugmentation, _resume, _stopAfter, _saveEvery];
        foreach (Option option in options) Add(option);
        Add(_table.ImageColumn);
        Add(_table.CaptionColumn);
        Add(_table.ImageRoot);
        Validators.Add(result =>
        {
            int lengths = (result.GetResult(_epochs) is null ? 0 : 1) + (result.GetResult(_steps) is null ? 0 : 1) + (result.GetResult(_minutes) is null ? 0 : 1);
            if (lengths > 1) result.AddError("Give only one of --epochs, --steps and --minutes.");
        });
    }

    protected override int Run(ToolContext context)
    {
        string folder = context.Arguments.GetRequiredValue(_output);
        bool resume = context.Arguments.GetValue(_resume);
        if (resume && !Directory.Exists(folder)) throw new ToolException($"--resume: {folder}: there is no such folder.");
        if (!resume && File.Exists(Path.Combine(ClipTraining.CheckpointFolder(folder), "trainer.json"))) throw new ToolException($"--out {folder}: there is a training in this folder; use --resume to go on, or another folder.");
        if (!resume && File.Exists(Path.Combine(folder, "config.json"))) throw new ToolException($"--out {folder}: there is a model in this folder, which training would overwrite; name another folder.");
        JsonObject? saved = resume ? ClipTraining.ReadState(folder) : null;
        IImageTextDataset dataset = OpenData(context, folder, resume);
        using DualEncoderFolder parts = resume ? DualEncoderFolder.Load(folder, context.Device) : CreateModel(context, dataset);
        foreach (string warning in parts.Model.Warnings) context.Warn(warning);
        ClipTrainingOptions options = ReadOptions(context, saved);
        using ClipTraining training = new(parts, dataset, options, folder);
        if (resume) training.Resume();
        context.Console.Profile.Out.Writer.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{dataset.Name}: {dataset.Count:N0} pairs; {parts.Model.Architecture}: {parts.Model.ParameterCount():N0} parameters, vocabulary {parts.Tokenizer.VocabularySize:N0}; batch {options.BatchSize}, {context.Device}"));
        TrainingSummary summary = TrainingDisplay.Run(context.Console, "training", observer => training.Run(observer, context.Cancellation));
        Report(context, folder, summary);
        return context.Cancellation.IsCancellationRequested && !summary.IsComplete ? ExitCode.Interrupted : ExitCode.Success;
    }

    private static void Report(ToolContext context, string folder, TrainingSummary summary)
    {
        if (context.Json)
        {
            context.WriteJson(new JsonObject
            {
                ["folder"] = folder,
                ["steps"] = summary.Steps,
                ["loss"] = JsonNumber.Of(summary.Loss),
                ["seconds"] = summary.Seconds,
                ["complete"] = summary.IsComplete,
            });
            return;
        }

        string end = summary.IsComplete ? "done" : "stopped; --resume goes on from here";
        string loss = double.IsNaN(summary.Loss) ? string.Empty : string.Create(CultureInfo.InvariantCulture, $", loss {summary.Loss:0.000}");
        context.Output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{folder}: {summary.Steps} steps{loss}, {TrainingDisplay.Duration(TimeSpan.FromSeconds(summary.Seconds))}, {end}"));
    }

    private IImageTextDataset OpenData(ToolContext context, string folder, bool resume)
    {
        string model = context.Arguments.GetValue(_model)!;
        ClipConfig config = resume ? ClipConfig.FromJson(ConfigJson.Read(folder)) : Directory.Exists(model) ? ClipConfig.FromJson(ConfigJson.Read(model)) : ModelPresets.Find(model);
        ImageTextOptions options = new()
        {
            ImageColumn = context.Arguments.GetValue(_table.ImageColumn),
            CaptionColumn = context.Arguments.GetValue(_table.CaptionColumn),
            ImageRoot = context.Arguments.GetValue(_table.ImageRoot),
        };
        return DataArgument.Open(context.Arguments.GetRequiredValue(_data), config.ImageSize, SceneSplit.Train, options: options);
    }

    private DualEncoderFolder CreateModel(ToolContext context, IImageTextDataset dataset)
    {
        string model = context.Arguments.GetValue(_model)!;
        string? tokenizer = context.Arguments.GetValue(_tokenizer);
        if (Directory.Exists(model))
        {
            if (tokenizer is not null) throw new ToolException("--tokenizer: a model that is trained further has its own.");
            return DualEncoderFolder.Load(model, context.Device);
        }

        TextTokenizer text = tokenizer is null ? NewModel.BuildTokenizer(dataset, context.Arguments.GetValue(_vocabulary)) : TextTokenizer.FromPretrained(tokenizer);
        return NewModel.Create(ModelPresets.Find(model), text, context.Device, context.Seed);
    }

    /// <summary>What was typed; then, when a training goes on, what it was started with; then the defaults.</summary>
    private static T Pick<T>(ParseResult arguments, Option<T> option, JsonObject? saved, string field)
        => !IsGiven(arguments, option) && saved?[field] is JsonValue value && value.TryGetValue(out T? found) ? found : arguments.GetValue(option)!;

    private static bool IsGiven(ParseResult arguments, Option option) => arguments.GetResult(option) is { Implicit: false };

    private ClipTrainingOptions ReadOptions(ToolContext context, JsonObject? saved)
    {
        ParseResult arguments = context.Arguments;
        double? epochs = arguments.GetValue(_epochs);
        int? steps = arguments.GetValue(_steps);
        double? minutes = arguments.GetValue(_minutes);
        if (saved is null && epochs is null && steps is null && minutes is null) epochs = DefaultEpochs;
        return new ClipTrainingOptions
        {
            BatchSize = Pick(arguments, _batch, saved, "batch_size"),
            MicroBatchSize = arguments.GetValue(_microBatch) ?? (saved?["micro_batch_size"] is JsonValue piece && piece.TryGetValue(out int size) ? size : null),
            LearningRate = Pick(arguments, _learningRate, saved, "learning_rate"),
            WeightDecay = Pick(arguments, _weightDecay, saved, "weight_decay"),
            WarmupShare = Pick(arguments, _warmup, saved, "warmup_share"),
            Epochs = epochs,
            Steps = steps,
            Minutes = minutes,
            StopAfter = arguments.GetValue(_stopAfter),
            SaveEvery = TimeSpan.FromMinutes(arguments.GetValue(_saveEvery)),
            Augment = saved?["augment"] is JsonValue augment && augment.TryGetValue(out bool augmented) && !IsGiven(arguments, _noAugmentation)
                ? augmented
                : !arguments.GetValue(_noAugmentation) && !arguments.GetRequiredValue(_data).Any(DataArgument.IsScenes),
            Seed = Pick(arguments, context.SeedOption, saved, "seed"),
        };
    }
}
