using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using MiniVlp.Autograd;
using MiniVlp.Cli.Datasets;
using MiniVlp.Cli.Evaluation;
using MiniVlp.Cli.TensorBoard;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Kernels;
using MiniVlp.Models;
using MiniVlp.Nn.Optimizers;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Training;

/// <summary>
/// The recipe <c>clip</c>: symmetric InfoNCE over large batches, AdamW without decay on biases, norms and the logit scale, warm-up and
/// cosine, gradients clipped to norm 1, logit scale at most 100 (arXiv:2103.00020, section 2.5). Writes a Hugging Face folder with
/// <c>checkpoint/</c>, <c>metrics.csv</c>, TensorBoard events and <c>loss.png</c> in it.
/// </summary>
public sealed class ClipTraining : IDisposable
{
    private static readonly float MaxLogitScale = MathF.Log(100f);

    private readonly DualEncoderFolder _parts;
    private readonly Clip _model;
    private readonly IImageTextDataset _dataset;
    private readonly ClipTrainingOptions _options;
    private readonly string _folder;
    private readonly PlannedSchedule _schedule;
    private readonly Trainer _trainer;
    private MetricsHistory _history = new();
    private double _secondsBefore;
    private (long Epoch, int Position) _start;

    /// <param name="parts">The model, initialised, with its tokenizer and preprocessor.</param>
    /// <param name="dataset">Pairs to train on.</param>
    /// <param name="options">The rest.</param>
    /// <param name="folder">Where everything is written.</param>
    /// <exception cref="ToolException">The model is no CLIP, or the data has fewer pairs than a batch.</exception>
    public ClipTraining(DualEncoderFolder parts, IImageTextDataset dataset, ClipTrainingOptions options, string folder)
    {
        _parts = parts;
        _model = parts.Model as Clip ?? throw new ToolException($"The recipe clip trains a CLIPModel, not a {parts.Model.Architecture}.");
        if (dataset.Count < options.BatchSize) throw new ToolException($"--batch {options.BatchSize}: the data has only {dataset.Count} samples.");
        _dataset = dataset;
        _options = options;
        _folder = folder;
        _schedule = new PlannedSchedule(options.LearningRate, options.WarmupShare) { TotalSteps = PlannedSteps() };
        AdamW optimizer = new(ParameterGroup.SplitByDecay(_model.NamedParameters(), options.WeightDecay), options.LearningRate) { Beta2 = 0.98 };
        _trainer = new Trainer(_model, optimizer, new TrainerOptions
        {
            Schedule = _schedule.ToSchedule(),
            ClipNorm = options.ClipNorm,
            Seed = (ulong)options.Seed,
        })
        {
            AfterUpdate = BoundLogitScale,
        };
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
        ulong seed = (ulong)_options.Seed;
        ImageAugmentation? augmentation = _options.Augment
            ? new ImageAugmentation(new RandomResizedCrop(_parts.ImageSize) { Scale = (0.7, 1) }, new HorizontalFlip())
            : null;
        ImageTextBatchBuilder builder = new(_dataset, _parts.Preprocessor, _parts.Tokenizer, _parts.ContextLength, augmentation, seed);

        // The CPU computes with all its processors already; a GPU leaves them to the pictures.
        int workers = _parts.Device.Backend is GpuBackend ? Math.Clamp(Environment.ProcessorCount / 2, 1, 8) : 1;
        DataLoaderOptions loading = new() { BatchSize = _options.BatchSize, Seed = seed, StartEpoch = _start.Epoch, StartPosition = _start.Position, Workers = workers, Prefetch = Math.Max(4, workers + 2) };
        using DataLoader<ImageTextBatch> loader = new(_dataset.Count, loading, builder.Build);
        using TensorBoardWriter events = new(Path.Combine(_folder, "events"));
        TrainingPace pace = new(_options.Minutes);
        double smoothLoss = _history.Rows.Count == 0 ? double.NaN : LossChart.RunningMean(_history.Rows)[^1], savedAt = 0;
        int firstStep = _trainer.Step;
        _model.Train();
        while (_schedule.TotalSteps is not { } total || _trainer.Step < total)
        {
            if (cancellation.IsCancellationRequested || pace.IsOver || _trainer.Step - firstStep >= (_options.StopAfter ?? int.MaxValue)) break;
            StepResult step = Train(loader);
            double seconds = pace.StepDone();
            double epoch = loader.Epoch + ((double)loader.Position / _dataset.Count);
            TrainingMetrics metrics = new(
                step.Step, epoch, step.Loss, step.LearningRate, step.GradientNorm, MathF.Exp(_model.LogitScale.Value.Item()),
                _options.BatchSize / seconds, loader.DataWaitShare, _secondsBefore + pace.Seconds);
            _history.Add(metrics);
            Write(events, metrics);
            if (pace.PlanStepsLeft() is { } left) _schedule.TotalSteps = _trainer.Step + left;
            smoothLoss = double.IsNaN(smoothLoss) ? step.Loss : smoothLoss + (0.05 * (step.Loss - smoothLoss));
            observer.Stepped(Progress(metrics, smoothLoss, pace));
            if (pace.Seconds - savedAt < _options.SaveEvery.TotalSeconds) continue;
            Save(loader, pace, events);
            observer.Saved(_trainer.Step);
            savedAt = pace.Seconds;
        }

        _model.Evaluate();
        Save(loader, pace, events);
        observer.Saved(_trainer.Step);
        LossChart.Save(Path.Combine(_folder, "loss.png"), _history.Rows, _options.BatchSize);
        bool complete = pace.IsOver || (_schedule.TotalSteps is { } planned && _trainer.Step >= planned);
        return new TrainingSummary(_trainer.Step, smoothLoss, _secondsBefore + pace.Seconds, complete);
    }

