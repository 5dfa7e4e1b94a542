using MiniVlp.Autograd;
using MiniVlp.Kernels;
using MiniVlp.Models;
using MiniVlp.Nn.Optimizers;
using MiniVlp.Nn.Training;
using MiniVlp.PtxSim.Driver;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.PtxSim.Tests;

/// <summary>Training steps whose loss and gradients are launched as one graph: the bits of steps without, one launch, and errors that change nothing.</summary>
public sealed class LossGraphTests : StandInDriverTest
{
    private static readonly ClipConfig Config = new()
    {
        Vision = new() { Width = 16, Layers = 1, Heads = 2, HiddenWidth = 16 },
        Text = new() { Width = 16, Layers = 1, Heads = 2, HiddenWidth = 16 },
        ProjectionSize = 8,
        ImageSize = 8,
        PatchSize = 4,
        VocabularySize = 10,
        ContextLength = 4,
        EndTokenId = 9,
    };

    /// <summary>Large enough for tensor cores: products of 16 rows and more, heads of 32, at least 16 tokens.</summary>
    private static readonly ClipConfig TensorCoreConfig = Config with
    {
        Vision = new() { Width = 64, Layers = 1, Heads = 2, HiddenWidth = 64 },
        Text = new() { Width = 64, Layers = 1, Heads = 2, HiddenWidth = 64 },
        ProjectionSize = 32,
        ImageSize = 16,
        ContextLength = 16,
    };

    /// <summary>The learning rate rises, gradients are clipped and the batch is another one in each step: nothing of that is frozen in the graph.</summary>
    [Fact]
    public void A_step_by_graph_has_the_bits_of_a_step_without()
    {
        Device device = new(Backend);
        using Run expected = new(device), run = new(device);
        AssertSameSteps(expected, run);
    }

    /// <summary>The same in mixed precision, with products, attention and loss on tensor cores.</summary>
    [Fact]
    public void A_step_by_graph_on_tensor_cores_has_the_bits_of_a_step_without()
    {
        Backend.Precision = MatMulPrecision.BFloat16;
        Device device = new(Backend);
        using Run expected = new(device, TensorCoreConfig, batch: 16), run = new(device, TensorCoreConfig, batch: 16);
        HashSet<string> launched = new(StringComparer.Ordinal);
        StandInDriver.OnLaunch = (kernel, _) => launched.Add(kernel.Name.Split('_')[0]);
        try
        {
            AssertSameSteps(expected, run);
        }
        finally
        {
            StandInDriver.OnLaunch = null;
        }

        Assert.SkipWhen(StandInDriver.UsesRealDriver, "Only the stand-in driver tells what is launched.");
        foreach (string kernel in (string[])["MmaMatMulKernel", "TensorCoreAttentionKernel", "TensorCoreQueryGradientKernel", "TensorCoreKeyGradientKernel", "TensorCoreContrastiveKernel", "TensorCoreContrastiveGradientKernel"])
            Assert.Contains(kernel, launched);
    }

    [Fact]
    public void A_recorded_step_is_one_launch_and_the_optimizers()
    {
        using Run run = new(new Device(Backend));
        for (int step = 0; step <= LossGraph.WarmUpRuns; step++) run.Step(step, byGraph: true);
        Assert.SkipWhen(StandInDriver.UsesRealDriver, "Only the stand-in driver counts launches.");
        (long kernels, long graphs) = Launches(byGraph: true);
        Assert.Equal(1, graphs);
        Assert.InRange(kernels, 1, 12);
        (kernels, graphs) = Launches(byGraph: false);
        Assert.Equal(0, graphs);
        Assert.InRange(kernels, 100, 200);

        (long Kernels, long Graphs) Launches(bool byGraph)
        {
            (long kernels, long graphs) = (StandInDriver.LaunchCount, StandInDriver.GraphLaunchCount);
            run.Step(9, byGraph);
            return (StandInDriver.LaunchCount - kernels, StandInDriver.GraphLaunchCount - graphs);
        }
    }

    [Fact]
    public void What_changes_beneath_a_graph_is_recorded_anew()
    {
        Device device = new(Backend);
        using Run expected = new(device), run = new(device);
        for (int step = 0; step < 9; step++)
        {
            if (step == 5) Freeze();
            if (step == 7) Backend.Precision = MatMulPrecision.BFloat16;
            Assert.Equal(expected.Step(step, byGraph: false), run.Step(step, byGraph: true) with { Parts = [] });
        }

        AssertSameWeights(expected, run);

        void Freeze()
        {
            foreach (Run each in (Run[])[expected, run]) each.Model.NamedParameters().First(named => named.Name.Contains("patch_embedding", StringComparison.Ordinal)).Parameter.IsTrainable = false;
        }
    }

    [Fact]
    public void Parts_have_names_and_another_trainer_records_anew()
    {
        using Run run = new(new Device(Backend));
        using LossGraph graph = new(() =>
        {
            Tensor loss = run.Loss();
            return new LossParts { { "itc", loss }, { "twice", loss * 2f, 0.5f } };
        });
        using Trainer other = new(run.Model, new Sgd([new ParameterGroup(run.Model.NamedParameters())], 0.1), new TrainerOptions { Schedule = LearningRateSchedule.Constant(0.1) });
        for (int step = 0; step < LossGraph.WarmUpRuns + 4; step++)
        {
            run.Upload(step);
            Trainer trainer = step == LossGraph.WarmUpRuns + 2 ? other : run.Trainer;
            StepResult result = trainer.TrainStep(graph);
            Assert.Equal(["itc", "twice"], result.Parts.Select(part => part.Name));
            Assert.Equal(2 * result.Parts[0].Value, result.Parts[1].Value, 1e-6f);
            Assert.Equal(2 * result.Parts[0].Value, result.Loss, 1e-6f);
        }
    }

