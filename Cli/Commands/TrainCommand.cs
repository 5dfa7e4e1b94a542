using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using MiniVlp.Cli.Datasets;
using MiniVlp.Cli.Training;
using MiniVlp.Cli.Training.Recipes;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Data.Scenes;
using MiniVlp.Data.Text;

namespace MiniVlp.Cli.Commands;

/// <summary><c>minivlp train</c>: trains a model from scratch or further.</summary>
internal sealed class TrainCommand : ToolCommand
{
    private const double DefaultEpochs = 10;

    private readonly Option<string> _recipe = new("--recipe")
    {
        Description = $"How to train: {string.Join("; ", TrainingRecipes.All.Select(recipe => $"{recipe.Name} ({recipe.Description})"))}.",
        HelpName = string.Join("|", TrainingRecipes.All.Select(recipe => recipe.Name)),
        DefaultValueFactory = _ => "clip",
    };

    private readonly Option<string[]> _data = DataArgument.CreateOption();
    private readonly (Option<string?> ImageColumn, Option<string?> CaptionColumn, Option<string?> ImageRoot) _table = DataArgument.CreateTableOptions();
    private readonly Option<string?> _annotations = DataArgument.CreateAnnotationsOption();
    private readonly Option<string> _output = new("--out") { Description = "The model folder to write.", HelpName = "DIR", Required = true };
    private readonly Option<string> _model = new("--model")
    {
        Description = $"A preset ({string.Join("; ", TrainingRecipes.All.Where(recipe => recipe.Presets.Count > 0).Select(recipe => $"{recipe.Name}: {string.Join(", ", recipe.Presets)}"))}) or a model folder to train further; for {string.Join(", ", TrainingRecipes.All.Where(recipe => recipe.Presets.Count == 0).Select(recipe => recipe.Name))} the folder of a pre-trained model.",
        HelpName = "NAME|DIR",
        DefaultValueFactory = _ => "small",
    };

    private readonly Option<string?> _tokenizer = new("--tokenizer") { Description = "Folder of a tokenizer; without one a vocabulary is built from the captions.", HelpName = "DIR" };
    private readonly Option<int> _vocabulary = OptionRules.Number("--vocabulary", "Most pieces of a vocabulary that is built.", 64, 1 << 20, 2000);
    private readonly Option<double?> _epochs = OptionRules.OptionalNumber("--epochs", $"Passes over the data; {DefaultEpochs} when no length is given.", 0.001, 1e6, "X");
    private readonly Option<int?> _steps = OptionRules.OptionalNumber("--steps", "Number of steps.", 1, int.MaxValue);
    private readonly Option<double?> _minutes = OptionRules.OptionalNumber("--minutes", "Time to train; the pace of the first steps decides how many fit.", 0.01, 1e6, "X");
    private readonly Option<int?> _batch = OptionRules.OptionalNumber("--batch", $"Samples per step; {Defaults(recipe => recipe.BatchSize)}.", 2, 1 << 20);
    private readonly Option<int?> _microBatch = OptionRules.OptionalNumber("--micro-batch", "Pairs that go through the model at once, to save memory; gradients stay those of the whole batch. For clip.", 1, 1 << 20);
    private readonly Option<bool> _graph = new("--graph") { Description = "Launch loss and gradients of a step as one CUDA graph: the same bits, less work for the host, more device memory. For clip." };
    private readonly Option<float?> _learningRate = OptionRules.OptionalNumber("--lr", $"Largest learning rate; {Defaults(recipe => recipe.LearningRate)}.", 0f, 10f, "X");
    private readonly Option<float?> _finalRate = OptionRules.OptionalNumber("--final-lr", $"Learning rate at the end of the cosine as a share of the largest; {Defaults(recipe => recipe.FinalShare)}.", 0f, 1f, "X");
    private readonly Option<float?> _weightDecay = OptionRules.OptionalNumber("--weight-decay", $"Weight decay of matrices; {Defaults(recipe => recipe.WeightDecay)}.", 0f, 10f, "X");
    private readonly Option<double?> _warmup = OptionRules.OptionalNumber("--warmup", $"Share of the steps in which the learning rate rises; {Defaults(recipe => recipe.WarmupShare)}.", 0.0, 1.0, "X");
    private readonly Option<int?> _warmupSteps = OptionRules.OptionalNumber("--warmup-steps", "Steps in which the learning rate rises, instead of a share.", 0, int.MaxValue);
    private readonly Option<int?> _queue = OptionRules.OptionalNumber("--queue", "Features that a queue holds, for recipes with queues; at least a batch, for moco a multiple of it.", 1, 1 << 24);
    private readonly Option<double?> _momentum = OptionRules.OptionalNumber("--momentum", "m of a momentum encoder, for recipes with one.", 0.0, 1.0, "X");
    private readonly Option<double?> _maskRatio = OptionRules.OptionalNumber("--mask-ratio", "Share of the patches that are hidden, for mae.", 0.01, 0.99, "X");
    private readonly Option<double?> _distillation = OptionRules.OptionalNumber("--alpha", "Weight of momentum distillation, for albef and blip; 0 for none.", 0.0, 1.0, "X");
    private readonly Option<double?> _captionNoise = OptionRules.OptionalNumber("--caption-noise", "Share of the captions of scenes that are made wrong.", 0.0, 1.0, "X");
    private readonly Option<bool> _noAugmentation = new("--no-augmentation") { Description = "Show pictures as they are; scenes always are." };
    private readonly Option<bool> _resume = new("--resume") { Description = "Go on from the checkpoint in --out, with its options where none are given." };
    private readonly Option<int?> _stopAfter = OptionRules.OptionalNumber("--stop-after", "Save and stop after so many steps of this run, to be resumed later.", 1, int.MaxValue);
    private readonly Option<double> _saveEvery = OptionRules.Number("--save-every", "Minutes between two checkpoints.", 0.01, 1e6, 2.0, "X");

