using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using MiniVlp.Cli.Datasets;
using MiniVlp.Cli.TensorBoard;
using MiniVlp.Cli.Training.Recipes;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Kernels;
using MiniVlp.Nn.Optimizers;
using MiniVlp.Nn.Pretraining;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Training;

/// <summary>
/// Trains a model by its method: AdamW without decay on biases, norms and temperatures, warm-up and cosine, clipped gradients. Writes a Hugging Face
/// folder with <c>checkpoint/</c>, <c>metrics.csv</c>, TensorBoard events and <c>loss.png</c> in it. A run that was stopped goes on bit by bit as if
/// it had not been: parameters, moments, queues, momentum weights, random numbers and the place in the data are saved together.
/// </summary>
public sealed class TrainingRun : IDisposable
{
    private const int DrawnPictures = 8;

    private readonly TrainableModel _parts;
    private readonly ITrainingRecipe _recipe;
    private readonly IImageTextDataset _dataset;
    private readonly TrainingOptions _options;
    private readonly RecipeSettings _settings;
    private readonly string _folder;
    private readonly PlannedSchedule _schedule;
    private readonly Trainer _trainer;
    private readonly Lazy<string> _fingerprint;
    private MetricsHistory _history = new();
    private double _secondsBefore;
    private (long Epoch, int Position) _start;

    /// <param name="recipe">The method.</param>
    /// <param name="parts">The model, initialised, in the method.</param>
    /// <param name="dataset">What to train on.</param>
    /// <param name="options">How.</param>
    /// <param name="settings">Of the method; noted, so that a resumed run has the same.</param>
    /// <param name="folder">Where everything is written.</param>
    /// <exception cref="ToolException">The data has fewer samples than a batch, a queue has fewer places, or the method takes no batch in pieces, or records no graph.</exception>
    public TrainingRun(ITrainingRecipe recipe, TrainableModel parts, IImageTextDataset dataset, TrainingOptions options, RecipeSettings settings, string folder)
    {
        if (dataset.Count < options.BatchSize) throw new ToolException($"--batch {options.BatchSize}: the data has only {dataset.Count} samples.");
        if (options.MicroBatchSize is not null && !parts.TakesMicroBatches) throw new ToolException($"--micro-batch: the recipe {recipe.Name} takes batches as a whole.");
        if (options.UsesGraph) RequireGraph(recipe, parts, options);
        foreach ((_, ITrainingState state) in parts.Objective.State)
        {
            if (state is FeatureQueue queue && queue.Capacity < options.BatchSize)
                throw new ToolException($"--queue {queue.Capacity}: a queue takes a whole batch at once; it must hold at least --batch {options.BatchSize} features.");
        }

        _recipe = recipe;
        _parts = parts;
        _dataset = dataset;
        _fingerprint = new Lazy<string>(() => DataFingerprint.Of(dataset));
        _options = options;
        _settings = settings;
        _folder = folder;
        _schedule = new PlannedSchedule(options.LearningRate, options.WarmupShare, options.WarmupSteps, options.FinalShare) { TotalSteps = PlannedSteps() };
        parts.Objective.StepsPerEpoch = dataset.Count / options.BatchSize;
        AdamW optimizer = new(ParameterGroup.SplitByDecay(parts.Objective.Model.NamedParameters(), options.WeightDecay, parts.LearningRateFactor), options.LearningRate) { Beta2 = options.Beta2 };
        _trainer = new Trainer(parts.Objective, optimizer, new TrainerOptions
        {
            Schedule = _schedule.ToSchedule(),
            ClipNorm = options.ClipNorm,
            Seed = (ulong)options.Seed,
        });
    }

    /// <summary>The folder of checkpoints inside a model folder.</summary>
    public static string CheckpointFolder(string folder) => Path.Combine(folder, "checkpoint");

    /// <summary>What the checkpoint in a folder says about data and options, before anything else is loaded.</summary>
    /// <exception cref="ToolException">There is no checkpoint, or its trainer.json is damaged.</exception>
    public static JsonObject ReadState(string folder)
    {
        string path = Path.Combine(CheckpointFolder(folder), "trainer.json");
        if (!File.Exists(path)) throw new ToolException($"--resume: {path}: there is no checkpoint to go on from.");
        try
        {
            return JsonNode.Parse(File.ReadAllText(path), null, new JsonDocumentOptions { MaxDepth = 32 }) is JsonObject json && json["data"] is JsonObject data
                ? data
                : throw new ToolException($"{path}: expected an object with an object 'data'.");
        }
        catch (JsonException exception)
        {
            throw new ToolException($"{path}: not valid JSON: {exception.Message}");
        }
    }

