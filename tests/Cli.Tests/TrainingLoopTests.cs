using MiniVlp.Cli.Datasets;
using MiniVlp.Cli.Training;
using MiniVlp.Cli.Training.Recipes;
using MiniVlp.Data.Datasets;
using MiniVlp.Data.Images;
using MiniVlp.Nn;
using MiniVlp.Nn.Pretraining;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Cli.Tests;

public sealed class TrainingLoopTests
{
    private static readonly Captions Sixteen = new([.. Enumerable.Range(0, 16).Select(i => $"caption {i}")], [.. Enumerable.Range(0, 16)]);
    private static readonly ClipRecipe Clip = new();
    private static readonly RecipeSettings EightAtOnce = new() { BatchSize = 8 };

    [Fact]
    public void PairIds_AreEqualForPicturesWithTheSameCaptions()
    {
        Assert.Equal([0, 1, 0, 3], PairIds.Of(new Captions(["a", "b", "a", "c"], [0, 1, 2, 3])));
        Assert.Equal([0, 0, 2, 2], PairIds.Of(new Captions(["a", "b", "a", "c"], [0, 0, 2, 2])));
        Assert.Equal([0, 0, 0, 0, 4, 5, 4], PairIds.Of(new Captions(["a", "b", "b", "a", "c", "d", "c"], [0, 0, 2, 2, 4, 5, 6])));
    }

    [Fact]
    public void Schedule_WarmsUpByStepsAndEndsOnItsFloor()
    {
        PlannedSchedule schedule = new(2f, 0.05, warmupSteps: 4, finalShare: 0.1) { TotalSteps = 24 };
        Assert.Equal([0.5, 1, 1.5, 2, 2], Enumerable.Range(0, 5).Select(schedule.At));
        Assert.Equal(1.1, schedule.At(14), 1e-12);
        Assert.Equal(0.2, schedule.At(24), 1e-12);
        Assert.Equal(0.2, schedule.At(1000), 1e-12);
        PlannedSchedule share = new(1f, 0.5) { TotalSteps = 8 };
        Assert.Equal([0.25, 0.5, 0.75, 1], Enumerable.Range(0, 4).Select(share.At));
        Assert.Equal(0, share.At(8), 1e-12);
    }

    /// <summary>Two views of a picture differ, lie apart in the batch, and do not depend on the other pictures in it.</summary>
    [Fact]
    public void Views_AreTwoOfEachPicture()
    {
        Captions data = new(["a", "b", "c"], [0, 1, 2]);
        ImageTextBatchBuilder builder = new(data, ImagePreprocessor.Vit(8), null, 0, seed: 5) { TwoViews = ContrastiveAugmentation.MocoV2(8) };
        ImageTextBatch two = builder.Build([1, 0], 3, new ImageTextBatch()), other = builder.Build([2, 1], 3, new ImageTextBatch());
        for (int view = 0; view < 2; view++)
        {
            Assert.Equal(two.Image(view, 0).ToArray(), other.Image(view, 1).ToArray());
            using TensorScope scope = new();
            Assert.Equal(two.Image(view, 1).ToArray(), two.Images(Device.Cpu, 1..2, view).ToArray());
        }

        Assert.NotEqual(two.Image(0, 0).ToArray(), two.Image(1, 0).ToArray());
        Assert.Equal([1, 0], two.PairIds.ToArray());
        Assert.Equal((2, 0, false), (two.Views, two.TextLength, two.HasEqualPairs));
    }

