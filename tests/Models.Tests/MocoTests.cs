using MiniVlp.Autograd;
using MiniVlp.Nn;
using MiniVlp.Nn.Optimizers;
using MiniVlp.Nn.Training;
using MiniVlp.Tensors;
using MiniVlp.Tensors.Safetensors;
using Xunit;

namespace MiniVlp.Models.Tests;

/// <summary>Momentum contrast and its two baselines against their formulas, PyTorch's numbers, and themselves after a restart.</summary>
public sealed class MocoTests
{
    private static readonly MocoConfig Bare = new() { Head = MocoHead.None, BatchSize = 3, Negatives = 6, Momentum = 0.9, Temperature = 0.5f };

    [Fact]
    public void TheLossOfTheQueueIsTheFormula()
    {
        // Queries and keys of 3 pictures with 4 numbers each; the encoders are the same matrix, so the features are hand work.
        using Moco<PixelMap> moco = Make(Bare, width: 4);
        float[] queue = moco.Queue!.Features.ToArray();
        using Tape tape = Tape.Record();
        ImageViews views = new(Values([3, 4], 1), Values([3, 4], 2));
        LossParts parts = moco.Loss(views);
        LossPart part = Assert.Single(parts);
        Assert.Equal("contrastive", part.Name);
        Assert.Equal(MathF.Log(7), Assert.Single(moco.ChanceLevels(3)).Loss, 1e-6f);
        double[][] q = Encode(moco.Encoder, views.First), k = Encode(moco.KeyEncoder!, views.Second), old = [.. queue.Chunk(4).Select(row => Array.ConvertAll(row, v => (double)v))];
        double expected = 0;
        for (int i = 0; i < 3; i++)
        {
            double positive = Math.Exp(Dot(q[i], k[i]) / 0.5);
            expected -= Math.Log(positive / (positive + old.Sum(negative => Math.Exp(Dot(q[i], negative) / 0.5)))) / 3;
        }

        Assert.Equal(expected, part.Value.Item(), 1e-5);
        tape.Backward(parts.Total);
        Assert.Equal(queue, moco.Queue.Features.ToArray());
        moco.AfterBackward();
        float[] after = moco.Queue.Features.ToArray();
        for (int i = 0; i < 12; i++) Assert.Equal(k[i / 4][i % 4], after[i], 1e-6);
        Assert.Equal(queue[12..], after[12..]);
        Assert.Equal(3, moco.Queue.Position);
        moco.AfterBackward();
        Assert.Equal(3, moco.Queue.Position);
    }

    [Fact]
    public void OlderKeysOfThePicturesOfTheBatchAreLeftOut()
    {
        using Moco<PixelMap> moco = Make(Bare with { ReadsPictures = true }, width: 4);
        Step(1, [5, 1, 2]);
        Step(2, [3, 4, 1]);
        Assert.Equal([5, 1, 2, 3, 4, 1], moco.Queue!.Ids.ToArray());
        float[] queue = moco.Queue.Features.ToArray();
        ImageViews views = new(Values([3, 4], 1), Values([3, 4], 2), IndexTensor.FromArray([1, 7, 3], [3]));
        using (Tape tape = Tape.Record())
        {
            Tensor loss = moco.Loss(views).Total;
            double[][] q = Encode(moco.Encoder, views.First), k = Encode(moco.KeyEncoder!, views.Second), old = [.. ((int[])[0, 2, 4]).Select(row => Array.ConvertAll(queue[(4 * row)..(4 * (row + 1))], v => (double)v))];
            double expected = Enumerable.Range(0, 3).Average(i => Math.Log(Math.Exp(Dot(q[i], k[i]) / 0.5) + old.Sum(negative => Math.Exp(Dot(q[i], negative) / 0.5))) - (Dot(q[i], k[i]) / 0.5));
            Assert.Equal(expected, loss.Item(), 1e-5);
            Assert.Equal(MathF.Log(4), Assert.Single(moco.ChanceLevels(3)).Loss, 1e-6f);
        }

        Step(3, [1, 2, 3]);
        Step(4, [7, 8, 9]);
        using TensorScope scope = new();
        Assert.Contains("no negative", Assert.Throws<InvalidOperationException>(() => Repeated([5, 6, 0], [5, 6, 0])).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => moco.Loss(views with { Pictures = null }));
        Assert.Throws<ShapeException>(() => moco.Loss(views with { Pictures = IndexTensor.FromArray([1, 2], [2]) }));

        void Step(int seed, int[] pictures)
        {
            using Tape tape = Tape.Record();
            tape.Backward(moco.Loss(new ImageViews(Values([3, 4], seed), Values([3, 4], seed + 9), IndexTensor.FromArray(pictures, [3]))).Total);
            moco.AfterBackward();
        }

        void Repeated(int[] first, int[] second)
        {
            Step(5, first);
            Step(6, second);
            Step(7, second);
        }
    }

