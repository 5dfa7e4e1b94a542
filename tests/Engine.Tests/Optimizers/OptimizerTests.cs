using MiniVlp.Autograd;
using MiniVlp.Engine.Tests.OpTable;
using MiniVlp.Engine.Tests.Safetensors;
using MiniVlp.Kernels;
using MiniVlp.Nn;
using MiniVlp.Nn.Optimizers;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Engine.Tests.Optimizers;

[Collection("op table")]
public sealed class OptimizerTests
{
    public static TheoryData<string> Kinds => ["sgd", "momentum", "adam", "adamw", "lamb"];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Resuming_from_a_file_is_bit_exact(string kind)
    {
        Device device = TestDevices.Get(CpuBackend.WidestTier, 2);
        using TemporaryDirectory folder = new();
        string path = Path.Combine(folder.Path, "optimizer.safetensors");
        using ParameterBag straight = Model(device), resumed = Model(device);
        using Optimizer first = Create(kind, straight), before = Create(kind, resumed);
        Train(straight, first, 0, 6);
        Train(resumed, before, 0, 3);
        before.Save(path);
        using Optimizer after = Create(kind, resumed);
        after.Load(path);
        Train(resumed, after, 3, 6);
        foreach ((string name, Parameter parameter) in straight.NamedParameters())
            Assert.Equal(parameter.Value.ToArray(), resumed[name].Value.ToArray());
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void State_follows_the_parameters_to_another_device(string kind)
    {
        Device device = TestDevices.Get(CpuBackend.WidestTier, 2), other = TestDevices.Get(CpuBackend.WidestTier, 1);
        using ParameterBag stayed = Model(device), moved = Model(device);
        using Optimizer first = Create(kind, stayed), second = Create(kind, moved);
        Train(stayed, first, 0, 6);
        Train(moved, second, 0, 3);
        foreach ((_, Parameter parameter) in moved.NamedParameters()) parameter.Assign(parameter.Value.ToArray(), other);
        Train(moved, second, 3, 6);
        foreach ((string name, Parameter parameter) in stayed.NamedParameters())
            Assert.Equal(parameter.Value.ToArray(), moved[name].Value.ToArray());
        Assert.All(second.State, state => Assert.Same(other, state.Value.Device));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Steps_are_the_same_bits_on_every_number_of_threads_and_close_on_every_tier(string kind)
    {
        float[] one = Result(CpuBackend.WidestTier, 1), two = Result(CpuBackend.WidestTier, 2), scalar = Result(SimdTier.Scalar, 2);
        Assert.Equal(one, two);
        for (int i = 0; i < one.Length; i++) Assert.Equal(scalar[i], one[i], 1e-5f);

        float[] Result(SimdTier tier, int threads)
        {
            Device device = TestDevices.Get(tier, threads);
            int rented = device.Backend.RentedCount;
            float[] values;
            using (ParameterBag model = Model(device))
            {
                using Optimizer optimizer = Create(kind, model);
                Train(model, optimizer, 0, 4);
                values = [.. model.NamedParameters().SelectMany(p => p.Parameter.Value.ToArray())];
            }

            Assert.Equal(rented, device.Backend.RentedCount);
            return values;
        }
    }

    /// <summary>Lamb in double precision, with the trust ratio of each tensor.</summary>
    [Fact]
    public void Lamb_follows_its_paper()
    {
        Device device = TestDevices.Get(CpuBackend.WidestTier, 2);
        using ParameterBag model = Model(device);
        using Lamb optimizer = new([new ParameterGroup(model.NamedParameters()) { WeightDecay = 0.1 }], 0.05);
        Dictionary<string, (double[] P, double[] M, double[] V)> expected = model.NamedParameters().ToDictionary(
            p => p.Name,
            p => (p.Parameter.Value.ToArray().Select(v => (double)v).ToArray(), new double[p.Parameter.Shape.Length], new double[p.Parameter.Shape.Length]),
            StringComparer.Ordinal);
        for (int step = 1; step <= 3; step++)
        {
            SetGradients(model, step - 1);
            foreach ((string name, Parameter parameter) in model.NamedParameters())
            {
                (double[] p, double[] m, double[] v) = expected[name];
                float[] g = parameter.Gradient!.ToArray();
                double[] u = new double[p.Length];
                for (int i = 0; i < p.Length; i++)
                {
                    m[i] = (0.9 * m[i]) + (0.1 * g[i]);
                    v[i] = (0.999 * v[i]) + (0.001 * g[i] * g[i]);
                    u[i] = (m[i] / (1 - Math.Pow(0.9, step)) / (Math.Sqrt(v[i] / (1 - Math.Pow(0.999, step))) + 1e-6)) + (0.1 * p[i]);
                }

                double ratio = Math.Sqrt(p.Sum(x => x * x) / u.Sum(x => x * x));
                for (int i = 0; i < p.Length; i++) p[i] -= 0.05 * ratio * u[i];
            }

            optimizer.Step();
            optimizer.ClearGradients();
        }

        foreach ((string name, Parameter parameter) in model.NamedParameters())
        {
            float[] actual = parameter.Value.ToArray();
            for (int i = 0; i < actual.Length; i++) Assert.Equal(expected[name].P[i], actual[i], 1e-5);
        }
    }

    [Fact]
    public void Frozen_parameters_stay_and_have_no_state()
    {
        Device device = TestDevices.Get(CpuBackend.WidestTier, 1);
        using ParameterBag model = Model(device);
        model["matrix"].IsTrainable = false;
        float[] before = model["matrix"].Value.ToArray();
        using Optimizer optimizer = Create("adamw", model);
        Train(model, optimizer, 0, 2);
        Assert.Equal(before, model["matrix"].Value.ToArray());
        Assert.Equal(["exp_avg.bias", "exp_avg_sq.bias", "step.bias"], optimizer.State.Select(s => s.Name));
    }

    [Fact]
    public void Groups_split_by_axes_and_by_multiplier()
    {
        Device device = TestDevices.Get(CpuBackend.WidestTier, 1);
        using ParameterBag model = Model(device);
        IReadOnlyList<ParameterGroup> groups = ParameterGroup.SplitByDecay(model.NamedParameters(), 0.05, name => name == "bias" ? 0.5 : 1);
        Assert.Equal([("matrix", 0.05, 1.0), ("bias", 0.0, 0.5)], groups.Select(g => (g.Parameters.Single().Name, g.WeightDecay, g.LearningRateMultiplier)));
        Assert.Throws<ArgumentException>(() => new Sgd([.. groups, .. groups], 0.1));
    }

    [Fact]
    public void A_file_of_another_optimizer_is_refused_with_everything_that_does_not_fit()
    {
        Device device = TestDevices.Get(CpuBackend.WidestTier, 1);
        using TemporaryDirectory folder = new();
        string path = Path.Combine(folder.Path, "optimizer.safetensors");
        using ParameterBag model = Model(device);
        using Optimizer momentum = Create("momentum", model), adam = Create("adam", model);
        Train(model, momentum, 0, 1);
        momentum.Save(path);
        string message = Assert.Throws<InvalidDataException>(() => adam.Load(path)).Message;
        Assert.Contains("'exp_avg.matrix' is missing", message, StringComparison.Ordinal);
        Assert.Contains("'momentum_buffer.bias' belongs to no parameter", message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_infinite_gradient_is_left_for_the_caller_to_skip()
    {
        Device device = TestDevices.Get(CpuBackend.WidestTier, 1);
        using ParameterBag model = new(device, ("p", [2], [1f, 1f]));
        using (Tape tape = Tape.Record()) tape.Backward((model["p"].Value * float.PositiveInfinity).Sum());
        Assert.Equal(double.PositiveInfinity, GradientClipping.ClipByGlobalNorm([model["p"]], 1));
        Assert.Equal([float.PositiveInfinity, float.PositiveInfinity], model["p"].Gradient!.ToArray());
    }

    [Fact]
    public void Schedules_end_at_their_final_rate_and_stay_there()
    {
        Assert.Equal(0.25, LearningRateSchedule.Cosine(1, 5, 20, 0.25).At(20), 1e-12);
        Assert.Equal(0.25, LearningRateSchedule.Linear(1, 5, 20, 0.25).At(500), 1e-12);
        Assert.Equal(0.4, LearningRateSchedule.Constant(1, 5).At(2), 1e-12);
        Assert.Equal(1, LearningRateSchedule.Constant(1, 5).At(1_000_000), 1e-12);
        Assert.Equal(1, LearningRateSchedule.Constant(1).At(0), 1e-12);
    }

    private static ParameterBag Model(Device device) => new(device, ("matrix", [133, 150], Values(133 * 150, 1)), ("bias", [17], Values(17, 2)));

    private static Optimizer Create(string kind, ParameterBag model)
    {
        IReadOnlyList<ParameterGroup> groups = ParameterGroup.SplitByDecay(model.NamedParameters(), 0.01);
        return kind switch
        {
            "sgd" => new Sgd(groups, 0.1),
            "momentum" => new Sgd(groups, 0.1, 0.9, isNesterov: true),
            "adam" => new Adam(groups, 0.01),
            "adamw" => new AdamW(groups, 0.01),
            _ => new Lamb(groups, 0.01),
        };
    }

    private static void Train(ParameterBag model, Optimizer optimizer, int firstStep, int endStep)
    {
        for (int step = firstStep; step < endStep; step++)
        {
            SetGradients(model, step);
            optimizer.Step();
            optimizer.ClearGradients();
        }
    }

    private static void SetGradients(ParameterBag model, int step)
    {
        using Tape tape = Tape.Record();
        Tensor? loss = null;
        foreach ((_, Parameter parameter) in model.NamedParameters())
        {
            if (!parameter.IsTrainable) continue;
            Tensor term = (parameter.Value * Tensor.FromArray(Values(parameter.Shape.Length, 10 + step), parameter.Shape, parameter.Value.Device)).Sum();
            loss = loss is null ? term : loss + term;
        }

        tape.Backward(loss!);
    }

    private static float[] Values(int count, int seed)
    {
        Random random = new(seed);
        float[] values = new float[count];
        for (int i = 0; i < count; i++) values[i] = (random.NextSingle() * 2f) - 1f;
        return values;
    }
}