    /// <summary>Pictures whose projection is zero are all alike: the loss is ln(batch), and the run says so once, to whoever watches and in its result.</summary>
    [Fact]
    public void Warnings_AreToldOnce()
    {
        using TemporaryFolder folder = new();
        using Device device = Device.CreateCpu(1);
        using TrainableModel parts = TinyClip(device, out Parameter projection);
        projection.Assign(new float[projection.Shape.Length], device);
        TrainingOptions options = new() { BatchSize = 8, Steps = 12, LearningRate = 0, Detection = new CollapseDetectorOptions { GraceSteps = 4, Window = 4 } };
        using TrainingRun run = new(Clip, parts, Sixteen, options, EightAtOnce, folder["run"]);
        Watcher watcher = new();
        TrainingSummary summary = run.Run(watcher, CancellationToken.None);
        TrainingWarning warning = Assert.Single(summary.Warnings);
        Assert.Equal((TrainingFault.StuckAtChance, "itc", 5), (warning.Fault, warning.Subject, warning.Step));
        Assert.Equal([warning], watcher.Warnings);
        Assert.Equal(Math.Log(8), summary.Loss, 1e-4);
    }

    /// <summary>
    /// Three steps at the bound before the stop and three after it are six: the resumed run knows of the first ones, and that the temperature was inside before.
    /// What was told before the stop is not told again.
    /// </summary>
    [Theory]
    [InlineData(6)]
    [InlineData(10)]
    public void Warnings_OfATemperatureAtItsBoundComeOnceWithAStopBetween(int stop)
    {
        using TemporaryFolder folder = new();
        using Device device = Device.CreateCpu(1);
        TrainingOptions options = new() { BatchSize = 8, Steps = 12, LearningRate = 0, Detection = new CollapseDetectorOptions { Window = 6 } };
        using (TrainableModel parts = TinyClip(device, out _))
        {
            Parameter scale = parts.Model.NamedParameters().Single(named => named.Name == "logit_scale").Parameter;
            using TrainingRun run = new(Clip, parts, Sixteen, options with { StopAfter = stop }, EightAtOnce, folder["run"]);
            TrainingSummary first = run.Run(new Meddler(step => { if (step == 3) scale.Assign([MathF.Log(100)], device); }), CancellationToken.None);
            Assert.Equal(stop < 9 ? 0 : 1, first.Warnings.Count);
        }

        using TrainableModel loaded = Clip.Load(folder["run"], EightAtOnce, device);
        using TrainingRun resumed = new(Clip, loaded, Sixteen, options, EightAtOnce, folder["run"]);
        resumed.Resume();
        (TrainingFault, int)[] rest = [.. resumed.Run(new Meddler(_ => { }), CancellationToken.None).Warnings.Select(warning => (warning.Fault, warning.Step))];
        Assert.Equal(stop < 9 ? [(TrainingFault.TemperatureAtBound, 9)] : [], rest);
    }

    /// <summary>A training whose weights are no numbers any more ends with an error, keeps what was recorded, and saves no such weights.</summary>
    [Fact]
    public void Divergence_KeepsTheRecordAndNotTheModel()
    {
        using TemporaryFolder folder = new();
        using Device device = Device.CreateCpu(1);
        using TrainableModel parts = TinyClip(device, out Parameter projection);
        using TrainingRun run = new(Clip, parts, Sixteen, new TrainingOptions { BatchSize = 8, Steps = 12, LearningRate = 0 }, EightAtOnce, folder["run"]);
        float[] noNumbers = new float[projection.Shape.Length];
        Array.Fill(noNumbers, float.NaN);
        ToolException exception = Assert.Throws<ToolException>(() => run.Run(new Meddler(step => { if (step == 3) projection.Assign(noNumbers, device); }), CancellationToken.None));
        Assert.Contains("diverged at step 4", exception.Message, StringComparison.Ordinal);
        Assert.Contains("no checkpoint", exception.Message, StringComparison.Ordinal);
        Assert.Equal(3, MetricsHistory.Load(Path.Combine(folder["run"], "metrics.csv"), 12).Rows.Count);
        Assert.True(File.Exists(Path.Combine(folder["run"], "loss.png")));
        Assert.False(File.Exists(Path.Combine(folder["run"], "model.safetensors")));
    }