    [Fact]
    public void TheLossEndToEndComparesWithTheBatchAndTrainsBothEncoders()
    {
        using Moco<PixelMap> moco = Make(Bare with { Strategy = MocoStrategy.EndToEnd }, width: 4);
        Assert.Null(moco.Queue);
        Assert.Empty(moco.State);
        Assert.Equal(["query.backbone.map.weight", "key.backbone.map.weight"], moco.Model.NamedParameters().Select(named => named.Name));
        Assert.Equal(moco.Encoder.Backbone.Map.Weight.Value.ToArray(), moco.KeyEncoder!.Backbone.Map.Weight.Value.ToArray());
        using Tape tape = Tape.Record();
        ImageViews views = new(Values([3, 4], 1), Values([3, 4], 2));
        Tensor loss = moco.Loss(views).Total;
        double[][] q = Encode(moco.Encoder, views.First), k = Encode(moco.KeyEncoder, views.Second);
        double expected = Enumerable.Range(0, 3).Average(i => Math.Log(k.Sum(key => Math.Exp(Dot(q[i], key) / 0.5))) - (Dot(q[i], k[i]) / 0.5));
        Assert.Equal(expected, loss.Item(), 1e-5);
        Assert.Equal(MathF.Log(3), Assert.Single(moco.ChanceLevels(3)).Loss, 1e-6f);
        tape.Backward(loss);
        Assert.NotNull(moco.Encoder.Backbone.Map.Weight.Gradient);
        Assert.NotNull(moco.KeyEncoder.Backbone.Map.Weight.Gradient);
    }

    [Fact]
    public void TheLossOfTheMemoryBankComparesWithOtherPicturesAndMovesItsOwn()
    {
        // All pictures outside of the batch are drawn, so that chance has no part.
        using Moco<PixelMap> moco = Make(Bare with { Strategy = MocoStrategy.MemoryBank, PictureCount = 8, Negatives = 5 }, width: 4);
        Assert.Null(moco.KeyEncoder);
        int[] pictures = [6, 0, 3];
        double[][] bank = [.. moco.Bank!.Features.ToArray().Chunk(4).Select(row => Array.ConvertAll(row, v => (double)v))];
        using Tape tape = Tape.Record();
        ImageViews views = new(Values([3, 4], 1), Values([3, 4], 2), IndexTensor.FromArray(pictures, [3]));
        Tensor loss = moco.Loss(views).Total;
        double[][] q = Encode(moco.Encoder, views.First);
        double expected = 0;
        for (int i = 0; i < 3; i++)
        {
            double positive = Math.Exp(Dot(q[i], bank[pictures[i]]) / 0.5);
            double negatives = Enumerable.Range(0, 8).Where(picture => !pictures.Contains(picture)).Sum(picture => Math.Exp(Dot(q[i], bank[picture]) / 0.5));
            expected -= Math.Log(positive / (positive + negatives)) / 3;
        }

        Assert.Equal(expected, loss.Item(), 1e-5);
        tape.Backward(loss);
        moco.AfterBackward();
        float[] after = moco.Bank.Features.ToArray();
        for (int picture = 0; picture < 8; picture++)
        {
            int i = Array.IndexOf(pictures, picture);
            double[] moved = i < 0 ? bank[picture] : [.. bank[picture].Zip(q[i], (a, b) => 0.5 * (a + b))];
            double norm = Math.Sqrt(Dot(moved, moved));
            for (int c = 0; c < 4; c++) Assert.Equal(moved[c] / norm, after[(4 * picture) + c], 1e-5);
        }

        Assert.Throws<ArgumentException>(() => moco.Loss(views with { Pictures = null }));
    }

