using System.Text.Json.Nodes;
using MiniVlp.Autograd;
using MiniVlp.Engine.Tests.OpTable;
using MiniVlp.Engine.Tests.Optimizers;
using MiniVlp.Kernels;
using MiniVlp.Nn;
using MiniVlp.Nn.Pretraining;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Engine.Tests.Pretraining;

/// <summary>The exponential moving average against its closed form.</summary>
[Collection("op table")]
public sealed class MomentumEncoderTests
{
    private static Device TestDevice => TestDevices.Get(CpuBackend.WidestTier, 2);

    [Theory]
    [InlineData(0.9, 20)]
    [InlineData(0, 3)]
    [InlineData(1, 3)]
    public void After_n_updates_it_is_the_weighted_sum_of_all_past_weights(double m, int steps)
    {
        const int size = 37;
        float[] start = Values(0);
        using ParameterBag online = new(TestDevice, ("p", [size], start)), copy = new(TestDevice, ("p", [size], new float[size]));
        MomentumEncoder encoder = new(online, copy, MomentumSchedule.Constant(m));
        Assert.Equal(start, copy["p"].Value.ToArray());
        for (int t = 1; t <= steps; t++)
        {
            online["p"].Assign(Values(t), TestDevice);
            encoder.Update();
        }

        // θ_n = mⁿ θ_0 + (1 - m) Σ_t m^(n - t) online_t
        float[] actual = copy["p"].Value.ToArray();
        for (int i = 0; i < size; i++)
        {
            double expected = Math.Pow(m, steps) * start[i];
            for (int t = 1; t <= steps; t++) expected += (1 - m) * Math.Pow(m, steps - t) * Values(t)[i];
            Assert.Equal(expected, actual[i], 1e-5);
        }

        Assert.Equal(steps, encoder.UpdateCount);

        static float[] Values(int t) => [.. Enumerable.Range(0, size).Select(i => MathF.Sin((7 * t) + i))];
    }

    [Fact]
    public void The_copy_is_frozen_and_a_backward_pass_leaves_it_alone()
    {
        using Linear online = new(3, 2), copy = new(3, 2);
        online.Initialize(TestDevice, 1);
        copy.Initialize(TestDevice, 2);
        MomentumEncoder encoder = new(online, copy, MomentumSchedule.Constant(0.5));
        using Tape tape = Tape.Record();
        Tensor x = Tensor.Full([4, 3], 1f, TestDevice), key = copy.Forward(x);
        Assert.False(key.NeedsGradient);
        tape.Backward((online.Forward(x) * key).Sum());
        Assert.NotNull(online.Weight.Gradient);
        Assert.Null(copy.Weight.Gradient);
        Assert.Equal(2, encoder.Tensors.Count());
    }

    [Fact]
    public void The_cosine_rises_from_its_start_to_its_final_value()
    {
        MomentumSchedule schedule = MomentumSchedule.Cosine(0.996, 100);
        Assert.Equal(0.996, schedule.At(0), 1e-12);
        Assert.Equal(0.998, schedule.At(50), 1e-12);
        Assert.Equal(1 - (0.004 * (1 + Math.Cos(Math.PI / 4)) / 2), schedule.At(25), 1e-12);
        Assert.Equal(1, schedule.At(100), 1e-12);
        Assert.Equal(1, schedule.At(1000), 1e-12);
        Assert.Equal(0.9, MomentumSchedule.Constant(0.9).At(12345), 1e-12);
        Assert.Throws<ArgumentOutOfRangeException>(() => MomentumSchedule.Constant(1.01));
        Assert.Throws<ArgumentOutOfRangeException>(() => MomentumSchedule.Constant(double.NaN));
        Assert.Throws<ArgumentOutOfRangeException>(() => MomentumSchedule.Cosine(0.9, 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => schedule.At(-1));
    }

    [Fact]
    public void A_restored_encoder_goes_on_where_the_schedule_stood()
    {
        using ParameterBag online = Bag(3, 1, 2), first = Bag(0), second = Bag(9);
        MomentumEncoder saved = new(online, first, MomentumSchedule.Cosine(0.5, 4)), restored = new(online, second, MomentumSchedule.Cosine(0.5, 4));
        online["p"].Assign([5, 6, 7], TestDevice);
        saved.Update();
        saved.Update();
        FeatureQueueTests.Copy(saved, restored);
        Assert.Equal(2, restored.UpdateCount);
        online["p"].Assign([-1, 0, 4], TestDevice);
        saved.Update();
        restored.Update();
        Assert.Equal(first["p"].Value.ToArray(), second["p"].Value.ToArray());
        Assert.Throws<InvalidDataException>(() => restored.RestoreCounters(new JsonObject { ["updates"] = -1 }));
        Assert.Throws<InvalidDataException>(() => restored.RestoreCounters(null));

        static ParameterBag Bag(params float[] values) => new(TestDevice, ("p", [3], values.Length == 3 ? values : [values[0], values[0], values[0]]));
    }

    [Fact]
    public void Models_that_differ_or_share_parameters_are_refused()
    {
        using Linear online = new(3, 2), other = new(3, 3), withoutBias = new(3, 2, bias: false);
        online.Initialize(TestDevice, 1);
        MomentumSchedule schedule = MomentumSchedule.Constant(0.9);
        Assert.Contains("[2, 3]", Assert.Throws<ArgumentException>(() => new MomentumEncoder(online, other, schedule)).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => new MomentumEncoder(online, withoutBias, schedule));
        Assert.Contains("shared", Assert.Throws<ArgumentException>(() => new MomentumEncoder(online, online, schedule)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_model_that_was_moved_is_named()
    {
        using Linear online = new(3, 2), copy = new(3, 2);
        online.Initialize(TestDevice, 1);
        MomentumEncoder encoder = new(online, copy, MomentumSchedule.Constant(0.9));
        online.Weight.Assign(new float[6], Device.Cpu);
        Assert.Contains("weight", Assert.Throws<InvalidOperationException>(encoder.Update).Message, StringComparison.Ordinal);
    }
}
