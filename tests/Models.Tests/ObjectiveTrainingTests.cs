using System.Text.Json.Nodes;
using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Nn.Optimizers;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Models.Tests;

/// <summary>Training an objective: loss parts, the order of its calls, and state that is saved and restored with it.</summary>
[Collection(AloneInTheProcess.Name)]
public sealed class ObjectiveTrainingTests
{
    [Fact]
    public void TheTotalIsTheWeightedSumAndItsGradientToo()
    {
        Tensor x = Tensor.FromArray([2f, -3f], [2]);
        x.NeedsGradient = true;
        using Tape tape = Tape.Record();
        LossParts parts = new() { { "itc", x.Square().Sum() }, { "wpa", x.Sum().Reshape([1]), 0.25f } };
        Assert.Equal(["itc", "wpa"], parts.Select(part => part.Name));
        Assert.Equal(13f - 0.25f, parts.Total.Item());
        tape.Backward(parts.Total);
        Assert.Equal([4.25f, -5.75f], x.Gradient!.ToArray());
    }

    [Fact]
    public void PartsThatCannotBeAddedAreNamed()
    {
        using TensorScope scope = new();
        Tensor one = Tensor.FromScalar(1);
        Assert.Throws<InvalidOperationException>(() => new LossParts().Total);
        Assert.Contains("itm", Assert.Throws<ArgumentException>(() => new LossParts { { "itm", one }, { "itm", one } }).Message, StringComparison.Ordinal);
        Assert.Contains("mlm", Assert.Throws<ShapeException>(() => new LossParts { { "mlm", Tensor.Zeros([2]) } }).Message, StringComparison.Ordinal);
        LossParts parts = new() { { "itc", one } };
        _ = parts.Total;
        Assert.Contains("lm", Assert.Throws<InvalidOperationException>(() => parts.Add("lm", one)).Message, StringComparison.Ordinal);
    }

    /// <summary>The loss first; then, with gradients there and weights still old, the features of the step; then the constraint on new weights.</summary>
    [Fact]
    public void CallsComeInOrder()
    {
        using Run run = new();
        float[] before = run.Objective.Weight.Value.ToArray();
        run.Objective.Trace.Clear();
        run.Objective.OnAfterBackward = () =>
        {
            Assert.NotNull(run.Objective.Weight.Gradient);
            Assert.Equal(before, run.Objective.Weight.Value.ToArray());
            Assert.False(Tape.IsRecording);
        };
        run.Objective.OnAfterUpdate = () => Assert.NotEqual(before, run.Objective.Weight.Value.ToArray());
        StepResult step = run.Step();
        Assert.Equal(["loss 0", "after backward 0", "after update 1"], run.Objective.Trace);
        Assert.Equal(["agreement", "size"], step.Parts.Select(part => part.Name));
        Assert.Equal(step.Parts[0].Value + (0.1f * step.Parts[1].Value), step.Loss, 1e-6f);
        run.Objective.OnAfterUpdate = null;
        run.Objective.OnAfterBackward = null;
        Assert.Equal("loss 1", Traced(run)[^3]);
    }