    /// <summary>What was recorded so far.</summary>
    public IReadOnlyList<TrainingMetrics> History => _history.Rows;

    /// <summary>Continues from the checkpoint in the folder.</summary>
    /// <exception cref="ToolException">The checkpoint was made with other data or another batch size.</exception>
    public void Resume()
    {
        JsonObject state = _trainer.Load(CheckpointFolder(_folder), _parts.Device)
            ?? throw new ToolException($"{CheckpointFolder(_folder)}: trainer.json has no field 'data'.");
        RequireSame(state, "samples", _dataset.Count);
        RequireSame(state, "batch_size", _options.BatchSize);
        RequireSame(state, "seed", _options.Seed);

        // Trainings from before there was a fingerprint say nothing of theirs.
        if (state["fingerprint"] is not null && Read<string>(state, "fingerprint") != _fingerprint.Value)
            throw new ToolException($"{CheckpointFolder(_folder)}: the training was started with other data of as many samples, of which captions or pictures differ from those of --data; --resume needs the same.");
        _start = (Read<long>(state, "epoch"), Read<int>(state, "position"));
        _secondsBefore = Read<double>(state, "seconds");
        if (_schedule.TotalSteps is null && state["total_steps"] is not null) _schedule.TotalSteps = Read<int>(state, "total_steps");
        if (_options.Minutes is null && _schedule.TotalSteps is null)
            throw new ToolException($"{CheckpointFolder(_folder)}: the training was stopped before its length was known; give --steps, --epochs or --minutes.");

        // A training that had come to its end is given more time: its old end must not stop it at once.
        if (_options.Minutes is not null && _trainer.Step >= _schedule.TotalSteps) _schedule.TotalSteps = null;
        _history = MetricsHistory.Load(Path.Combine(_folder, "metrics.csv"), _trainer.Step);
    }

    /// <summary>Trains until the planned end or until stopped; everything is saved either way.</summary>
    /// <param name="observer">Told about every step.</param>
    /// <param name="cancellation">Stops after the step under way.</param>
    /// <exception cref="ToolException">The loss is no longer a number.</exception>
    public TrainingSummary Run(ITrainingObserver observer, CancellationToken cancellation)
    {
        Directory.CreateDirectory(_folder);
        using DataLoader<ImageTextBatch> loader = OpenLoader();
        using BatchesAhead batches = new(loader, _parts.Device);
        if (_parts.Device.Backend is GpuBackend { UploadsBesideKernels: true }) _trainer.WhileComputing = batches.Fetch;
        using TensorBoardWriter events = new(Path.Combine(_folder, "events"));
        TrainingPace pace = new(_options.Minutes);
        RunningLoss running = new(_history.Rows);
        CollapseDetector detector = new(_options.Detection ?? new CollapseDetectorOptions { GraceSteps = Math.Max(300, (_schedule.TotalSteps ?? 0) / 10) });
        List<TrainingWarning> warnings = [];

        // What was noticed before a stop was told then.
        if (_parts.Objective.Temperature is { } learned)
            foreach (TrainingMetrics row in _history.Rows) detector.ObserveTemperature(row.Step, learned, row.Temperature);
        double savedAt = 0;
        int firstStep = _trainer.Step;
        _parts.Objective.Model.Train();
        while (_schedule.TotalSteps is not { } total || _trainer.Step < total)
        {
            if (cancellation.IsCancellationRequested || pace.IsOver || _trainer.Step - firstStep >= (_options.StopAfter ?? int.MaxValue)) break;
            _parts.Objective.TotalSteps = _schedule.TotalSteps ?? 0;
            StepResult step;
            try
            {
                ImageTextBatch batch = batches.Take();
                step = _parts.Step(_trainer, batch, _options);
                loader.Return(batch);
            }
            catch (NotFiniteNumberException exception)
            {
                throw Diverged(exception, events);
            }

            double seconds = pace.StepDone();
            (long Epoch, int Position) place = batches.Place;
            double epoch = place.Epoch + ((double)place.Position / _dataset.Count);
            float? temperature = _parts.Objective.Temperature is { } now ? now.ToTemperature(now.Parameter.Value.Item()) : null;
            TrainingMetrics metrics = new(
                step.Step, epoch, step.Loss, step.LearningRate, step.GradientNorm,
                temperature ?? float.NaN, _options.BatchSize / seconds, loader.DataWaitShare, _secondsBefore + pace.Seconds)
            {
                Parts = step.Parts,
            };
            _history.Add(metrics);
            running.Add(metrics);
            Write(events, metrics);
            foreach (TrainingWarning warning in detector.Observe(step, _parts.Objective, _options.BatchSize, temperature))
            {
                warnings.Add(warning);
                observer.Warned(warning);
            }


            if (pace.PlanStepsLeft() is { } left) _schedule.TotalSteps = _trainer.Step + left;
            observer.Stepped(Progress(metrics, running, pace));
            if (pace.Seconds - savedAt < _options.SaveEvery.TotalSeconds) continue;
            Save(batches.Place, pace, events);
            observer.Saved(_trainer.Step);
            savedAt = pace.Seconds;
        }

        _parts.Objective.Model.Evaluate();
        Save(batches.Place, pace, events);
        observer.Saved(_trainer.Step);
        DrawChart();
        if (_parts.Draw is { } draw)
        {
            RgbImage picture = draw([.. Enumerable.Range(0, Math.Min(_dataset.Count, DrawnPictures)).Select(i => _dataset.Get(i).Image)]);
            AtomicFile.WriteAllBytes(Path.Combine(_folder, "reconstructions.png"), PngWriter.Encode(picture));
        }

        bool complete = pace.IsOver || (_schedule.TotalSteps is { } planned && _trainer.Step >= planned);
        return new TrainingSummary(_trainer.Step, running.Loss, _secondsBefore + pace.Seconds, complete) { Parts = running.Parts, Warnings = warnings };
    }

