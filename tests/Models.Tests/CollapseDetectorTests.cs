using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Nn.Optimizers;
using MiniVlp.Nn.Pretraining;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Models.Tests;

/// <summary>Faults put into a training one by one: each is noticed and named, and a healthy training is left alone.</summary>
[Collection(AloneInTheProcess.Name)]
public sealed class CollapseDetectorTests
{
    private const int Batch = 16, Width = 8, Vocabulary = 12;

    private static readonly CollapseDetectorOptions Short = new() { GraceSteps = 100, Window = 50, QueueInterval = 10 };

    [Fact]
    public void ChanceLevelsAreClosedForms()
    {
        Assert.Equal(4.1589f, ChanceLevel.Contrastive("itc", 64).Loss, 1e-4f);
        Assert.Equal(10.326f, ChanceLevel.Tokens("mlm", 30522).Loss, 1e-3f);
        Assert.Equal([0.6365f, 0.6931f], ChanceLevel.Matching("itm", 1, 2).Select(level => MathF.Round(level.Loss, 4)));
        Assert.Equal([0.6931f], ChanceLevel.Matching("itm", 1, 1).Select(level => MathF.Round(level.Loss, 4)));
    }

    [Fact]
    public void AHealthyTrainingIsLeftAlone()
    {
        using PairTraining training = new();
        Assert.Empty(training.Train(400));
        Assert.True(training.Last["itc"] < 0.5 * MathF.Log(Batch), $"itc {training.Last["itc"]}");
        Assert.True(training.Last["itm"] < 0.5, $"itm {training.Last["itm"]}");
        Assert.True(training.Last["lm"] < 0.5 * MathF.Log(Vocabulary), $"lm {training.Last["lm"]}");
    }

    [Theory]
    [InlineData(Fault.FusionWithoutPicture, 2, "itm", "0.6365", "does not see the picture")]
    [InlineData(Fault.FusionWithoutPicture, 1, "itm", "0.6931", "does not see the picture")]
    [InlineData(Fault.FrozenMatchingHead, 2, "itm", "0.6931", "head gets no gradient")]
    [InlineData(Fault.FeaturesThatAreAllTheSame, 2, "itc", "2.7726", "all features are the same")]
    [InlineData(Fault.FrozenTokenHead, 2, "lm", "2.4849", "every token is equally likely")]
    public void ALossThatStaysAtChanceIsNamedWithItsCause(Fault fault, int negatives, string part, string level, string cause)
    {
        using PairTraining training = new(fault, negatives);
        List<TrainingWarning> warnings = training.Train(400);
        TrainingWarning warning = Assert.Single(warnings, warning => warning.Fault == TrainingFault.StuckAtChance && warning.Subject == part);
        Assert.Contains(level, warning.Message, StringComparison.Ordinal);
        Assert.Contains(cause, warning.Message, StringComparison.Ordinal);
        Assert.True(warning.Step > Short.GraceSteps);
    }