    [Theory]
    [InlineData(MocoStrategy.Queue)]
    [InlineData(MocoStrategy.MemoryBank)]
    public void FeaturesThatKnowNothingOfEachOtherGiveTheLogarithmOfTheNumberOfKeys(MocoStrategy strategy)
    {
        // Two views of noise have independent features: q·k has the variance 1/d, so that the mean of log Σ exp is ln(K + 1) + 1/(2 d τ²).
        MocoConfig config = new() { Strategy = strategy, Head = MocoHead.None, BatchSize = 64, Negatives = 1024, PictureCount = 2000, Temperature = 0.2f };
        using Moco<PixelMap> moco = Make(config, width: 128);
        using Tape tape = Tape.Record();
        Generator noise = new(5);
        ImageViews views = new(Tensor.RandomNormal([64, 128], generator: noise), Tensor.RandomNormal([64, 128], generator: noise), IndexTensor.Range(64));
        Assert.Equal(Math.Log(1025) + (1 / (2 * 128 * 0.04)), moco.Loss(views).Total.Item(), 0.15);
    }

    [Fact]
    public void TheKeyEncoderGetsNoGradientAndFollowsTheAverage()
    {
        using Moco<PixelMap> moco = Make(Bare with { Head = MocoHead.Mlp, FeatureSize = 5, Negatives = 6 }, width: 4);
        Assert.Equal(["backbone.map.weight", "head.0.weight", "head.0.bias", "head.2.weight", "head.2.bias"], moco.Model.NamedParameters().Select(named => named.Name));
        Dictionary<string, double[]> expected = Copy(moco.Encoder);
        using Sgd optimizer = new([new ParameterGroup(moco.Model.NamedParameters())], 1e-5);
        for (int step = 0; step < 4; step++)
        {
            foreach ((string name, double[] online) in Copy(moco.Encoder))
                for (int i = 0; i < online.Length; i++) expected[name][i] = (0.9 * expected[name][i]) + (0.1 * online[i]);
            using Tape tape = Tape.Record();
            Tensor loss = moco.Loss(new ImageViews(Values([3, 4], step), Values([3, 4], step + 9))).Total;
            tape.Backward(loss);
            moco.AfterBackward();
            Assert.All(moco.KeyEncoder!.NamedParameters(), named => Assert.Null(named.Parameter.Gradient));
            optimizer.Step();
            optimizer.ClearGradients();
            foreach ((string name, double[] key) in Copy(moco.KeyEncoder!))
                for (int i = 0; i < key.Length; i++) Assert.Equal(expected[name][i], key[i], 1e-5);
        }

        // 4 batches of 3 through a queue of 6.
        Assert.Equal((0, 6), (moco.Queue!.Position, moco.Queue.Filled));

        static Dictionary<string, double[]> Copy(Module module)
            => module.NamedParameters().ToDictionary(named => named.Name, named => Array.ConvertAll(named.Parameter.Value.ToArray(), v => (double)v), StringComparer.Ordinal);
    }

    [Fact]
    public void WithoutATapeNothingIsRemembered()
    {
        using Moco<PixelMap> moco = Make(Bare, width: 4);
        using TensorScope scope = new();
        moco.Encoder.Backbone.Map.Weight.Assign(new float[16], Device.Cpu);
        float[] key = moco.KeyEncoder!.Backbone.Map.Weight.Value.ToArray(), queue = moco.Queue!.Features.ToArray();
        moco.Loss(new ImageViews(Values([3, 4], 1), Values([3, 4], 2)));
        moco.AfterBackward();
        Assert.Equal(key, moco.KeyEncoder.Backbone.Map.Weight.Value.ToArray());
        Assert.Equal(queue, moco.Queue.Features.ToArray());
    }