    public void Dispose() => _trainer.Dispose();

    private static void Write(TensorBoardWriter events, TrainingMetrics metrics)
    {
        List<(string, double)> scalars =
        [
            ("train/loss", metrics.Loss),
            .. metrics.Parts.Select(part => ($"loss/{part.Name}", (double)part.Value)),
            ("train/learning_rate", metrics.LearningRate),
            ("train/gradient_norm", metrics.GradientNorm),
            ("speed/samples_per_second", metrics.SamplesPerSecond),
            ("speed/data_wait_share", metrics.DataWaitShare),
        ];
        if (!float.IsNaN(metrics.Temperature)) scalars.Add(("train/temperature", metrics.Temperature));
        events.Write(metrics.Step, [.. scalars]);
    }

    private DataLoader<ImageTextBatch> OpenLoader()
    {
        ulong seed = (ulong)_options.Seed;
        ImageAugmentation? augmentation = _options.Augment
            ? new ImageAugmentation(new RandomResizedCrop(_parts.ImageSize) { Scale = (_options.SmallestCrop, 1) }, _parts.Task?.AllowsMirror == false ? null : new HorizontalFlip())
            : null;
        ImageTextBatchBuilder builder = new(_dataset, _parts.Preprocessor, _parts.Tokenizer, _parts.ContextLength, augmentation, seed)
        {
            TwoViews = _recipe.TakesTwoViews ? ContrastiveAugmentation.MocoV2(_parts.ImageSize) : null,
            PairIds = _parts.Task is not null ? null : _recipe.ReadsTexts ? PairIds.Of(_dataset) : PairIds.OfPictures(_dataset),
            Task = _parts.Task,
        };

        // The CPU computes with all its processors already; a GPU leaves them to the pictures.
        int workers = _parts.Device.Backend is GpuBackend ? Math.Clamp(Environment.ProcessorCount / 2, 1, 8) : 1;
        DataLoaderOptions loading = new() { BatchSize = _options.BatchSize, Seed = seed, StartEpoch = _start.Epoch, StartPosition = _start.Position, Workers = workers, Prefetch = Math.Max(4, workers + 2) };
        return new DataLoader<ImageTextBatch>(_dataset.Count, loading, builder.Build);
    }

