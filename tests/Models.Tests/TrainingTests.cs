using System.Diagnostics;
using MiniVlp.Autograd;
using MiniVlp.Kernels;
using MiniVlp.Nn;
using MiniVlp.Nn.Optimizers;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Models.Tests;

/// <summary>Steps of a small CLIP: repeatable to the bit, resumable, flat in memory.</summary>
[Collection(AloneInTheProcess.Name)]
public sealed class TrainingTests
{
    private const int Batch = 8;

    [Fact]
    public void OneAndTwoThreadsGiveTheSameBits()
    {
        using Run one = new(threads: 1), two = new(threads: 2);
        one.Train(50);
        two.Train(50);
        AssertSameWeights(one.Model, two.Model);
    }

    [Fact]
    public void TheSameSeedGivesTheSameBitsAndAnotherSeedDoesNot()
    {
        using Run first = new(), second = new(), other = new(seed: 2);
        first.Train(5);
        second.Train(5);
        other.Train(5);
        AssertSameWeights(first.Model, second.Model);
        Assert.NotEqual(Weights(first.Model), Weights(other.Model));
    }

    [Fact]
    public void ResumingGivesTheSameBits()
    {
        using TemporaryFolder folder = new();
        using Run whole = new(), firstHalf = new(), secondHalf = new(seed: 9);
        whole.Train(50);
        firstHalf.Train(25);
        firstHalf.Trainer.Save(folder.Path, new() { ["position"] = 25 });
        Assert.Equal(25, (int)secondHalf.Trainer.Load(folder.Path, secondHalf.Device)!["position"]!);
        Assert.Equal(25, secondHalf.Trainer.Step);
        secondHalf.Train(25);
        AssertSameWeights(whole.Model, secondHalf.Model);
    }

    [Fact]
    public void WhileComputing_is_called_once_in_each_step()
    {
        using Run run = new();
        int calls = 0;
        run.Trainer.WhileComputing = () => Assert.Equal(run.Trainer.Step, calls++);
        run.Train(3);
        Assert.Equal(3, calls);
    }

    [Fact]
    public void ASecondSaveReplacesTheFirst()
    {
        using TemporaryFolder folder = new();
        using Run run = new();
        run.Train(1);
        run.Trainer.Save(folder.Path);
        run.Train(1);
        run.Trainer.Save(folder.Path);
        Assert.Equal(["optimizer-2.safetensors", "parameters-2.safetensors", "trainer.json"], Directory.EnumerateFiles(folder.Path).Select(Path.GetFileName).Order(StringComparer.Ordinal));
    }

    [Theory]
    [InlineData("trainer.json", "{}", "step")]
    [InlineData("trainer.json", "nonsense", "trainer.json")]
    [InlineData("parameters-1.safetensors", "short", "parameters-1.safetensors")]
    public void ADamagedCheckpointIsNamed(string file, string content, string expected)
    {
        using TemporaryFolder folder = new();
        using Run run = new();
        run.Train(1);
        run.Trainer.Save(folder.Path);
        File.WriteAllText(folder.File(file), content);
        Exception exception = Assert.ThrowsAny<Exception>(() => run.Trainer.Load(folder.Path, run.Device));
        Assert.True(exception is IOException or InvalidDataException, exception.ToString());
        Assert.Contains(expected, exception.Message, StringComparison.Ordinal);
        Assert.Throws<FileNotFoundException>(() => run.Trainer.Load(folder.File("nowhere"), run.Device));
    }

    [Fact]
    public void CheckpointedGradientsHaveTheSameBits()
    {
        using Run plain = new(dropout: 0.2f), checkpointed = new(dropout: 0.2f);
        checkpointed.Model.VisionEncoder.Encoder.CheckpointGradients = true;
        checkpointed.Model.TextEncoder.Encoder.CheckpointGradients = true;
        plain.Train(5);
        checkpointed.Train(5);
        AssertSameWeights(plain.Model, checkpointed.Model);
        using Run without = new(dropout: 0f);
        without.Train(5);
        Assert.NotEqual(Weights(plain.Model), Weights(without.Model));
    }

    [Fact]
    public void CheckpointingNeedsLessMemory()
    {
        long plain = PeakBytes(checkpoint: false), checkpointed = PeakBytes(checkpoint: true);
        Assert.True(checkpointed < 0.6 * plain, $"{checkpointed} bytes with checkpoints, {plain} without");
    }