    [Theory]
    [InlineData(MocoStrategy.Queue)]
    [InlineData(MocoStrategy.EndToEnd)]
    [InlineData(MocoStrategy.MemoryBank)]
    public void SixStepsAreThreeAndThreeMoreAfterARestart(MocoStrategy strategy)
    {
        MocoConfig config = Bare with { Strategy = strategy, Head = MocoHead.Mlp, FeatureSize = 5, PictureCount = 12 };
        string folder = Directory.CreateTempSubdirectory("moco").FullName;
        try
        {
            float[] whole = Run(null, 0, 6, null), unused = Run(null, 0, 3, folder), resumed = Run(folder, 3, 6, null);
            Assert.NotEqual(whole, unused);
            Assert.Equal(whole, resumed);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }

        float[] Run(string? from, int first, int end, string? to)
        {
            using Moco<PixelMap> moco = Make(config, width: 4, seed: from is null ? 1 : 2);
            using Trainer trainer = new(
                moco, new Sgd([new ParameterGroup(moco.Model.NamedParameters())], 0.1, 0.9), new TrainerOptions { Schedule = LearningRateSchedule.Constant(0.1), Seed = 3 });
            if (from is not null) trainer.Load(from, Device.Cpu);
            for (int step = first; step < end; step++)
            {
                using TensorScope scope = new();
                trainer.TrainStep(moco, new ImageViews(Values([3, 4], step), Values([3, 4], step + 50), IndexTensor.FromArray([step, step + 1, step + 4], [3])));
            }

            if (to is not null) trainer.Save(to);
            return [
                .. moco.Model.NamedParameters().SelectMany(named => named.Parameter.Value.ToArray()),
                .. moco.State.SelectMany(state => state.State.Tensors).SelectMany(tensor => tensor.Value.ToArray()),
            ];
        }
    }

    [Fact]
    public void ThreeStepsAgreeWithPyTorch()
    {
        string path = Path.Combine("tests", "Engine.Tests", "Goldens", "ops", "ops.safetensors");
        string? root = AppContext.BaseDirectory;
        while (root is not null && !File.Exists(Path.Combine(root, path))) root = Path.GetDirectoryName(root);
        using SafetensorsFile file = SafetensorsFile.Open(Path.Combine(root ?? throw new DirectoryNotFoundException($"No {path} above {AppContext.BaseDirectory}."), path));
        MocoConfig config = new() { Head = MocoHead.None, BatchSize = 4, Negatives = 12, Momentum = 0.9, Temperature = 0.2f };
        using Moco<PixelMap> moco = new(config, () => new PixelMap(6, 5), Device.Cpu);
        moco.Encoder.Backbone.Map.Weight.Assign(Read("in.start.query_weight"), Device.Cpu);
        moco.KeyEncoder!.Backbone.Map.Weight.Assign(Read("in.start.key_weight"), Device.Cpu);
        moco.Queue!.Features.CopyFrom(Transposed(Read("in.start.queue"), 5));
        moco.Queue.RestoreCounters(new() { ["position"] = 4, ["filled"] = 12 });
        using Sgd optimizer = new([new ParameterGroup(moco.Model.NamedParameters())], 0.3);
        for (int step = 1; step <= 3; step++)
        {
            using Tape tape = Tape.Record();
            Tensor loss = moco.Loss(new ImageViews(Tensor.FromArray(Read($"in.step{step}.x_query"), [4, 6]), Tensor.FromArray(Read($"in.step{step}.x_key"), [4, 6]))).Total;
            tape.Backward(loss);
            moco.AfterBackward();
            optimizer.Step();
            optimizer.ClearGradients();
            Expect($"step{step}.loss", [loss.Item()]);
            Expect($"step{step}.query_weight", moco.Encoder.Backbone.Map.Weight.Value.ToArray());
            Expect($"step{step}.key_weight", moco.KeyEncoder.Backbone.Map.Weight.Value.ToArray());
            Expect($"step{step}.queue", Transposed(moco.Queue.Features.ToArray(), 12));
            Assert.Equal((4 + (4 * step)) % 12, moco.Queue.Position);
        }

        float[] Read(string name)
        {
            float[] values = new float[file.Entry("moco." + name).Shape.Aggregate(1L, (a, b) => a * b)];
            file.ReadFloat32("moco." + name, values);
            return values;
        }

        void Expect(string name, float[] actual)
        {
            float[] expected = Read("out." + name);
            Assert.Equal(expected.Length, actual.Length);
            for (int i = 0; i < actual.Length; i++) Assert.Equal(expected[i], actual[i], 2e-5 * Math.Max(1, Math.Abs(expected[i])));
        }

        static float[] Transposed(float[] values, int rows)
        {
            int columns = values.Length / rows;
            return [.. Enumerable.Range(0, values.Length).Select(i => values[(i % rows * columns) + (i / rows)])];
        }
    }