    public void Dispose() => _trainer.Dispose();

    private static void Write(TensorBoardWriter events, TrainingMetrics metrics)
    {
        events.Write(
            metrics.Step,
            ("train/loss", metrics.Loss),
            ("train/learning_rate", metrics.LearningRate),
            ("train/gradient_norm", metrics.GradientNorm),
            ("train/logit_scale", metrics.LogitScale),
            ("speed/samples_per_second", metrics.SamplesPerSecond),
            ("speed/data_wait_share", metrics.DataWaitShare));
    }

    private StepResult Train(DataLoader<ImageTextBatch> loader)
    {
        // The loader goes on for ever, so there always is a next batch.
        if (!loader.TryNext(out ImageTextBatch? batch)) throw new InvalidOperationException("The data loader has ended.");
        StepResult step = Train(batch);
        loader.Return(batch);
        return step;
    }

    private StepResult Train(ImageTextBatch batch)
    {
        try
        {
            int piece = _options.MicroBatchSize ?? batch.Count;
            if (piece >= batch.Count) return _trainer.TrainStep(() => Loss(batch, EncodeImages(batch, Range.All), EncodeTexts(batch, Range.All)));
            Range PartOf(int index) => (index * piece)..Math.Min(batch.Count, (index + 1) * piece);
            return _trainer.TrainStep(new ContrastiveAccumulation(
                (batch.Count + piece - 1) / piece,
                index => (EncodeImages(batch, PartOf(index)), EncodeTexts(batch, PartOf(index))),
                (images, texts) => Loss(batch, images, texts)));
        }
        catch (NotFiniteNumberException exception)
        {
            throw new ToolException($"The training has diverged at step {_trainer.Step + 1}: {exception.Message} Use a smaller --lr; --resume goes on from the last checkpoint.");
        }
    }

    private Tensor EncodeImages(ImageTextBatch batch, Range part) => _model.EncodeImage(batch.Images(_parts.Device, part));

    private Tensor EncodeTexts(ImageTextBatch batch, Range part) => _model.EncodeText(batch.Texts(_parts.Device, part));

    private Tensor Loss(ImageTextBatch batch, Tensor images, Tensor texts)
    {
        if (!batch.HasEqualCaptions) return _model.ContrastiveLoss(images, texts);

        // Pictures with the same caption are no negatives of each other.
        return images.SoftmaxContrastive(texts, _model.LogitScale.Value.Exp(), new ContrastiveOptions { Ids = batch.Captions(_parts.Device) });
    }

    private TrainingProgress Progress(TrainingMetrics latest, double smoothLoss, TrainingPace pace)
    {
        double perStep = pace.SecondsPerStep;
        TimeSpan? left = _schedule.TotalSteps is { } total && perStep > 0 ? TimeSpan.FromSeconds(perStep * (total - latest.Step)) : null;
        return new TrainingProgress(latest, smoothLoss, perStep > 0 ? _options.BatchSize / perStep : latest.SamplesPerSecond, _schedule.TotalSteps, left);
    }

    private void Save(DataLoader<ImageTextBatch> loader, TrainingPace pace, TensorBoardWriter events)
    {
        events.Flush();
        _history.Save(Path.Combine(_folder, "metrics.csv"));
        _trainer.Save(CheckpointFolder(_folder), new JsonObject
        {
            ["epoch"] = loader.Epoch,
            ["position"] = loader.Position,
            ["samples"] = _dataset.Count,
            ["batch_size"] = _options.BatchSize,
            ["seed"] = _options.Seed,
            ["micro_batch_size"] = _options.MicroBatchSize,
            ["learning_rate"] = _options.LearningRate,
            ["weight_decay"] = _options.WeightDecay,
            ["warmup_share"] = _options.WarmupShare,
            ["augment"] = _options.Augment,
            ["total_steps"] = _schedule.TotalSteps,
            ["seconds"] = _secondsBefore + pace.Seconds,
        });
        _model.SavePretrained(_folder);
        _parts.Tokenizer.Save(_folder);
        _parts.Preprocessor.Save(_folder);
    }

    private int? PlannedSteps()
    {
        if (_options.Steps is { } steps) return steps;
        if (_options.Epochs is { } epochs) return (int)Math.Clamp(Math.Ceiling(epochs * (_dataset.Count / _options.BatchSize)), 1, int.MaxValue);
        return null;
    }

    /// <summary>CLIP keeps the factor on similarities at 100 at most, or training becomes unstable.</summary>
    private void BoundLogitScale()
    {
        float value = _model.LogitScale.Value.Item();
        if (value > MaxLogitScale) _model.LogitScale.Assign([MaxLogitScale], _parts.Device);
    }

    private void RequireSame(JsonObject state, string field, int now)
    {
        int then = Read<int>(state, field);
        if (then != now) throw new ToolException(string.Create(CultureInfo.InvariantCulture, $"{CheckpointFolder(_folder)}: the training was started with {field} {then}, now it is {now}; --resume needs the same."));
    }

    private T Read<T>(JsonObject state, string field)
        => state[field] is JsonValue value && value.TryGetValue(out T? found) ? found : throw new ToolException($"{CheckpointFolder(_folder)}: trainer.json: field 'data.{field}' is missing or no {typeof(T).Name}.");
}
