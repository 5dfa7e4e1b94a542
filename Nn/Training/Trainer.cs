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
public readonly record struct StepResult(int Step, float Loss, double GradientNorm, double LearningRate);

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
/// a run that was interrupted goes on bit by bit as if it had not been.
/// </summary>
/// <param name="model">What is trained; the trainer does not dispose it.</param>
/// <param name="optimizer">Over the model's parameters; the trainer disposes it.</param>
/// <param name="options">The rest.</param>
public sealed class Trainer(Module model, Optimizer optimizer, TrainerOptions options) : IDisposable
{
    private readonly Generator _generator = new(options.Seed);
    private readonly Parameter[] _parameters = [.. model.NamedParameters().Select(named => named.Parameter)];

    /// <summary>Steps taken so far.</summary>
    public int Step { get; private set; }

    /// <summary>Called after each update, before the step is counted: for constraints such as CLIP's bound on the logit scale, or an EMA.</summary>
    public Action? AfterUpdate { get; set; }

    /// <summary>One step on one batch.</summary>
    /// <param name="loss">Computes the loss, a scalar; it runs while a tape records.</param>
    /// <exception cref="NotFiniteNumberException">Loss or gradients are not finite; the parameters are left as they were.</exception>
    public StepResult TrainStep(Func<Tensor> loss) => Update(() =>
    {
        using Tape tape = Tape.Record();
        Tensor value = loss();
        tape.Backward(value);
        return value.Item();
    });

    /// <summary>
    /// One step on several micro-batches whose mean loss counts, for losses that are means over independent samples. A contrastive loss
    /// is not: use <see cref="TrainStep(ContrastiveAccumulation)"/>.
    /// </summary>
    /// <param name="microBatches">Number of micro-batches.</param>
    /// <param name="loss">Computes the loss of micro-batch i, a scalar.</param>
    public StepResult TrainStep(int microBatches, Func<int, Tensor> loss) => Update(() =>
    {
        float sum = 0;
        for (int i = 0; i < microBatches; i++)
        {
            using Tape tape = Tape.Record();
            Tensor value = loss(i) * (1f / microBatches);
            tape.Backward(value);
            sum += value.Item();
        }

        return sum;
    });

    /// <summary>One step on a contrastive batch that is encoded piece by piece, with exactly the gradients of the whole.</summary>
    public StepResult TrainStep(ContrastiveAccumulation batch) => Update(batch.AccumulateGradients);

    /// <summary>
    /// Saves the model's parameters, the optimizer's state and the trainer's into a folder. Each file appears whole or not at all,
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
            ["data"] = dataState?.DeepClone(),
        };
        AtomicFile.WriteAllText(state, json.ToJsonString(new JsonSerializerOptions { WriteIndented = true }) + "\n");

        // The new trainer.json stands: what an older one referred to is of no more use.
        foreach (string old in Directory.EnumerateFiles(folder, "*.safetensors"))
        {
            string name = Path.GetFileName(old);
            bool isCheckpoint = name.StartsWith("parameters-", StringComparison.Ordinal) || name.StartsWith("optimizer-", StringComparison.Ordinal);
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
        using SafetensorsFile parameters = SafetensorsFile.Open(Path.Combine(folder, Path.GetFileName(Field<string>(json, path, "parameters"))));
        StateDict.Load(model, parameters, device);
        optimizer.Load(Path.Combine(folder, Path.GetFileName(Field<string>(json, path, "optimizer"))));
        Step = step;
        _generator.Seed = seed;
        _generator.Position = position;
        return json["data"] as JsonObject;
    }

    /// <summary>Gives the optimizer's memory back.</summary>
    public void Dispose() => optimizer.Dispose();

    private static T Field<T>(JsonObject json, string path, string field)
        => json[field] is JsonValue value && value.TryGetValue(out T? found)
            ? found
            : throw new InvalidDataException($"{path}: field '{field}' must be a {typeof(T).Name}, found {json[field]?.ToJsonString() ?? "nothing"}.");

    private StepResult Update(Func<float> accumulateGradients)
    {
        foreach (Parameter parameter in _parameters) parameter.ClearGradient();
        Generator outer = Generator.Current;
        Generator.Current = _generator;
        float loss;
        try
        {
            loss = accumulateGradients();
        }
        finally
        {
            Generator.Current = outer;
        }

        optimizer.LearningRate = options.Schedule.At(Step);
        double norm = optimizer.ClipByGlobalNorm(options.ClipNorm ?? double.PositiveInfinity);
        if (!double.IsFinite(norm) || !float.IsFinite(loss))
            throw new NotFiniteNumberException($"Step {Step + 1}: the loss is {loss} and the norm of the gradients {norm}. The parameters are those of step {Step}; a smaller learning rate or a longer warm-up may help.");
        optimizer.Step();
        AfterUpdate?.Invoke();
        Step++;
        return new StepResult(Step, loss, norm, optimizer.LearningRate);
    }
}
