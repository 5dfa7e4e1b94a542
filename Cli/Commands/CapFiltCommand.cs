using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using MiniVlp.Cli.CapFilt;
using MiniVlp.Cli.Datasets;
using MiniVlp.Cli.Training;
using MiniVlp.Cli.Training.Recipes;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Scenes;
using MiniVlp.Models;

namespace MiniVlp.Cli.Commands;

/// <summary><c>minivlp capfilt</c>: bootstraps a data set of noisy captions with a captioner and a filter.</summary>
internal sealed class CapFiltCommand : ToolCommand
{
    private readonly ITrainingRecipe _recipe = TrainingRecipes.Find("blip");
    private readonly Option<string[]> _data = DataArgument.CreateOption();
    private readonly Option<string[]> _clean = new("--clean")
    {
        Description = "A small set of pictures with captions that are right, for captioner and filter; not of the pictures of --data.",
        HelpName = "DATA",
        Required = true,
        AllowMultipleArgumentsPerToken = true,
    };

    private readonly (Option<string?> ImageColumn, Option<string?> CaptionColumn, Option<string?> ImageRoot) _table = DataArgument.CreateTableOptions();
    private readonly Option<double> _noise = OptionRules.Number("--caption-noise", "Share of the captions of scenes in --data that are made wrong.", 0.0, 1.0, 0.0, "X");
    private readonly Option<string> _output = new("--out") { Description = "The folder to write; the same command goes on with a run that was stopped.", HelpName = "DIR", Required = true };
    private readonly Option<string> _model;
    private readonly Option<int> _vocabulary = OptionRules.Number("--vocabulary", "Most pieces of a vocabulary that is built.", 64, 1 << 20, 2000);
    private readonly Option<int> _steps = OptionRules.Number("--steps", "Steps of the model that both start from, on --data.", 1, int.MaxValue, 2000);
    private readonly Option<int> _tuningSteps = OptionRules.Number("--tune-steps", "Steps of captioner and filter each, on --clean.", 1, int.MaxValue, 500);
    private readonly Option<int> _batch = OptionRules.Number("--batch", "Pairs per step.", 2, 1 << 20, 64);
    private readonly Option<float> _rate;
    private readonly Option<float> _tuningRate = OptionRules.Number("--tune-lr", "Largest learning rate of captioner and filter.", 0f, 10f, 2e-4f, "X");
    private readonly Option<float> _topP = OptionRules.Number("--top-p", "Captions are drawn from the smallest set of tokens of at least this probability.", 0.01f, 1f, 0.9f, "X");
    private readonly Option<int> _beams = OptionRules.Number("--beams", "More than 1 writes captions by beam search instead.", 1, 64, 1);
    private readonly Option<int> _minTokens = OptionRules.Number("--min-tokens", "Shortest caption in tokens.", 0, 1 << 16, 1);
    private readonly Option<int> _maxTokens = OptionRules.Number("--max-tokens", "Longest caption in tokens.", 1, 1 << 16, 20);
    private readonly Option<float> _threshold = OptionRules.Number("--threshold", "Least probability of a match with which a text is kept.", 0f, 1f, 0.5f, "X");
    private readonly Option<int> _shardSize = OptionRules.Number("--shard-size", "Pictures per shard.", 1, 1 << 20, 500);
    private readonly Option<double> _saveEvery = OptionRules.Number("--save-every", "Minutes between two checkpoints of a training.", 0.01, 1e6, 2.0, "X");

    public CapFiltCommand(ToolHost host)
        : base("capfilt", "Write captions for pictures and keep those texts, given and written, that match; Ctrl+C stops, the same command goes on.", host)
    {
        _model = new("--model")
        {
            Description = $"A preset of BLIP ({string.Join(", ", _recipe.Presets)}) to train, or a BLIP folder that 'train --recipe blip' wrote, to start from.",
            HelpName = "NAME|DIR",
            DefaultValueFactory = _ => "small",
        };
        _rate = OptionRules.Number("--lr", "Largest learning rate of the model that both start from.", 0f, 10f, _recipe.Defaults.LearningRate, "X");
        Option[] options =
        [
            _data, _clean, _table.ImageColumn, _table.CaptionColumn, _table.ImageRoot, _noise, _output, _model, _vocabulary, _steps, _tuningSteps, _batch, _rate, _tuningRate,
            _topP, _beams, _minTokens, _maxTokens, _threshold, _shardSize, _saveEvery,
        ];
        foreach (Option option in options) Add(option);
    }

