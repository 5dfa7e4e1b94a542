using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using MiniVlp.Autograd;
using MiniVlp.Nn.Optimizers;
using MiniVlp.Tensors;
using MiniVlp.Tensors.Safetensors;

namespace MiniVlp.Nn.Training;

/// <summary>What one training step did.</summary>
/// <param name="Step">Number of the step, from 1.</param>
/// <param name="Loss">Mean loss over the micro-batches.</param>
/// <param name="GradientNorm">Norm of all gradients together, before clipping.</param>
/// <param name="LearningRate">Of this step, before the multipliers of parameter groups.</param>
public readonly record struct StepResult(int Step, float Loss, double GradientNorm, double LearningRate)
{
    /// <summary>The terms of the loss, when an objective has named them; else empty.</summary>
    public IReadOnlyList<LossPartValue> Parts
    {
        get => field ?? [];
        init;
    }
}

/// <summary>How a <see cref="Trainer"/> trains, apart from model, optimizer and data.</summary>
public sealed record TrainerOptions
{
    /// <summary>Learning rate of each step.</summary>
    public required LearningRateSchedule Schedule { get; init; }

    /// <summary>Gradients are scaled down to this norm when theirs is larger; null leaves them.</summary>
    public double? ClipNorm { get; init; } = 1;

    /// <summary>Seed of dropout and its kin.</summary>
    public ulong Seed { get; init; }
}

/// <summary>
/// Turns a loss into training steps: gradients, clipping, learning rate, optimizer; saves and restores all of its state, so that
/// a run that was interrupted goes on bit by bit as if it had not been. Made for a <see cref="PretrainingObjective"/>, it saves the state of
/// that too.
/// </summary>
/// <param name="model">What is trained; the trainer does not dispose it.</param>
/// <param name="optimizer">Over the model's parameters; the trainer disposes it.</param>
/// <param name="options">The rest.</param>
public sealed class Trainer(Module model, Optimizer optimizer, TrainerOptions options) : IDisposable
{
    private static readonly string[] FilePrefixes = ["parameters-", "optimizer-", "state-"];

    private readonly Generator _generator = new(options.Seed);
    private readonly Parameter[] _parameters = [.. model.NamedParameters().Select(named => named.Parameter)];
    private readonly PretrainingObjective? _objective;
    private bool _isLocating;

    /// <summary>A trainer of an objective's model.</summary>
    /// <param name="objective">What is trained, and what must be saved with it.</param>
    /// <param name="optimizer">Over the parameters of the objective's model; the trainer disposes it.</param>
    /// <param name="options">The rest.</param>
    public Trainer(PretrainingObjective objective, Optimizer optimizer, TrainerOptions options)
        : this(objective.Model, optimizer, options) => _objective = objective;

    /// <summary>Steps taken so far.</summary>
    public int Step { get; private set; }

    /// <summary>Called after each update, before the step is counted: for constraints such as CLIP's bound on the logit scale, or an EMA.</summary>
    public Action? AfterUpdate { get; set; }

    /// <summary>
    /// Called once in each step when loss and gradients are on their way on the device, and before anything waits for them: the time to bring the
    /// next batch there. On the CPU everything is computed by then.
    /// </summary>
    public Action? WhileComputing { get; set; }

    /// <summary>One step on one batch.</summary>
    /// <param name="loss">Computes the loss, a scalar; it runs while a tape records.</param>
    /// <exception cref="NotFiniteNumberException">
    /// Loss or gradients are not finite; the parameters are left as they were. The loss is computed a second time to find the operation that made
    /// the first such number; the message names it.
    /// </exception>
    public StepResult TrainStep(Func<Tensor> loss) => UpdateBy(() =>
    {
        using Tape tape = Tape.Record();
        Tensor value = loss();
        tape.Backward(value);
        Computing();
        return value.Item();
    });

    /// <summary>
    /// One step on several micro-batches whose mean loss counts, for losses that are means over independent samples. A contrastive loss
    /// is not: use <see cref="TrainStep(ContrastiveAccumulation)"/>.
    /// </summary>
    /// <param name="microBatches">Number of micro-batches.</param>
    /// <param name="loss">Computes the loss of micro-batch i, a scalar.</param>
    public StepResult TrainStep(int microBatches, Func<int, Tensor> loss) => UpdateBy(() =>
    {
        float sum = 0;
        for (int i = 0; i < microBatches; i++)
        {
            using Tape tape = Tape.Record();
            Tensor value = loss(i) * (1f / microBatches);
            tape.Backward(value);
            if (i == microBatches - 1) Computing();
            sum += value.Item();
        }

        return sum;
    });

    /// <summary>One step on a contrastive batch that is encoded piece by piece, with exactly the gradients of the whole.</summary>
    public StepResult TrainStep(ContrastiveAccumulation batch) => UpdateBy(() =>
    {
        float loss = batch.AccumulateGradients();
        Computing();
        return loss;
    });