    /// <summary>Steps that are warm rent no new memory, allocate little, and return all they rent.</summary>
    [Fact]
    public void AThousandStepsKeepMemoryFlat()
    {
        using Run run = new(dropout: 0.1f);
        CpuBackend backend = (CpuBackend)run.Device.Backend;
        run.Train(100);
        int rented = backend.RentedCount;
        long native = backend.RentedBytes + backend.CachedBytes;
        long resident = ResidentBytes();
        long managed = GC.GetTotalAllocatedBytes(precise: true);
        run.Train(1000);
        long perStep = (GC.GetTotalAllocatedBytes(precise: true) - managed) / 1000;
        Assert.Equal(rented, backend.RentedCount);
        Assert.Equal(native, backend.RentedBytes + backend.CachedBytes);
        Assert.True(perStep < 64 * 1024, $"{perStep} bytes of managed memory per step");
        long growth = ResidentBytes() - resident;
        Assert.True(growth < 32L << 20, $"the process grew by {growth >> 20} MiB");
    }

    [Fact]
    public void NothingStaysRentedAfterDisposal()
    {
        Run run = new();
        CpuBackend backend = (CpuBackend)run.Device.Backend;
        run.Train(2);
        run.Dispose();
        Assert.Equal(0, backend.RentedCount);
    }

    /// <summary>Gradient caching over pieces of different sizes equals one large batch.</summary>
    [Fact]
    public void ContrastiveAccumulationEqualsOneBatch()
    {
        using Run whole = new(dropout: 0), pieces = new(dropout: 0);
        int[] starts = [0, 3, 4, 8];
        StepResult expected = whole.Trainer.TrainStep(() => whole.Model.Loss(whole.Images(0, 0, Batch), whole.Text(0, 0, Batch)));
        StepResult actual = pieces.Trainer.TrainStep(new ContrastiveAccumulation(
            3,
            i => (pieces.Model.EncodeImage(pieces.Images(0, starts[i], starts[i + 1])), pieces.Model.EncodeText(pieces.Text(0, starts[i], starts[i + 1]))),
            pieces.Model.ContrastiveLoss));
        Assert.Equal(expected.Loss, actual.Loss, 1e-5f);
        Assert.Equal(expected.GradientNorm, actual.GradientNorm, 1e-4 * expected.GradientNorm);
        foreach (((string name, Parameter left), (_, Parameter right)) in whole.Model.NamedParameters().Zip(pieces.Model.NamedParameters()))
        {
            float[] a = left.Gradient!.ToArray(), b = right.Gradient!.ToArray();
            float scale = a.Max(Math.Abs);
            for (int i = 0; i < a.Length; i++) Assert.True(Math.Abs(a[i] - b[i]) <= (2e-5f * scale) + 1e-7f, $"{name}[{i}]: {a[i]} and {b[i]}");
        }
    }

    [Fact]
    public void MicroBatchesOfAMeanEqualOneBatch()
    {
        using Run whole = new(dropout: 0), pieces = new(dropout: 0);
        Tensor Loss(Run run, int start, int end) => run.Model.EncodeImage(run.Images(0, start, end)).Square().Mean();
        StepResult expected = whole.Trainer.TrainStep(() => Loss(whole, 0, Batch));
        StepResult actual = pieces.Trainer.TrainStep(4, i => Loss(pieces, 2 * i, 2 * (i + 1)));
        Assert.Equal(expected.Loss, actual.Loss, 1e-6f);
        Assert.Equal(expected.GradientNorm, actual.GradientNorm, 1e-5);
    }

    [Theory]
    [InlineData(1f, float.NaN)]
    [InlineData(float.NaN, 0f)]
    public void ALossThatIsNotFiniteStopsTheRunAndKeepsTheWeights(float factor, float offset)
    {
        using Run run = new(dropout: 0);
        run.Train(2);
        float[][] before = Weights(run.Model);
        NotFiniteNumberException exception = Assert.Throws<NotFiniteNumberException>(
            () => run.Trainer.TrainStep(() => (run.Model.Loss(run.Images(0, 0, Batch), run.Text(0, 0, Batch)) * factor) + offset));
        Assert.Contains("Step 3", exception.Message, StringComparison.Ordinal);
        Assert.Equal(before, Weights(run.Model));
    }

