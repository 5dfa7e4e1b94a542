using MiniVlp.Kernels;
using MiniVlp.Nn;
using MiniVlp.Nn.Optimizers;
using MiniVlp.Nn.Pretraining;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Gpu.Tests;

/// <summary>Steps over many parameters at once: equal to the CPU's, the same bits when repeated, and nothing left rented.</summary>
public sealed class GpuOptimizerTests
{
    /// <summary>More parameters than one launch takes, of ragged sizes: one element, a chunk and its neighbours, several chunks.</summary>
    private static readonly int[] Sizes = [1, 3, 17, 4095, 4096, 4097, 64, 255, 256, 257, 9001, 5, 2, 31, 33, 768, 1000, 12345, 7, 129, 8192, 11];

    /// <summary>A slow device takes a moment for each chunk, so it gets the small ones.</summary>
    private const int LargestOnSlowDevice = 300;

    public static TheoryData<string, string> Rows()
    {
        TheoryData<string, string> rows = [];
        foreach (string device in GpuDevices.Names)
            foreach (string kind in new[] { "sgd", "momentum", "nesterov", "adam", "adamw", "lamb" }) rows.Add(device, kind);
        return rows;
    }

    [Theory]
    [MemberData(nameof(Rows))]
    public void Ten_steps_equal_the_CPU(string deviceName, string kind)
    {
        Device device = GpuDevices.Require(deviceName);
        using Device cpu = new(new CpuBackend(checkGuards: true));
        int[] sizes = SizesFor(deviceName);
        int steps = GpuDevices.IsSlow(deviceName) ? 2 : 10, rented = device.Backend.RentedCount;
        float[][] expected = Train(cpu, kind, sizes, steps), actual = Train(device, kind, sizes, steps), again = Train(device, kind, sizes, steps);
        for (int i = 0; i < sizes.Length; i++)
        {
            for (int j = 0; j < sizes[i]; j++)
            {
                Assert.True(
                    Math.Abs(expected[i][j] - actual[i][j]) <= 1e-6 * (1 + Math.Abs(expected[i][j])), $"parameter {i}, element {j}: {expected[i][j]} and {actual[i][j]}");
            }

            Assert.Equal(actual[i], again[i]);
        }

        Assert.Equal(rented, device.Backend.RentedCount);
    }

    [Theory]
    [MemberData(nameof(GpuDevices.All), MemberType = typeof(GpuDevices))]
    public void Gradients_are_clipped_by_the_norm_of_all_of_them(string deviceName)
    {
        Device device = GpuDevices.Require(deviceName);
        int[] sizes = SizesFor(deviceName);
        using Parameters model = new(device, sizes);
        model.SetGradients(0);
        double norm = Math.Sqrt(model.All.Sum(p => p.Gradient!.ToArray().Sum(g => (double)g * g)));
        float[][] before = [.. model.All.Select(p => p.Gradient!.ToArray())];
        Assert.Equal(norm, GradientClipping.ClipByGlobalNorm(model.All, 2 * norm), norm * 1e-6);
        Assert.Equal(before, model.All.Select(p => p.Gradient!.ToArray()));
        Assert.Equal(norm, GradientClipping.ClipByGlobalNorm(model.All, norm / 3), norm * 1e-6);
        for (int i = 0; i < sizes.Length; i++)
        {
            float[] after = model.All[i].Gradient!.ToArray();
            for (int j = 0; j < sizes[i]; j++) Assert.Equal(before[i][j] / 3, after[j], 1e-6);
        }
    }

    [Theory]
    [MemberData(nameof(GpuDevices.All), MemberType = typeof(GpuDevices))]
    public void A_momentum_copy_follows(string deviceName)
    {
        Device device = GpuDevices.Require(deviceName);
        int[] sizes = SizesFor(deviceName);
        using Parameters online = new(device, sizes), copy = new(device, sizes);
        MomentumEncoder momentum = new(online, copy, MomentumSchedule.Constant(0.75));
        float[][] start = [.. online.All.Select(p => p.Value.ToArray())];
        float[][] target = [.. sizes.Select((size, i) => Parameters.Values(size, 50 + i))];
        for (int i = 0; i < sizes.Length; i++) online.All[i].Assign(target[i], device);
        momentum.Update();
        for (int i = 0; i < sizes.Length; i++)
        {
            float[] after = copy.All[i].Value.ToArray();
            for (int j = 0; j < sizes[i]; j++) Assert.Equal((0.75 * start[i][j]) + (0.25 * target[i][j]), after[j], 1e-6);
        }
    }

    private static int[] SizesFor(string deviceName) => [.. Sizes.Where(size => !GpuDevices.IsSlow(deviceName) || size <= LargestOnSlowDevice)];

    private static float[][] Train(Device device, string kind, int[] sizes, int steps)
    {
        using Parameters model = new(device, sizes);
        IReadOnlyList<ParameterGroup> groups =
        [
            new ParameterGroup(model.NamedParameters().Where((_, i) => i % 2 == 0)) { WeightDecay = 0.1 },
            new ParameterGroup(model.NamedParameters().Where((_, i) => i % 2 == 1)) { LearningRateMultiplier = 0.5 },
        ];
        using Optimizer optimizer = kind switch
        {
            "sgd" => new Sgd(groups, 0.1),
            "momentum" => new Sgd(groups, 0.1, 0.9),
            "nesterov" => new Sgd(groups, 0.1, 0.9, isNesterov: true),
            "adam" => new Adam(groups, 0.01),
            "adamw" => new AdamW(groups, 0.01),
            _ => new Lamb(groups, 0.01),
        };
        for (int step = 0; step < steps; step++)
        {
            model.SetGradients(step);
            optimizer.Step();
            optimizer.ClearGradients();
        }

        return [.. model.All.Select(p => p.Value.ToArray())];
    }

    /// <summary>A model that is nothing but vectors.</summary>
    private sealed class Parameters : Module
    {
        private readonly Device _device;

        public Parameters(Device device, int[] sizes)
        {
            _device = device;
            for (int i = 0; i < sizes.Length; i++)
            {
                Parameter parameter = Add($"p{i}", [sizes[i]], static (values, _, _) => values.Clear());
                parameter.Assign(Values(sizes[i], i), device);
                All.Add(parameter);
            }
        }

        public List<Parameter> All { get; } = [];

        public static float[] Values(int count, int seed)
        {
            Random random = new(seed);
            return [.. Enumerable.Range(0, count).Select(_ => (random.NextSingle() * 2f) - 1f)];
        }

        /// <summary>Gives every parameter a random gradient.</summary>
        public void SetGradients(int step)
        {
            for (int i = 0; i < All.Count; i++)
                _device.Backend.Upload(Values(All[i].Shape.Length, 1000 + (100 * step) + i), All[i].Value.GradientTarget().Buffer);
        }
    }
}