    [Fact]
    public void A_step_that_is_not_finite_is_located_and_changes_nothing()
    {
        using Run run = new(new Device(Backend));
        for (int step = 0; step < LossGraph.WarmUpRuns + 2; step++) run.Step(step, byGraph: true);
        float[][] before = run.Weights;
        NotFiniteNumberException exception = Assert.Throws<NotFiniteNumberException>(() => run.Step(5, byGraph: true, poison: true));
        Assert.IsType<AnomalyException>(exception.InnerException);
        Assert.Equal(before, run.Weights);
        Assert.True(float.IsFinite(run.Step(6, byGraph: true).Loss));
    }

    [Fact]
    public void Random_numbers_and_uploads_are_refused_and_change_nothing()
    {
        Device device = new(Backend);
        using Run run = new(device);
        using LossGraph random = new(() => run.Loss() + Tensor.FromArray([1f], [], device).Dropout(0.5f));
        float[][] before = run.Weights;
        run.Upload(0);
        Assert.Contains("random", Assert.Throws<InvalidOperationException>(() => run.Trainer.TrainStep(random)).Message, StringComparison.Ordinal);
        Assert.Equal(before, run.Weights);

        using LossGraph uploads = new(() => run.Loss() * Tensor.FromArray([1f], [], device));
        for (int i = 0; i < LossGraph.WarmUpRuns; i++) run.Trainer.TrainStep(uploads);
        before = run.Weights;
        Assert.Contains("upload", Assert.Throws<InvalidOperationException>(() => run.Trainer.TrainStep(uploads)).Message, StringComparison.Ordinal);
        Assert.False(uploads.IsRecorded);
        Assert.Equal(before, run.Weights);
        Assert.True(float.IsFinite(run.Step(1, byGraph: false).Loss));
    }

    [Fact]
    public void Memory_stays_with_the_graph_until_it_is_disposed()
    {
        using (Run run = new(new Device(Backend)))
        {
            for (int step = 0; step < LossGraph.WarmUpRuns; step++) run.Step(step, byGraph: true);
            Assert.Equal(0, run.Graph.HeldBytes);
            long rented = Backend.RentedBytes;
            run.Step(3, byGraph: true);
            Assert.True(run.Graph.HeldBytes > 0);
            Assert.Equal(rented, Backend.RentedBytes);
            long cached = Backend.CachedBytes;
            run.Step(4, byGraph: true);
            Assert.Equal(cached, Backend.CachedBytes);
            run.Graph.Dispose();
            Assert.True(Backend.CachedBytes > cached);
        }

        Assert.Equal(0, Backend.RentedBytes);
    }

    private static void AssertSameSteps(Run expected, Run run)
    {
        for (int step = 0; step < LossGraph.WarmUpRuns + 3; step++)
        {
            Assert.Equal(step > LossGraph.WarmUpRuns, run.Graph.IsRecorded);
            Assert.Equal(expected.Step(step, byGraph: false), run.Step(step, byGraph: true) with { Parts = [] });
        }

        AssertSameWeights(expected, run);
    }

    private static void AssertSameWeights(Run expected, Run actual) => Assert.Equal(expected.Weights, actual.Weights);

    /// <summary>A tiny CLIP in training, whose batches come through tensors that stay.</summary>
    private sealed class Run : IDisposable
    {
        private readonly ClipConfig _config;
        private readonly Tensor _images;
        private readonly IndexTensor _tokens;

        public Run(Device device, ClipConfig? config = null, int batch = 3)
        {
            _config = config ?? Config;
            Model = new Clip(_config);
            Model.Initialize(device, 1);
            _images = Tensor.CreatePersistent([batch, 3, _config.ImageSize, _config.ImageSize], device);
            _tokens = IndexTensor.CreatePersistent([batch, _config.ContextLength], device);
            AdamW optimizer = new(ParameterGroup.SplitByDecay(Model.NamedParameters(), 0.1), 0);
            Trainer = new Trainer(Model, optimizer, new TrainerOptions { Schedule = LearningRateSchedule.Constant(1e-2, warmUp: 20), ClipNorm = 0.1 });
            Graph = new LossGraph(Loss);
        }

        public Clip Model { get; }

        public Trainer Trainer { get; }

        public LossGraph Graph { get; }

        public float[][] Weights => [.. Model.NamedParameters().Select(named => named.Parameter.Value.ToArray())];

        public Tensor Loss() => Model.Loss(_images, new TextBatch(_tokens));

        public void Upload(int batch)
        {
            Random random = new(batch);
            _images.CopyFrom([.. Enumerable.Range(0, _images.Shape.Length).Select(_ => random.NextSingle())]);
            _tokens.CopyFrom([.. Enumerable.Range(0, _tokens.Shape.Length).Select(i => (i + 1) % _config.ContextLength == 0 ? _config.EndTokenId : random.Next(_config.EndTokenId))]);
        }

        public StepResult Step(int batch, bool byGraph, bool poison = false)
        {
            Upload(batch);
            if (poison) _images.CopyFrom([.. Enumerable.Repeat(float.NaN, _images.Shape.Length)]);
            return byGraph ? Trainer.TrainStep(Graph) : Trainer.TrainStep(Loss);
        }

        public void Dispose()
        {
            Graph.Dispose();
            Trainer.Dispose();
            Model.Dispose();
            _images.Dispose();
            _tokens.Dispose();
        }
    }
}