    protected override int Run(ToolContext context)
    {
        ParseResult arguments = context.Arguments;
        string model = arguments.GetValue(_model)!, folder = arguments.GetRequiredValue(_output);
        string? start = Directory.Exists(model) ? model : null;
        if (arguments.GetValue(_minTokens) > arguments.GetValue(_maxTokens)) throw new ToolException("--min-tokens must not be larger than --max-tokens.");
        int imageSize = start is null ? _recipe.ImageSizeOf(model) : BlipConfig.FromJson(ConfigJson.Read(start)).Vision.ImageSize;
        double noise = arguments.GetValue(_noise);
        if (noise > 0 && !arguments.GetRequiredValue(_data).Any(DataArgument.IsScenes)) throw new ToolException("--caption-noise: only the captions of scenes can be made wrong, since only there is it known what is right.");
        IImageTextDataset web = Open(arguments, _data, imageSize, noise), clean = Open(arguments, _clean, imageSize, 0);
        int batch = arguments.GetValue(_batch);
        foreach ((string option, IImageTextDataset data) in new[] { ("--data", web), ("--clean", clean) })
            if (data.Count < batch) throw new ToolException($"{option}: {data.Name} has {data.Count} pairs, fewer than a batch of {batch}; --batch takes another number.");
        CapFiltOptions options = new()
        {
            TopP = arguments.GetValue(_topP),
            Beams = arguments.GetValue(_beams),
            MinTokens = arguments.GetValue(_minTokens),
            MaxTokens = arguments.GetValue(_maxTokens),
            Threshold = arguments.GetValue(_threshold),
            PicturesPerShard = arguments.GetValue(_shardSize),
            BatchSize = arguments.GetValue(_batch),
            Seed = context.Seed,
        };
        CapFiltTraining training = new()
        {
            Preset = model,
            Start = start,
            Vocabulary = arguments.GetValue(_vocabulary),
            Steps = arguments.GetValue(_steps),
            TuningSteps = arguments.GetValue(_tuningSteps),
            BatchSize = arguments.GetValue(_batch),
            LearningRate = arguments.GetValue(_rate),
            TuningRate = arguments.GetValue(_tuningRate),
            WeightDecay = _recipe.Defaults.WeightDecay,
            SaveEvery = TimeSpan.FromMinutes(arguments.GetValue(_saveEvery)),
            Seed = context.Seed,
        };
        BlipCapFiltModels models = new(web, clean, training, options, context.Device, (title, train) => TrainingDisplay.Run(context.Console, title, train));
        CapFiltSummary summary = new CapFiltRun(web, models, options, folder).Run(new StageLines(context).Show, context.Cancellation);
        Report(context, folder, summary);
        return ExitCode.Success;
    }

    private IImageTextDataset Open(ParseResult arguments, Option<string[]> option, int imageSize, double noise)
    {
        ImageTextOptions tables = new()
        {
            ImageColumn = arguments.GetValue(_table.ImageColumn),
            CaptionColumn = arguments.GetValue(_table.CaptionColumn),
            ImageRoot = arguments.GetValue(_table.ImageRoot),
        };
        return DataArgument.Open(arguments.GetRequiredValue(option), imageSize, SceneSplit.Train, options: tables, captionNoise: noise);
    }

    private static void Report(ToolContext context, string folder, CapFiltSummary summary)
    {
        if (context.Json)
        {
            context.WriteJson(new JsonObject
            {
                ["folder"] = folder,
                ["pictures"] = summary.Pictures,
                ["pairs"] = summary.Pairs,
                ["shards"] = summary.Shards,
                ["web"] = summary.Web.ToJson(),
                ["synthetic"] = summary.Synthetic.ToJson(),
            });
            return;
        }

        context.Output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{folder}: {summary.Pairs:N0} pairs of {summary.Pictures:N0} pictures in {summary.Shards} shards; audit.jsonl says what became of each text"));
        Describe("web", summary.Web);
        Describe("synthetic", summary.Synthetic);

        void Describe(string source, CaptionCounts counts)
        {
            string truth = counts.Judged == 0 ? string.Empty : string.Create(CultureInfo.InvariantCulture,
                $"; true {counts.TrueShare:0.0 %} before, {counts.Precision:0.0 %} after; of the true {counts.Recall:0.0 %} kept, of the false {counts.NoiseFound:0.0 %} dropped");
            context.Output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  {source}: {counts.Kept:N0} of {counts.Texts:N0} texts kept, {counts.Duplicates:N0} duplicates{truth}"));
        }
    }

    /// <summary>A line every few seconds, and at the end of a stage.</summary>
    private sealed class StageLines(ToolContext context)
    {
        private static readonly TimeSpan Interval = TimeSpan.FromSeconds(5);

        private readonly Stopwatch _sinceLast = Stopwatch.StartNew();

        public void Show(string stage, int done, int total)
        {
            if (done < total && _sinceLast.Elapsed < Interval) return;
            _sinceLast.Restart();
            context.Console.Profile.Out.Writer.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{stage}  {done:N0}/{total:N0} pictures"));
        }
    }
}