    [Fact]
    public void AContradictionInTheConfigIsNamed()
    {
        foreach ((MocoConfig config, string name) in new (MocoConfig, string)[]
        {
            (Bare with { Negatives = 7 }, "Negatives"), (Bare with { Negatives = 0 }, "Negatives"), (Bare with { Temperature = 0 }, "Temperature"), (Bare with { Momentum = 1.1 }, "Momentum"),
            (Bare with { FeatureSize = 0 }, "FeatureSize"), (Bare with { BatchSize = 0 }, "BatchSize"), (Bare with { Strategy = MocoStrategy.EndToEnd, BatchSize = 1 }, "BatchSize"),
            (Bare with { Strategy = MocoStrategy.MemoryBank, PictureCount = 8 }, "PictureCount"), (Bare with { BankMomentum = -1 }, "BankMomentum"),
        }) Assert.Contains(name, Assert.Throws<ArgumentException>(() => Make(config, width: 4)).Message, StringComparison.Ordinal);
        (Bare with { Strategy = MocoStrategy.EndToEnd, Negatives = 7 }).Check();
        MocoConfig.V1.Check();
        MocoConfig.V2.Check();
        Assert.Equal((0.07f, MocoHead.Linear, 0.2f, MocoHead.Mlp), (MocoConfig.V1.Temperature, MocoConfig.V1.Head, MocoConfig.V2.Temperature, MocoConfig.V2.Head));
        using Moco<PixelMap> moco = Make(Bare, width: 4);
        Assert.Contains("incomplete", Assert.Throws<ShapeException>(() => moco.Loss(new ImageViews(Values([2, 4], 1), Values([2, 4], 2)))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ABackboneThatHasValuesKeepsThem()
    {
        float[] values = Values([4, 4], 7).ToArray();
        using Moco<PixelMap> moco = new(
            Bare with { Head = MocoHead.Linear },
            () =>
            {
                PixelMap map = new(4, 4);
                map.Map.Weight.Assign(values, Device.Cpu);
                return map;
            },
            Device.Cpu);
        Assert.Equal(values, moco.Encoder.Backbone.Map.Weight.Value.ToArray());
        Assert.Equal(values, moco.KeyEncoder!.Backbone.Map.Weight.Value.ToArray());
        Assert.Equal(128, moco.Queue!.Width);
    }

    private static Moco<PixelMap> Make(MocoConfig config, int width, int seed = 1) => new(config, () => new PixelMap(width, width), Device.Cpu, seed);

    private static Tensor Values(Shape shape, int seed) => Tensor.RandomNormal(shape, generator: new Generator((ulong)seed));

    private static double[][] Encode(MocoEncoder<PixelMap> encoder, Tensor images)
    {
        using IDisposable pause = Tape.NoGradient();
        return [.. encoder.Forward(images).ToArray().Chunk(encoder.FeatureSize).Select(row => Array.ConvertAll(row, v => (double)v))];
    }

    private static double Dot(double[] a, double[] b) => a.Zip(b, (x, y) => x * y).Sum();

    /// <summary>The smallest image encoder: a matrix.</summary>
    private sealed class PixelMap : Module, IImageEncoder
    {
        public PixelMap(int inputs, int outputs) => Map = Add("map", new Linear(inputs, outputs, bias: false));

        public Linear Map { get; }

        public int ImageSize => 1;

        public int FeatureWidth => Map.Weight.Shape[0];

        public Tensor ImageFeatures(Tensor images) => Map.Forward(images);
    }
}