    [Fact]
    public void QueuesAreToldApart()
    {
        using Device device = Device.CreateCpu(1);
        Assert.Empty(Observe((step, features) => Fill(features, step, spread: 1)));
        Assert.Equal([TrainingFault.DeadQueue], Faults(Observe((_, _) => { }, filled: 0)));
        Assert.Equal([TrainingFault.CollapsedFeatures], Faults(Observe((step, features) => Fill(features, step, spread: 1e-3f))));
        Assert.Equal([TrainingFault.DeadQueue, TrainingFault.CollapsedFeatures], Faults(Observe((_, features) => features.AsSpan().Fill(0.5f))));
        Assert.Equal([TrainingFault.NotFinite], Faults(Observe((step, features) => features[step % features.Length] = float.NaN)));
        Assert.Contains("nothing was ever enqueued", Observe((_, _) => { }, filled: 0)[0].Message, StringComparison.Ordinal);
        Assert.Contains("nothing is enqueued any more", Observe((_, _) => { })[0].Message, StringComparison.Ordinal);

        List<TrainingWarning> Observe(Action<int, float[]> change, int filled = 32)
        {
            CollapseDetector detector = new(Short);
            float[] values = new float[32 * 4];
            Fill(values, 0, spread: 1);
            Tensor features = Tensor.CreatePersistent(values, [32, 4], device);
            List<TrainingWarning> warnings = [];
            for (int step = 1; step <= 40; step++)
            {
                change(step, values);
                features.CopyFrom(values);
                warnings.AddRange(detector.ObserveQueue(step, "images", features, filled));
            }

            features.Dispose();
            return warnings;
        }

        static void Fill(float[] values, int seed, float spread)
        {
            Random random = new(seed);
            for (int i = 0; i < values.Length; i++) values[i] = (i % 4 == 0 ? 1 - spread : 0) + (spread * ((2 * random.NextSingle()) - 1));
        }

        static TrainingFault[] Faults(List<TrainingWarning> warnings) => [.. warnings.Select(warning => warning.Fault).Order().Distinct()];
    }

    /// <summary>The queue of an objective, filled as it should be, never filled, and filled with what a collapsed encoder makes of every batch.</summary>
    [Theory]
    [InlineData(Fault.None, null)]
    [InlineData(Fault.NothingEnqueued, TrainingFault.DeadQueue)]
    [InlineData(Fault.FeaturesThatAreAllTheSame, TrainingFault.CollapsedFeatures)]
    public void TheQueuesOfAnObjectiveAreWatched(Fault fault, TrainingFault? expected)
    {
        using PairTraining training = new(fault);
        TrainingWarning[] warnings = [.. training.Train(90).Where(warning => warning.Subject == "queue")];
        Assert.Equal(expected is not null, warnings.Any(warning => warning.Fault == expected));
        if (expected is null) Assert.Empty(warnings);
    }

    /// <summary>
    /// Pictures and texts that are the same tensor are too easy: the temperature falls until its bound stops it. Where the own text is of all the least like a picture, as
    /// with wrong pairs, it rises.
    /// </summary>
    [Theory]
    [InlineData(Fault.TextsThatAreThePictures, "lower bound, 0.01,", "leak")]
    [InlineData(Fault.TextsThatAreTheOpposite, "upper bound, 0.5,", "wrong pairs")]
    public void ATemperatureAtItsBoundIsNoticed(Fault fault, string bound, string cause)
    {
        using PairTraining training = new(fault);
        TrainingWarning warning = Assert.Single(training.Train(400), warning => warning.Fault == TrainingFault.TemperatureAtBound);
        Assert.Contains(bound, warning.Message, StringComparison.Ordinal);
        Assert.Contains(cause, warning.Message, StringComparison.Ordinal);
    }