    [Fact]
    public void TheLossFalls()
    {
        using Run run = new(dropout: 0);
        float first = run.Train(1), last = run.Train(80);
        Assert.True(last < 0.3f * first, $"from {first} to {last}");
    }

    private static long PeakBytes(bool checkpoint)
    {
        using Device device = Device.CreateCpu(1);
        CpuBackend backend = (CpuBackend)device.Backend;
        using VisionTransformer model = new(new VisionTransformerConfig { ImageSize = 32, PatchSize = 4, Width = 32, Layers = 8, Heads = 2, HiddenWidth = 128 });
        model.Initialize(device);
        model.Encoder.CheckpointGradients = checkpoint;
        long before = backend.RentedBytes + backend.CachedBytes;
        using (Tape tape = Tape.Record()) tape.Backward(model.Pool(model.Forward(Tensor.Zeros([8, 3, 32, 32], device))).Sum());
        return backend.RentedBytes + backend.CachedBytes - before;
    }

    private static long ResidentBytes()
    {
        GC.Collect();
        using Process process = Process.GetCurrentProcess();
        return process.WorkingSet64;
    }

    private static float[][] Weights(Module model) => [.. model.NamedParameters().Select(named => named.Parameter.Value.ToArray())];

    private static void AssertSameWeights(Module expected, Module actual)
    {
        foreach (((string name, Parameter left), (_, Parameter right)) in expected.NamedParameters().Zip(actual.NamedParameters()))
            Assert.True(left.Value.ToArray().AsSpan().SequenceEqual(right.Value.ToArray()), $"{name} differs");
    }

    /// <summary>A dual encoder with dropout, its trainer, and data that depend on the step alone.</summary>
    private sealed class Run : IDisposable
    {
        private const int ImageLength = 3 * 16 * 16;

        private static readonly float[][] Pixels = [.. Enumerable.Range(100, 4).Select(seed =>
        {
            Random random = new(seed);
            return Enumerable.Range(0, Batch * ImageLength).Select(_ => (2 * random.NextSingle()) - 1).ToArray();
        })];

        private static readonly int[][] Tokens = [.. Enumerable.Range(200, 4).Select(seed =>
        {
            Random random = new(seed);
            return Enumerable.Range(0, Batch * 8).Select(i => i % 8 == 7 ? 3 : random.Next(4, 50)).ToArray();
        })];

        public Run(int threads = 2, int seed = 1, float dropout = 0.1f)
        {
            Device = Device.CreateCpu(threads);
            Model = new VisionTextDualEncoder(new VisionTextDualEncoderConfig(
                new VisionTransformerConfig { ImageSize = 16, PatchSize = 8, Width = 32, Layers = 2, Heads = 2, HiddenWidth = 64, DropoutRate = dropout, DropPathRate = dropout },
                new BertConfig { VocabularySize = 50, Width = 32, Layers = 2, Heads = 2, HiddenWidth = 64, MaxPositions = 8, DropoutRate = dropout },
                ProjectionSize: 16));
            Model.Initialize(Device, seed);
            Model.Train();
            Trainer = new Trainer(
                Model,
                new AdamW(ParameterGroup.SplitByDecay(Model.NamedParameters(), 0.1), 1e-3),
                new TrainerOptions { Schedule = LearningRateSchedule.Cosine(2e-3, warmUp: 5, total: 2000), Seed = (ulong)seed });
        }

        public Device Device { get; }

        public VisionTextDualEncoder Model { get; }

        public Trainer Trainer { get; }

        public float Train(int steps)
        {
            float loss = 0;
            for (int i = 0; i < steps; i++)
            {
                int step = (int)(Trainer.Step % 4);
                loss = Trainer.TrainStep(() => Model.Loss(Images(step, 0, Batch), Text(step, 0, Batch))).Loss;
            }

            return loss;
        }

        public Tensor Images(int step, int start, int end)
            => Tensor.FromArray(Pixels[step].AsSpan(start * ImageLength, (end - start) * ImageLength), [end - start, 3, 16, 16], Device);

        public TextBatch Text(int step, int start, int end)
            => new(IndexTensor.FromArray(Tokens[step].AsSpan(start * 8, (end - start) * 8), [end - start, 8], Device));

        public void Dispose()
        {
            Model.Dispose();
            Trainer.Dispose();
            Device.Dispose();
        }
    }
}