    /// <summary>Writes what was recorded, which shows how it came about; the checkpoint stays that of before.</summary>
    private ToolException Diverged(NotFiniteNumberException exception, TensorBoardWriter events)
    {
        Record(events);
        DrawChart();
        string next = File.Exists(Path.Combine(CheckpointFolder(_folder), "trainer.json")) ? "--resume goes on from the last checkpoint" : "there is no checkpoint yet to go on from";
        return new ToolException($"The training has diverged at step {_trainer.Step + 1}: {exception.Message} Use a smaller --lr; {next}. The steps until then are in {Path.Combine(_folder, "metrics.csv")}.");
    }

    private TrainingProgress Progress(TrainingMetrics latest, RunningLoss running, TrainingPace pace)
    {
        double perStep = pace.SecondsPerStep;
        TimeSpan? left = _schedule.TotalSteps is { } total && perStep > 0 ? TimeSpan.FromSeconds(perStep * (total - latest.Step)) : null;
        return new TrainingProgress(latest, running.Loss, perStep > 0 ? _options.BatchSize / perStep : latest.SamplesPerSecond, _schedule.TotalSteps, left) { SmoothParts = running.Parts };
    }

    private void Save((long Epoch, int Position) place, TrainingPace pace, TensorBoardWriter events)
    {
        Record(events);

        // The trainer's file last: where it is, a run can go on, and needs the others for that.
        _parts.Model.SavePretrained(_folder);
        _parts.Tokenizer?.Save(_folder);
        _parts.Preprocessor.Save(_folder);
        _trainer.Save(CheckpointFolder(_folder), new JsonObject
        {
            ["recipe"] = _recipe.Name,
            ["epoch"] = place.Epoch,
            ["position"] = place.Position,
            ["samples"] = _dataset.Count,
            ["fingerprint"] = _fingerprint.Value,
            ["batch_size"] = _options.BatchSize,
            ["seed"] = _options.Seed,
            ["micro_batch_size"] = _options.MicroBatchSize,
            ["learning_rate"] = _options.LearningRate,
            ["final_share"] = _options.FinalShare,
            ["weight_decay"] = _options.WeightDecay,
            ["warmup_share"] = _options.WarmupShare,
            ["warmup_steps"] = _options.WarmupSteps,
            ["augment"] = _options.Augment,
            ["caption_noise"] = _options.CaptionNoise,
            ["queue_size"] = _settings.QueueSize,
            ["momentum"] = _settings.Momentum,
            ["mask_ratio"] = _settings.MaskRatio,
            ["distillation"] = _settings.Distillation,
            ["total_steps"] = _schedule.TotalSteps,
            ["seconds"] = _secondsBefore + pace.Seconds,
        });
    }

    private void Record(TensorBoardWriter events)
    {
        events.Flush();
        _history.Save(Path.Combine(_folder, "metrics.csv"));
    }

    private void DrawChart() => LossChart.Save(Path.Combine(_folder, "loss.png"), _history.Rows, _parts.Objective.ChanceLevels(_options.BatchSize));

    private static void RequireGraph(ITrainingRecipe recipe, TrainableModel parts, TrainingOptions options)
    {
        if (!parts.TakesGraph) throw new ToolException($"--graph: a step of the recipe {recipe.Name} decides things on the way that a graph would repeat; only clip can be recorded.");
        if (options.MicroBatchSize < options.BatchSize) throw new ToolException("--graph: it records batches as a whole; leave out --micro-batch.");
        if (parts.Device.Backend is not GpuBackend { SupportsGraphs: true }) throw new ToolException($"--graph: graphs are CUDA's, and this training runs on {parts.Device}.");
    }

    private int? PlannedSteps()
    {
        if (_options.Steps is { } steps) return steps;
        if (_options.Epochs is { } epochs) return (int)Math.Clamp(Math.Ceiling(epochs * (_dataset.Count / _options.BatchSize)), 1, int.MaxValue);
        return null;
    }

    private void RequireSame(JsonObject state, string field, int now)
    {
        int then = Read<int>(state, field);
        if (then != now) throw new ToolException(string.Create(CultureInfo.InvariantCulture, $"{CheckpointFolder(_folder)}: the training was started with {field} {then}, now it is {now}; --resume needs the same."));
    }

    private T Read<T>(JsonObject state, string field)
        => state[field] is JsonValue value && value.TryGetValue(out T? found) ? found : throw new ToolException($"{CheckpointFolder(_folder)}: trainer.json: field 'data.{field}' is missing or no {typeof(T).Name}.");
}