    /// <summary>The bounds of a logarithm of the scale are those of the temperature the other way round.</summary>
    [Fact]
    public void TheFormOfATemperatureTellsItsBounds()
    {
        using Device device = Device.CreateCpu(1);
        using Scale model = new();
        model.Initialize(device);
        LearnedTemperature temperature = new(model.Value, 0, MathF.Log(100), TemperatureForm.LogarithmOfScale);
        Assert.Equal(MathF.Log(100), temperature.Clamp());
        float bound = temperature.ToTemperature(model.Value.Value.Item());
        Assert.Equal(0.01f, bound, 1e-6f);

        // A trained CLIP begins there; that alone is no news.
        CollapseDetector detector = new(Short);
        List<TrainingWarning> warnings = [];
        for (int step = 1; step <= 50; step++) warnings.AddRange(detector.ObserveTemperature(step, temperature, bound));
        Assert.Empty(warnings);
        warnings.AddRange(detector.ObserveTemperature(51, temperature, 0.05f));
        for (int step = 52; step <= 101; step++) warnings.AddRange(detector.ObserveTemperature(step, temperature, bound));
        Assert.Contains("lower bound, 0.01,", Assert.Single(warnings).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void APartThatIsNoNumberIsNamed()
    {
        CollapseDetector detector = new();
        StepResult step = new(7, float.NaN, 1, 1) { Parts = [new("itc", 1), new("mlm", float.NaN)] };
        TrainingWarning warning = Assert.Single(detector.Observe(step, []));
        Assert.Equal((TrainingFault.NotFinite, "mlm", 7), (warning.Fault, warning.Subject, warning.Step));
        Assert.Empty(detector.Observe(step, []));
    }

    public enum Fault
    {
        None,
        FusionWithoutPicture,
        FrozenMatchingHead,
        FeaturesThatAreAllTheSame,
        FrozenTokenHead,
        TextsThatAreThePictures,
        TextsThatAreTheOpposite,
        NothingEnqueued,
    }

    private sealed class Scale : Module
    {
        public Scale() => Value = Add("scale", [], Initializers.Constant(10));

        public Parameter Value { get; }
    }

    private sealed class PairModel : Module
    {
        public PairModel(Fault fault)
        {
            Image = Add("image", new Linear(Width, Width, initializer: Initializers.Normal(0.5f)));
            Text = Add("text", new Linear(Width, Width, initializer: Initializers.Normal(0.5f)));
            Fusion = Add("fusion", new Linear(2 * Width, 32, initializer: Initializers.Normal(0.3f)));
            bool isFrozen = fault == Fault.FrozenMatchingHead;
            Match = Add("match", new Linear(32, 2, initializer: Initializers.Normal(isFrozen ? 0 : 0.1f)));
            Token = Add("token", new Linear(Width, Vocabulary, initializer: Initializers.Normal(fault == Fault.FrozenTokenHead ? 0 : 0.1f)));
            Temperature = Add("temperature", [], Initializers.Constant(0.07f));
            if (isFrozen) Match.SetTrainable(false);
            if (fault == Fault.FrozenTokenHead) Token.SetTrainable(false);
        }

        public Linear Image { get; }

        public Linear Text { get; }

        public Linear Fusion { get; }

        public Linear Match { get; }

        public Linear Token { get; }

        public Parameter Temperature { get; }
    }

    /// <summary>Contrast, matching and a token for pairs of vectors that are two views of one.</summary>
    private sealed class PairObjective(PairModel model, Fault fault, int negatives, FeatureQueue queue) : PretrainingObjective<(Tensor Images, Tensor Texts, IndexTensor Tokens)>
    {
        private Tensor? _features;

        public override Module Model => model;

        public override IEnumerable<(string Name, ITrainingState State)> State => [("queue", queue)];

        public override LearnedTemperature Temperature => new(model.Temperature, 0.01f, 0.5f);

        public override IReadOnlyList<ChanceLevel> ChanceLevels(int batchSize)
            => [ChanceLevel.Contrastive("itc", batchSize), .. ChanceLevel.Matching("itm", 1, negatives), ChanceLevel.Tokens("lm", Vocabulary)];

        public override LossParts Loss((Tensor Images, Tensor Texts, IndexTensor Tokens) batch)
        {
            Tensor images = batch.Images, texts = fault == Fault.TextsThatAreThePictures ? batch.Images : batch.Texts;
            if (fault == Fault.FeaturesThatAreAllTheSame) (images, texts) = (images * 0f, texts * 0f);
            Tensor image = model.Image.Forward(images), text = fault == Fault.TextsThatAreThePictures ? image : model.Text.Forward(texts);
            if (fault == Fault.FeaturesThatAreAllTheSame) (image, text) = (image + 1f, text + 1f);
            if (fault == Fault.TextsThatAreTheOpposite) text = -image;
            using (Tape.NoGradient()) _features = image.L2Normalize();
            Tensor contrast = image.L2Normalize().SoftmaxContrastive(text.L2Normalize(), model.Temperature.Value.Reciprocal());

            // The right pair, then each text with the pictures of the next ones.
            Tensor[] pairs = [.. Enumerable.Range(0, negatives + 1).Select(Pair)];
            int[] labels = [.. Enumerable.Range(0, (negatives + 1) * Batch).Select(row => row < Batch ? 1 : 0)];
            Tensor match = model.Match.Forward(model.Fusion.Forward(Tensor.Concatenate(0, pairs)).Gelu())
                .CrossEntropy(IndexTensor.FromArray(labels, [labels.Length], image.Device));
            Tensor token = model.Token.Forward(image).CrossEntropy(batch.Tokens);
            return new() { { "itc", contrast }, { "itm", match }, { "lm", token } };

            Tensor Pair(int shift)
            {
                Tensor shifted = shift == 0 ? batch.Images : Tensor.Concatenate(0, batch.Images.Slice(shift, Batch - shift), batch.Images.Slice(0, shift));
                Tensor difference = shifted - batch.Texts;
                return fault == Fault.FusionWithoutPicture
                    ? Tensor.Concatenate(1, batch.Texts, batch.Texts)
                    : Tensor.Concatenate(1, difference, difference.Square());
            }
        }

        public override void AfterBackward()
        {
            if (fault != Fault.NothingEnqueued) queue.Enqueue(_features!);
        }

        public override void AfterUpdate(int step) => Temperature.Clamp();
    }

    private sealed class PairTraining : IDisposable
    {
        private readonly Device _device = Device.CreateCpu(1);
        private readonly PairModel _model;
        private readonly FeatureQueue _queue;
        private readonly PairObjective _objective;
        private readonly Trainer _trainer;
        private readonly CollapseDetector _detector;

        public PairTraining(Fault fault = Fault.None, int negatives = 2)
        {
            _model = new PairModel(fault);
            _model.Initialize(_device, 1);
            _queue = new FeatureQueue(4 * Batch, Width, _device);
            _objective = new PairObjective(_model, fault, negatives, _queue);
            _trainer = new Trainer(_objective, new AdamW([new ParameterGroup(_model.NamedParameters())], 1e-2), new TrainerOptions { Schedule = LearningRateSchedule.Constant(1e-2) });
            _detector = new CollapseDetector(Short);
        }

        public Dictionary<string, float> Last { get; } = new(StringComparer.Ordinal);

        public List<TrainingWarning> Train(int steps)
        {
            List<TrainingWarning> warnings = [];
            for (int i = 0; i < steps; i++)
            {
                using TensorScope scope = new();
                StepResult step = _trainer.TrainStep(_objective, Data(i));
                foreach (LossPartValue part in step.Parts) Last[part.Name] = part.Value;
                warnings.AddRange(_detector.Observe(step, _objective, Batch, _model.Temperature.Value.Item()));
            }

            return warnings;
        }

        public void Dispose()
        {
            _trainer.Dispose();
            _queue.Dispose();
            _model.Dispose();
            _device.Dispose();
        }

        /// <summary>Vectors, the same with some noise, and for each a token that three of its signs say.</summary>
        private (Tensor Images, Tensor Texts, IndexTensor Tokens) Data(int seed)
        {
            Random random = new(seed);
            float[] images = new float[Batch * Width], texts = new float[Batch * Width];
            int[] tokens = new int[Batch];
            for (int row = 0; row < Batch; row++)
            {
                for (int i = 0; i < Width; i++)
                {
                    int at = (row * Width) + i;
                    images[at] = (4 * random.NextSingle()) - 2;
                    texts[at] = images[at] + (0.8f * ((2 * random.NextSingle()) - 1));
                }

                tokens[row] = (images[row * Width] > 0 ? 1 : 0) + (images[(row * Width) + 1] > 0 ? 2 : 0) + (images[(row * Width) + 2] > 0 ? 4 : 0);
            }

            return (Tensor.FromArray(images, [Batch, Width], _device), Tensor.FromArray(texts, [Batch, Width], _device), IndexTensor.FromArray(tokens, [Batch], _device));
        }
    }
}