    /// <summary>
    /// One step whose loss and gradients are one launch of a CUDA graph, once it is recorded; the bits are those of a step without. An objective may be
    /// trained so when it needs none of the tensors of a step in <see cref="PretrainingObjective.AfterBackward"/>.
    /// </summary>
    /// <param name="loss">Reads the batch from tensors that stay, which hold the next one.</param>
    /// <exception cref="InvalidOperationException">The loss does what a graph cannot repeat; the message says what. The parameters are left as they were.</exception>
    /// <exception cref="NotFiniteNumberException">Loss or gradients are not finite; the parameters are left as they were.</exception>
    public StepResult TrainStep(LossGraph loss)
    {
        ArgumentNullException.ThrowIfNull(loss);
        return Update(() =>
        {
            if (_objective is not null) _objective.Step = Step;
            loss.Run(_parameters, _isLocating);
            Computing();
            (float total, LossPartValue[] parts) = loss.Read();
            return Apply(total, parts);
        });
    }

    /// <summary>One step of the objective that this trainer was made for, on one batch.</summary>
    /// <typeparam name="TBatch">What the objective takes.</typeparam>
    /// <param name="objective">The objective.</param>
    /// <param name="batch">The batch.</param>
    /// <exception cref="ArgumentException">The trainer was made for something else, so that it would not save the state of this objective.</exception>
    /// <exception cref="NotFiniteNumberException">
    /// Loss or gradients are not finite; the parameters are left as they were, and nothing is enqueued. The loss is computed a second time to find the
    /// operation that made the first such number; the message names it.
    /// </exception>
    public StepResult TrainStep<TBatch>(PretrainingObjective<TBatch> objective, TBatch batch)
    {
        ArgumentNullException.ThrowIfNull(objective);
        if (!ReferenceEquals(objective, _objective)) throw new ArgumentException("TrainStep: the trainer was made for another objective or model; make it with new Trainer(objective, ...).", nameof(objective));
        return Update(() =>
        {
            // The tape owns the features of the step, which AfterBackward may want to keep: it stays until the update is done.
            objective.Step = Step;
            using Tape tape = Tape.Record();
            LossParts parts = objective.Loss(batch);
            Tensor gathered = parts.Gather();
            tape.Backward(parts.Total);
            Computing();
            float[] values = gathered.ToArray();
            return Apply(values[0], parts.Named(values));
        });
    }

    /// <summary>
    /// Saves the model's parameters, the optimizer's state, the objective's and the trainer's into a folder. Each file appears whole or not at all,
    /// <c>trainer.json</c> last: a folder with it is complete.
    /// </summary>
    /// <param name="folder">Created when absent.</param>
    /// <param name="dataState">What the data source needs to go on, such as epoch and position; null for nothing.</param>
    public void Save(string folder, JsonObject? dataState = null)
    {
        Directory.CreateDirectory(folder);
        string state = Path.Combine(folder, "trainer.json");
        string suffix = string.Create(CultureInfo.InvariantCulture, $"-{Step}.safetensors");
        StateDict.Save(model, Path.Combine(folder, "parameters" + suffix));
        optimizer.Save(Path.Combine(folder, "optimizer" + suffix));
        JsonObject json = new()
        {
            ["step"] = Step,
            ["parameters"] = "parameters" + suffix,
            ["optimizer"] = "optimizer" + suffix,
            ["generator_seed"] = _generator.Seed,
            ["generator_position"] = _generator.Position,
        };
        (string, ITrainingState)[] states = [.. States];
        if (states.Length > 0)
        {
            TrainingStateFile.Save(Path.Combine(folder, "state" + suffix), states);
            json["state"] = "state" + suffix;
            json["counters"] = TrainingStateFile.Counters(states);
        }

        json["data"] = dataState?.DeepClone();
        AtomicFile.WriteAllText(state, json.ToJsonString(new JsonSerializerOptions { WriteIndented = true }) + "\n");

        // The new trainer.json stands: what an older one referred to is of no more use.
        foreach (string old in Directory.EnumerateFiles(folder, "*.safetensors"))
        {
            string name = Path.GetFileName(old);
            bool isCheckpoint = FilePrefixes.Any(prefix => name.StartsWith(prefix, StringComparison.Ordinal));
            if (isCheckpoint && !name.EndsWith(suffix, StringComparison.Ordinal)) File.Delete(old);
        }
    }