    public TrainCommand(ToolHost host)
        : base("train", "Train a model; Ctrl+C saves and stops.", host)
    {
        _recipe.AcceptOnlyFromAmong([.. TrainingRecipes.All.Select(recipe => recipe.Name)]);
        Option[] options =
        [
            _recipe, _data, _annotations, _output, _model, _tokenizer, _vocabulary, _epochs, _steps, _minutes, _batch, _microBatch, _graph, _learningRate, _finalRate, _weightDecay, _warmup, _warmupSteps,
            _queue, _momentum, _maskRatio, _distillation, _captionNoise, _noAugmentation, _resume, _stopAfter, _saveEvery,
        ];
        foreach (Option option in options) Add(option);
        Add(_table.ImageColumn);
        Add(_table.CaptionColumn);
        Add(_table.ImageRoot);
        Validators.Add(result =>
        {
            int lengths = (result.GetResult(_epochs) is null ? 0 : 1) + (result.GetResult(_steps) is null ? 0 : 1) + (result.GetResult(_minutes) is null ? 0 : 1);
            if (lengths > 1) result.AddError("Give only one of --epochs, --steps and --minutes.");
            if (result.GetResult(_warmup) is not null && result.GetResult(_warmupSteps) is not null) result.AddError("Give only one of --warmup and --warmup-steps.");
        });
    }

    protected override int Run(ToolContext context)
    {
        string folder = context.Arguments.GetRequiredValue(_output);
        bool resume = context.Arguments.GetValue(_resume);
        if (resume && !Directory.Exists(folder)) throw new ToolException($"--resume: {folder}: there is no such folder.");
        if (!resume && File.Exists(Path.Combine(TrainingRun.CheckpointFolder(folder), "trainer.json"))) throw new ToolException($"--out {folder}: there is a training in this folder; use --resume to go on, or another folder.");
        if (!resume && File.Exists(Path.Combine(folder, "config.json"))) throw new ToolException($"--out {folder}: there is a model in this folder, which training would overwrite; name another folder.");
        JsonObject? saved = resume ? TrainingRun.ReadState(folder) : null;
        ITrainingRecipe recipe = FindRecipe(context.Arguments, saved);
        RefuseIgnored(context.Arguments, recipe, resume);
        TrainingOptions options = ReadOptions(context, recipe, saved);
        RecipeSettings settings = ReadSettings(context.Arguments, recipe, saved, options);
        string model = resume ? folder : context.Arguments.GetValue(_model)!;
        IImageTextDataset dataset = OpenData(context, recipe, model, options);
        using TrainableModel parts = resume ? recipe.Load(folder, settings, context.Device) : CreateModel(context, recipe, settings, dataset);
        foreach (string warning in parts.Model.Warnings) context.Warn(warning);
        using TrainingRun training = new(recipe, parts, dataset, options, settings, folder);
        if (resume) training.Resume();
        string vocabulary = parts.Tokenizer is { } tokenizer ? string.Create(CultureInfo.InvariantCulture, $", vocabulary {tokenizer.VocabularySize:N0}") : string.Empty;
        context.Console.Profile.Out.Writer.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{dataset.Name}: {dataset.Count:N0} samples; {recipe.Name}: {parts.Model.Architecture}: {parts.Model.ParameterCount():N0} parameters{vocabulary}; batch {options.BatchSize}, {context.Device}"));
        TrainingSummary summary = TrainingDisplay.Run(context.Console, "training", observer => training.Run(observer, context.Cancellation));
        Report(context, folder, summary);
        return context.Cancellation.IsCancellationRequested && !summary.IsComplete ? ExitCode.Interrupted : ExitCode.Success;
    }