    [Fact]
    public void QueueSmallerThanABatch_IsAnErrorBeforeTheFirstStep()
    {
        using TemporaryFolder folder = new();
        using Device device = Device.CreateCpu(1);
        AlbefRecipe recipe = new();
        RecipeSettings settings = new() { BatchSize = 8, QueueSize = 4 };
        using TrainableModel parts = recipe.Create("tiny", NewModel.BuildTokenizer(Sixteen, 100), settings, device, 1);
        ToolException exception = Assert.Throws<ToolException>(() => new TrainingRun(recipe, parts, Sixteen, new TrainingOptions { BatchSize = 8, Steps = 1, LearningRate = 0 }, settings, folder["run"]));
        Assert.Contains("--queue 4", exception.Message, StringComparison.Ordinal);
        Assert.Contains("--batch 8", exception.Message, StringComparison.Ordinal);
    }

    /// <summary>The queue that nobody asked for is no smaller than a batch, however large that is.</summary>
    [Theory]
    [InlineData("albef")]
    [InlineData("blip")]
    public void AQueueOfItsOwnAccord_HoldsABatch(string name)
    {
        using Device device = Device.CreateCpu(1);
        ITrainingRecipe recipe = TrainingRecipes.Find(name);
        foreach ((int batch, int queue) in new[] { (5000, 5000), (8, 4096) })
        {
            using TrainableModel parts = recipe.Create("tiny", NewModel.BuildTokenizer(Sixteen, 100, recipe.SpecialTokens), new RecipeSettings { BatchSize = batch }, device, 1);
            Assert.Equal(queue, parts.Objective.State.Select(state => state.State).OfType<FeatureQueue>().First().Capacity);
        }
    }

    [Fact]
    public void Recipes_HaveDistinctNamesAndASmallPreset()
    {
        Assert.Equal(TrainingRecipes.All.Count, TrainingRecipes.All.Select(recipe => recipe.Name).Distinct().Count());
        Assert.All(TrainingRecipes.All, recipe =>
        {
            Assert.Same(recipe, TrainingRecipes.Find(recipe.Name));
            if (recipe.Presets.Count == 0) return;
            Assert.Contains("small", recipe.Presets);
            Assert.Contains("tiny", recipe.Presets);
            Assert.All(recipe.Presets, preset => Assert.InRange(recipe.ImageSizeOf(preset), 16, 512));
        });
        Assert.Contains("clip", Assert.Throws<ToolException>(() => TrainingRecipes.Find("lip")).Message, StringComparison.Ordinal);
    }

    private static TrainableModel TinyClip(Device device, out Parameter projection)
    {
        TrainableModel parts = Clip.Create("tiny", NewModel.BuildTokenizer(Sixteen, 100), EightAtOnce, device, 1);
        projection = parts.Model.NamedParameters().Single(named => named.Name == "visual_projection.weight").Parameter;
        return parts;
    }

    private sealed class Watcher : ITrainingObserver
    {
        public List<TrainingWarning> Warnings { get; } = [];

        public void Stepped(TrainingProgress progress) => Assert.Equal("itc", Assert.Single(progress.SmoothParts).Name);

        public void Saved(int step) => Assert.Equal(12, step);

        public void Warned(TrainingWarning warning) => Warnings.Add(warning);
    }

    /// <summary>Does something to a training after each step.</summary>
    private sealed class Meddler(Action<int> afterStep) : ITrainingObserver
    {
        public void Stepped(TrainingProgress progress) => afterStep(progress.Latest.Step);

        public void Saved(int step)
        {
        }

        public void Warned(TrainingWarning warning)
        {
        }
    }

    private sealed class Captions(string[] captions, int[] pictures) : IImageTextDataset
    {
        public string Name => "captions";

        public int Count => captions.Length;

        public ImageTextSample Get(int index)
        {
            byte[] pixels = new byte[16 * 16 * 3];
            new Random(index).NextBytes(pixels);
            return new ImageTextSample($"{index}", new RgbImage(16, 16, pixels), captions[index]);
        }

        public string GetCaption(int index) => captions[index];

        public int PictureOf(int index) => pictures[index];
    }
}