    /// <summary>Restores what <see cref="Save"/> wrote.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="device">Where parameters and state are kept.</param>
    /// <returns>The state of the data source, or null.</returns>
    /// <exception cref="IOException">A file is missing or damaged, or belongs to another model; the message names the file.</exception>
    /// <exception cref="InvalidDataException">A field of trainer.json, or the optimizer's state, does not fit; the message names it.</exception>
    public JsonObject? Load(string folder, Device device)
    {
        string path = Path.Combine(folder, "trainer.json");
        if (!File.Exists(path)) throw new FileNotFoundException($"{path}: there is no checkpoint here to resume from.", path);
        JsonObject json;
        try
        {
            json = JsonNode.Parse(File.ReadAllText(path), null, new JsonDocumentOptions { MaxDepth = 32 }) as JsonObject
                ?? throw new InvalidDataException($"{path}: expected a JSON object.");
        }
        catch (JsonException exception)
        {
            throw new InvalidDataException($"{path}: not valid JSON: {exception.Message}", exception);
        }

        int step = Field<int>(json, path, "step");
        ulong seed = Field<ulong>(json, path, "generator_seed"), position = Field<ulong>(json, path, "generator_position");
        (string, ITrainingState)[] states = [.. States];
        if (states.Length == 0 && json["state"] is not null)
            throw new InvalidDataException($"{path}: field 'state' names {json["state"]!.ToJsonString()}, the state of an objective; it is resumed with a trainer made for that objective.");
        using SafetensorsFile? state = states.Length == 0 ? null : SafetensorsFile.Open(FileOf("state"));
        if (state is not null) TrainingStateFile.Check(state, states);
        using SafetensorsFile parameters = SafetensorsFile.Open(FileOf("parameters"));
        StateDict.Load(model, parameters, device);
        optimizer.Load(FileOf("optimizer"));
        if (state is not null) TrainingStateFile.Restore(state, json["counters"] as JsonObject ?? [], states);
        Step = step;
        if (_objective is not null) _objective.Step = step;
        _generator.Seed = seed;
        _generator.Position = position;
        return json["data"] as JsonObject;

        // The name alone: a checkpoint refers to no file outside of its folder.
        string FileOf(string field) => Path.Combine(folder, Path.GetFileName(Field<string>(json, path, field)));
    }

    /// <summary>Gives the optimizer's memory back.</summary>
    public void Dispose() => optimizer.Dispose();

    private static T Field<T>(JsonObject json, string path, string field)
        => json[field] is JsonValue value && value.TryGetValue(out T? found)
            ? found
            : throw new InvalidDataException($"{path}: field '{field}' must be a {typeof(T).Name}, found {json[field]?.ToJsonString() ?? "nothing"}.");

    private void Computing()
    {
        if (!_isLocating) WhileComputing?.Invoke();
    }

    private IEnumerable<(string Name, ITrainingState State)> States => _objective?.State ?? [];

    private StepResult UpdateBy(Func<float> accumulateGradients) => Update(() => Apply(accumulateGradients(), []));

    private StepResult Update(Func<StepResult> step)
    {
        Generator outer = Generator.Current;
        Generator.Current = _generator;
        ulong position = _generator.Position;
        try
        {
            foreach (Parameter parameter in _parameters) parameter.ClearGradient();
            return step();
        }
        catch (NotFiniteNumberException exception)
        {
            _generator.Position = position;
            AnomalyException? anomaly = Locate(step);
            throw anomaly is null ? exception : new NotFiniteNumberException($"{exception.Message} {anomaly.Message}", anomaly);
        }
        finally
        {
            Generator.Current = outer;
        }
    }

    /// <summary>Computes a step that went wrong once more, without its update, and looks at each operation; null when it does not go wrong again.</summary>
    private AnomalyException? Locate(Func<StepResult> step)
    {
        IEnumerable<(string Name, Tensor Value)> states = States.SelectMany(state => state.State.Tensors.Select(tensor => ($"{state.Name}.{tensor.Name}", tensor.Value)));
        using AnomalyDetection detection = AnomalyDetection.Watch(
            model.NamedParameters().Where(named => named.Parameter.IsInitialized).Select(named => (named.Name, named.Parameter.Value)).Concat(states));
        _isLocating = true;
        try
        {
            foreach (Parameter parameter in _parameters) parameter.ClearGradient();
            step();
        }
        catch (AnomalyException anomaly)
        {
            return anomaly;
        }
        catch (Exception) when (_isLocating)
        {
            // Whatever else a second pass may run into, such as data that can be read only once, is not what went wrong.
        }
        finally
        {
            _isLocating = false;
        }

        return null;
    }

    /// <summary>Changes the parameters by the gradients that are there.</summary>
    private StepResult Apply(float loss, LossPartValue[] parts)
    {
        optimizer.LearningRate = options.Schedule.At(Step);
        double norm = optimizer.ClipByGlobalNorm(options.ClipNorm ?? double.PositiveInfinity);
        if (_isLocating || !double.IsFinite(norm) || !float.IsFinite(loss)) throw NotFinite(loss, norm, parts);
        _objective?.AfterBackward();
        optimizer.Step();
        _objective?.AfterUpdate(Step + 1);
        AfterUpdate?.Invoke();
        Step++;
        return new StepResult(Step, loss, norm, optimizer.LearningRate) { Parts = parts };
    }

    private NotFiniteNumberException NotFinite(float loss, double norm, LossPartValue[] parts)
    {
        string of = parts.Length == 0 ? string.Empty : $" ({string.Join(", ", parts.Select(part => string.Create(CultureInfo.InvariantCulture, $"{part.Name} {part.Value}")))})";
        return new NotFiniteNumberException(string.Create(
            CultureInfo.InvariantCulture,
            $"Step {Step + 1}: the loss is {loss}{of} and the norm of the gradients {norm}. The parameters are those of step {Step}; a smaller learning rate or a longer warm-up may help."));
    }
}