    [Fact]
    public void ResumingRestoresTheStateBitByBit()
    {
        using TemporaryFolder folder = new();
        using Run whole = new(), first = new(), second = new(seed: 9);
        whole.Train(20);
        first.Train(10);
        first.Trainer.Save(folder.Path);
        Assert.Equal(
            ["optimizer-10.safetensors", "parameters-10.safetensors", "state-10.safetensors", "trainer.json"],
            Directory.EnumerateFiles(folder.Path).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        second.Train(3);
        second.Trainer.Load(folder.Path, second.Device);
        Assert.Equal(10, second.Objective.Step);
        second.Train(10);
        Assert.Equal(whole.Objective.Weight.Value.ToArray(), second.Objective.Weight.Value.ToArray());
        Assert.Equal(whole.Objective.Ring.Features.ToArray(), second.Objective.Ring.Features.ToArray());
        Assert.Equal(whole.Objective.Ring.Numbers.ToArray(), second.Objective.Ring.Numbers.ToArray());
        Assert.Equal(whole.Objective.Ring.Position, second.Objective.Ring.Position);
        second.Trainer.Save(folder.Path);
        Assert.Equal(4, Directory.EnumerateFiles(folder.Path).Count());
    }

    [Fact]
    public void AStateThatDoesNotFitChangesNothing()
    {
        using TemporaryFolder folder = new();
        using Run small = new(), large = new(capacity: 12);
        small.Train(2);
        small.Trainer.Save(folder.Path);
        float[] before = large.Objective.Weight.Value.ToArray();
        InvalidDataException exception = Assert.Throws<InvalidDataException>(() => large.Trainer.Load(folder.Path, large.Device));
        foreach (string expected in (string[])["state-2.safetensors", "'ring.features' must be F32 [12, 4]", "[8, 4]", "'ring.numbers' must be I32 [12]"])
            Assert.Contains(expected, exception.Message, StringComparison.Ordinal);
        Assert.Equal(before, large.Objective.Weight.Value.ToArray());
        Assert.Equal(0, large.Trainer.Step);

        string trainer = folder.File("trainer.json");
        File.WriteAllText(trainer, File.ReadAllText(trainer).Replace("\"position\": 0", "\"position\": 99", StringComparison.Ordinal));
        Assert.Contains("position", Assert.Throws<InvalidDataException>(() => small.Trainer.Load(folder.Path, small.Device)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void OnlyATrainerOfTheObjectiveResumesItsState()
    {
        using TemporaryFolder folder = new(), plainFolder = new();
        using Run run = new();
        run.Train(1);
        run.Trainer.Save(folder.Path);
        using Trainer plain = new(run.Objective.Model, new Sgd([new ParameterGroup(run.Objective.Model.NamedParameters())], 0.1), Run.Options(1));
        Assert.Contains("state", Assert.Throws<InvalidDataException>(() => plain.Load(folder.Path, run.Device)).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => plain.TrainStep(run.Objective, run.Batch(0)));

        // Checkpoints without a state, as a trainer of a model alone writes them and always did.
        plain.Save(plainFolder.Path);
        Assert.DoesNotContain("state", File.ReadAllText(plainFolder.File("trainer.json")), StringComparison.Ordinal);
        plain.Load(plainFolder.Path, run.Device);
        Assert.Contains("state", Assert.Throws<InvalidDataException>(() => run.Trainer.Load(plainFolder.Path, run.Device)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void APartThatIsNotFiniteIsNamedAndEnqueuesNothing()
    {
        using Run run = new();
        run.Train(2);
        float[] weight = run.Objective.Weight.Value.ToArray(), features = run.Objective.Ring.Features.ToArray();
        run.Objective.SizeFactor = float.NaN;
        NotFiniteNumberException exception = Assert.Throws<NotFiniteNumberException>(() => run.Step());
        Assert.Contains("Step 3", exception.Message, StringComparison.Ordinal);
        Assert.Contains("size NaN", exception.Message, StringComparison.Ordinal);
        Assert.Equal(weight, run.Objective.Weight.Value.ToArray());
        Assert.Equal(features, run.Objective.Ring.Features.ToArray());
        run.Objective.SizeFactor = 1;
        Assert.Equal(3, run.Step().Step);
    }

    private static List<string> Traced(Run run)
    {
        run.Step();
        return run.Objective.Trace;
    }

    /// <summary>The features of the last steps, with the number of the step that each came from.</summary>
    private sealed class FeatureRing(int capacity, int width, Device device) : ITrainingState
    {
        public Tensor Features { get; } = Tensor.CreatePersistent([capacity, width], device);

        public IndexTensor Numbers { get; } = IndexTensor.FromArray(new int[capacity], [capacity], device);

        public int Position { get; private set; }

        public IEnumerable<(string Name, Tensor Value)> Tensors => [("features", Features)];

        public IEnumerable<(string Name, IndexTensor Value)> Indices => [("numbers", Numbers)];

        public JsonObject SaveCounters() => new() { ["position"] = Position };

        public void RestoreCounters(JsonObject? counters)
        {
            int position = (int?)counters?["position"] ?? throw new InvalidDataException("position is missing.");
            if (position < 0 || position >= capacity) throw new InvalidDataException($"position {position} must be in [0, {capacity}).");
            Position = position;
        }

        public void Enqueue(Tensor rows, int number)
        {
            float[] features = Features.ToArray();
            int[] numbers = Numbers.ToArray();
            rows.ToArray().CopyTo(features.AsSpan(Position * width));
            numbers.AsSpan(Position, rows.Shape[0]).Fill(number);
            Features.CopyFrom(features);
            Numbers.CopyFrom(numbers);
            Position = (Position + rows.Shape[0]) % capacity;
        }
    }

    private sealed class Projection : Module
    {
        public Projection() => Linear = Add("linear", new Linear(6, 4));

        public Linear Linear { get; }
    }

    /// <summary>Draws features, with dropout, to those of earlier steps.</summary>
    private sealed class RingObjective : PretrainingObjective<Tensor>
    {
        private readonly Projection _model = new();
        private Tensor? _features;

        public RingObjective(Device device, int seed, int capacity)
        {
            _model.Initialize(device, seed);
            Ring = new FeatureRing(capacity, 4, device);
        }

        public override Module Model => _model;

        public override IEnumerable<(string Name, ITrainingState State)> State => [("ring", Ring)];

        public FeatureRing Ring { get; }

        public Parameter Weight => _model.Linear.Weight;

        public float SizeFactor { get; set; } = 1;

        public List<string> Trace { get; } = [];

        public Action? OnAfterBackward { get; set; }

        public Action? OnAfterUpdate { get; set; }

        public override LossParts Loss(Tensor batch)
        {
            Trace.Add($"loss {Step}");
            Tensor features = _model.Linear.Forward(batch.Dropout(0.3f));
            using (Tape.NoGradient()) _features = features.L2Normalize();
            return new() { { "agreement", (features.MatMul(Ring.Features, transposeRight: true) - 1f).Square().Mean() }, { "size", features.Square().Mean() * SizeFactor, 0.1f } };
        }

        public override void AfterBackward()
        {
            Trace.Add($"after backward {Step}");
            OnAfterBackward?.Invoke();
            Ring.Enqueue(_features!, Step);
        }

        public override void AfterUpdate(int step)
        {
            Trace.Add($"after update {step}");
            OnAfterUpdate?.Invoke();
        }
    }

    private sealed class Run : IDisposable
    {
        public Run(int seed = 1, int capacity = 8)
        {
            Device = Device.CreateCpu(1);
            Objective = new RingObjective(Device, seed, capacity);
            Trainer = new Trainer(Objective, new AdamW([new ParameterGroup(Objective.Model.NamedParameters())], 1e-2), Options(seed));
        }

        public Device Device { get; }

        public RingObjective Objective { get; }

        public Trainer Trainer { get; }

        public static TrainerOptions Options(int seed) => new() { Schedule = LearningRateSchedule.Constant(1e-2), Seed = (ulong)seed };

        public StepResult Step() => Trainer.TrainStep(Objective, Batch(Trainer.Step));

        public void Train(int steps)
        {
            for (int i = 0; i < steps; i++) Step();
        }

        public Tensor Batch(int step)
        {
            Random random = new(step);
            return Tensor.FromArray([.. Enumerable.Range(0, 24).Select(_ => (2 * random.NextSingle()) - 1)], [4, 6], Device);
        }

        public void Dispose()
        {
            Trainer.Dispose();
            Objective.Model.Dispose();
            Objective.Ring.Features.Dispose();
            Objective.Ring.Numbers.Dispose();
            Device.Dispose();
        }
    }
}
