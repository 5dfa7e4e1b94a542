using MiniVlp.Data.Images;
using MiniVlp.Data.Scenes;
using MiniVlp.Nn;
using MiniVlp.Nn.Optimizers;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Models.Tests;

/// <summary>A tiny masked autoencoder learns to complete scenes.</summary>
[Trait("Kind", "Training")]
public sealed class MaeTrainingTests
{
    private const int Batch = 32, Size = 32;

    private static readonly MaeConfig Config = MaeConfig.Tiny with
    {
        Encoder = MaeConfig.Tiny.Encoder with { Width = 48, Layers = 2, HiddenWidth = 96 },
        DecoderWidth = 32,
        DecoderLayers = 1,
        DecoderHiddenWidth = 64,
    };

    /// <summary>
    /// The loss on unseen scenes falls below that of predicting zero, which for normalised pixels is the best that a model can do that knows nothing of
    /// the picture: (n - 1) / n for a patch in which something happens, 0 for one of a single colour.
    /// </summary>
    [Fact]
    public void TheLossFallsBelowThatOfPredictingNothing()
    {
        using Run run = new(threads: 2);
        StepResult first = run.Step();
        Assert.Equal([new LossPartValue("pixels", first.Loss)], first.Parts);
        while (run.Trainer.Step < 200) run.Step();
        using TensorScope scope = new();
        Generator outer = Generator.Current;
        Generator.Current = new Generator(77);
        Tensor images = run.Images(SceneSplit.Validation, 0, 128);
        VisiblePatches patches = run.Model.DrawPatches(128, run.Device);
        Generator.Current = outer;
        Tensor predictions = run.Model.Decode(run.Model.Encode(images, patches), patches);
        float nothing = run.Model.Loss(images, Tensor.Zeros(predictions.Shape, run.Device), patches).Item(), learned = run.Model.Loss(images, predictions, patches).Item();
        Assert.InRange(nothing, 0.1f, 1f);
        Assert.True(learned < 0.85f * nothing, $"{learned} on unseen scenes; predicting nothing gives {nothing}");
    }

    [Fact]
    public void TheLevelOfPredictingNothingIsKnownForNormalisedPixelsAlone()
    {
        ChanceLevel level = Assert.Single(new MaePretraining(new Mae(Config)).ChanceLevels(8));
        Assert.Equal(("pixels", 47 / 48f), (level.Part, level.Loss));
        Assert.Empty(new MaePretraining(new Mae(Config with { NormalizesPixels = false })).ChanceLevels(8));
    }

    [Fact]
    public void OneAndTwoThreadsAndAResumedRunGiveTheSameBits()
    {
        using TemporaryFolder folder = new();
        using Run whole = new(threads: 2), first = new(threads: 1), second = new(threads: 2, seed: 9);
        for (int step = 0; step < 6; step++) whole.Step();
        for (int step = 0; step < 3; step++) first.Step();
        first.Trainer.Save(folder.Path);
        second.Trainer.Load(folder.Path, second.Device);
        for (int step = 0; step < 3; step++) second.Step();
        foreach (((string name, Parameter expected), (_, Parameter actual)) in whole.Model.NamedParameters().Zip(second.Model.NamedParameters()))
            Assert.True(expected.Value.ToArray().AsSpan().SequenceEqual(actual.Value.ToArray()), $"{name} differs");
    }

    private sealed class Run : IDisposable
    {
        private static readonly ImagePreprocessor Preprocessor = ImagePreprocessor.Vit(Size);

        public Run(int threads, int seed = 1)
        {
            Device = Device.CreateCpu(threads);
            Model = new Mae(Config);
            Model.Initialize(Device, seed);
            Model.Train();
            Objective = new MaePretraining(Model);
            Trainer = new Trainer(
                Objective,
                new AdamW(ParameterGroup.SplitByDecay(Model.NamedParameters(), 0.05), 2e-3) { Beta2 = 0.95 },
                new TrainerOptions { Schedule = LearningRateSchedule.Cosine(2e-3, warmUp: 10, total: 200), Seed = 1 });
        }

        public Device Device { get; }

        public Mae Model { get; }

        public MaePretraining Objective { get; }

        public Trainer Trainer { get; }

        public StepResult Step()
        {
            using Tensor images = Images(SceneSplit.Train, Trainer.Step * Batch, Batch);
            return Trainer.TrainStep(Objective, images);
        }

        public Tensor Images(SceneSplit split, int start, int count)
        {
            SceneDataset scenes = new(new SceneDatasetOptions { Split = split, ImageSize = Size });
            float[] pixels = [.. Enumerable.Range(start, count).SelectMany(i => Preprocessor.Process(scenes.Get(i).Image))];
            return Tensor.FromArray(pixels, [count, 3, Size, Size], Device);
        }

        public void Dispose()
        {
            Model.Dispose();
            Trainer.Dispose();
            Device.Dispose();
        }
    }
}