    /// <summary>Options that would change nothing.</summary>
    private void RefuseIgnored(ParseResult arguments, ITrainingRecipe recipe, bool resume)
    {
        foreach (Option option in (Option[])[_model, _tokenizer, _vocabulary])
            if (resume && IsGiven(arguments, option)) throw new ToolException($"{option.Name}: --resume goes on with the model and the tokenizer in --out.");
        if (recipe.TakesTwoViews && IsGiven(arguments, _noAugmentation)) throw new ToolException($"--no-augmentation: the recipe {recipe.Name} compares two augmented views of each picture.");
        if (IsGiven(arguments, _vocabulary) && (!recipe.ReadsTexts || arguments.GetValue(_tokenizer) is not null || Directory.Exists(arguments.GetValue(_model))))
            throw new ToolException("--vocabulary: no vocabulary is built here, since the recipe reads no texts, or the tokenizer is given, or the model has its own.");
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
                ["parts"] = new JsonObject(summary.Parts.Select(part => KeyValuePair.Create(part.Name, JsonNumber.Of(part.Value)))),
                ["seconds"] = summary.Seconds,
                ["complete"] = summary.IsComplete,
                ["warnings"] = new JsonArray([.. summary.Warnings.Select(warning => (JsonNode)TrainingDisplay.Describe(warning))]),
            });
            return;
        }

        string end = summary.IsComplete ? "done" : "stopped; --resume goes on from here";
        string loss = double.IsNaN(summary.Loss) ? string.Empty : string.Create(CultureInfo.InvariantCulture, $", loss {summary.Loss:0.000}{TrainingDisplay.DescribeParts(summary.Parts)}");
        context.Output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{folder}: {summary.Steps} steps{loss}, {TrainingDisplay.Duration(TimeSpan.FromSeconds(summary.Seconds))}, {end}"));
    }

    private static string Defaults<T>(Func<RecipeDefaults, T> value)
        => string.Join(", ", TrainingRecipes.All.GroupBy(recipe => string.Create(CultureInfo.InvariantCulture, $"{value(recipe.Defaults)}"), StringComparer.Ordinal).Select(group => $"{group.Key} for {string.Join("/", group.Select(recipe => recipe.Name))}"));

    private ITrainingRecipe FindRecipe(ParseResult arguments, JsonObject? saved)
    {
        string named = arguments.GetValue(_recipe)!;
        if (saved is null) return TrainingRecipes.Find(named);

        // Trainings from before there were several recipes say nothing of theirs.
        string begun = saved["recipe"] is JsonValue value && value.TryGetValue(out string? found) ? found : "clip";
        if (IsGiven(arguments, _recipe) && named != begun) throw new ToolException($"--recipe {named}: the training in this folder was started with {begun}.");
        return TrainingRecipes.Find(begun);
    }

    private IImageTextDataset OpenData(ToolContext context, ITrainingRecipe recipe, string model, TrainingOptions options)
    {
        string? annotations = context.Arguments.GetValue(_annotations);
        if (annotations is not null && recipe.Texts is not TextKind.Questions) throw new ToolException($"--annotations: the recipe {recipe.Name} reads no questions.");
        int size = Directory.Exists(model) ? ImagePreprocessor.FromPretrained(model).OutputSize(64, 64).Width : recipe.ImageSizeOf(model);
        ImageTextOptions tables = new()
        {
            ImageColumn = context.Arguments.GetValue(_table.ImageColumn),
            CaptionColumn = context.Arguments.GetValue(_table.CaptionColumn),
            ImageRoot = context.Arguments.GetValue(_table.ImageRoot),
        };
        return DataArgument.Open(context.Arguments.GetRequiredValue(_data), size, SceneSplit.Train, options: tables, captionNoise: options.CaptionNoise, texts: recipe.Texts, annotations: annotations);
    }

    private TrainableModel CreateModel(ToolContext context, ITrainingRecipe recipe, RecipeSettings settings, IImageTextDataset dataset)
    {
        string model = context.Arguments.GetValue(_model)!;
        string? tokenizer = context.Arguments.GetValue(_tokenizer);
        if (tokenizer is not null && !recipe.ReadsTexts) throw new ToolException($"--tokenizer: the recipe {recipe.Name} reads no texts.");
        if (Directory.Exists(model))
        {
            if (tokenizer is not null) throw new ToolException("--tokenizer: a model that is trained further has its own.");
            return recipe.Load(model, settings, context.Device);
        }

        TextTokenizer? text = !recipe.ReadsTexts ? null
            : tokenizer is not null ? TextTokenizer.FromPretrained(tokenizer)
            : NewModel.BuildTokenizer(dataset, context.Arguments.GetValue(_vocabulary), recipe.SpecialTokens);
        return recipe.Create(model, text, settings, context.Device, context.Seed);
    }

    private static bool IsGiven(ParseResult arguments, Option option) => arguments.GetResult(option) is { Implicit: false };

    /// <summary>What was typed; then, when a training goes on, what it was started with; then null.</summary>
    private static T? Given<T>(ParseResult arguments, Option<T?> option, JsonObject? saved, string field)
        where T : struct
        => arguments.GetValue(option) ?? (saved?[field] is JsonValue value && value.TryGetValue(out T found) ? found : null);

    private RecipeSettings ReadSettings(ParseResult arguments, ITrainingRecipe recipe, JsonObject? saved, TrainingOptions options)
    {
        foreach ((Option option, RecipeUses use) in ((Option, RecipeUses)[])[(_queue, RecipeUses.Queue), (_momentum, RecipeUses.Momentum), (_maskRatio, RecipeUses.MaskRatio), (_distillation, RecipeUses.Distillation)])
            if (IsGiven(arguments, option) && !recipe.Uses.HasFlag(use)) throw new ToolException($"{option.Name}: the recipe {recipe.Name} has no such thing.");
        return new RecipeSettings
        {
            BatchSize = options.BatchSize,
            Seed = options.Seed,
            QueueSize = Given(arguments, _queue, saved, "queue_size"),
            Momentum = Given(arguments, _momentum, saved, "momentum"),
            MaskRatio = Given(arguments, _maskRatio, saved, "mask_ratio"),
            Distillation = Given(arguments, _distillation, saved, "distillation"),
        };
    }

    private TrainingOptions ReadOptions(ToolContext context, ITrainingRecipe recipe, JsonObject? saved)
    {
        ParseResult arguments = context.Arguments;
        RecipeDefaults defaults = recipe.Defaults;
        double? epochs = arguments.GetValue(_epochs);
        int? steps = arguments.GetValue(_steps);
        double? minutes = arguments.GetValue(_minutes);
        if (saved is null && epochs is null && steps is null && minutes is null) epochs = DefaultEpochs;
        bool isScenes = arguments.GetRequiredValue(_data).Any(DataArgument.IsScenes);
        double noise = Given(arguments, _captionNoise, saved, "caption_noise") ?? 0;
        if (noise > 0 && !isScenes) throw new ToolException("--caption-noise: only the captions of scenes can be made wrong, since only there is it known what is right.");
        if (noise > 0 && recipe.Texts is not TextKind.Captions) throw new ToolException($"--caption-noise: the recipe {recipe.Name} reads no captions.");
        return new TrainingOptions
        {
            BatchSize = Given(arguments, _batch, saved, "batch_size") ?? defaults.BatchSize,
            MicroBatchSize = Given(arguments, _microBatch, saved, "micro_batch_size"),
            UsesGraph = arguments.GetValue(_graph),
            LearningRate = Given(arguments, _learningRate, saved, "learning_rate") ?? defaults.LearningRate,
            FinalShare = Given(arguments, _finalRate, saved, "final_share") ?? defaults.FinalShare,
            WeightDecay = Given(arguments, _weightDecay, saved, "weight_decay") ?? defaults.WeightDecay,
            Beta2 = defaults.Beta2,
            WarmupShare = Given(arguments, _warmup, saved, "warmup_share") ?? defaults.WarmupShare,
            WarmupSteps = arguments.GetValue(_warmup) is null ? Given(arguments, _warmupSteps, saved, "warmup_steps") : null,
            ClipNorm = defaults.ClipNorm,
            Epochs = epochs,
            Steps = steps,
            Minutes = minutes,
            StopAfter = arguments.GetValue(_stopAfter),
            SaveEvery = TimeSpan.FromMinutes(arguments.GetValue(_saveEvery)),
            Augment = saved?["augment"] is JsonValue augment && augment.TryGetValue(out bool augmented) && !IsGiven(arguments, _noAugmentation)
                ? augmented
                : !arguments.GetValue(_noAugmentation) && !isScenes,
            SmallestCrop = defaults.SmallestCrop,
            CaptionNoise = noise,
            Seed = IsGiven(arguments, context.SeedOption) || saved?["seed"] is not JsonValue seed || !seed.TryGetValue(out int begun) ? context.Seed : begun,
        };
    }
}
