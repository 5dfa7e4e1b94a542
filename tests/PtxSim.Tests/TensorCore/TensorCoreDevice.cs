using MiniVlp.Kernels;
using MiniVlp.PtxSim.Driver;
using MiniVlp.PtxSim.Machine;
using Xunit;

namespace MiniVlp.PtxSim.Tests.TensorCore;

/// <summary>A simulated CUDA device in mixed precision, and what tests of fused operations need around it.</summary>
public static class TensorCoreDevice
{
    /// <summary>A device that rounds to bfloat16; skips the test where the stand-in driver cannot be loaded.</summary>
    public static GpuBackend Create()
    {
        SimulatedDevice.RequireDriver();

        GpuBackend backend = GpuBackend.CreateCuda(checkGuards: true);
        backend.Precision = MatMulPrecision.BFloat16;
        return backend;
    }

    /// <summary>What an action launches, with what each launch did.</summary>
    public static List<(string Kernel, Statistics Statistics)> Launched(Action action)
    {
        List<(string, Statistics)> launches = [];
        SimulationOptions options = StandInDriver.Options;
        StandInDriver.Options = options with { CountsMemory = true };
        string? running = null;
        StandInDriver.OnLaunch = (kernel, _) => Finish(kernel.Name);
        try
        {
            action();
            Finish(null);
        }
        finally
        {
            StandInDriver.OnLaunch = null;
            StandInDriver.Options = options;
        }

        return launches;

        // A launch is announced before it runs; what it did is known when the next one is announced.
        void Finish(string? next)
        {
            if (running is not null) launches.Add((running, StandInDriver.LastStatistics!));
            running = next;
        }
    }

    /// <summary>A kernel of this name is among the launches; only the stand-in driver tells.</summary>
    public static void AssertLaunched(List<(string Kernel, Statistics Statistics)> launches, string name)
    {
        if (!StandInDriver.UsesRealDriver) Assert.Contains(launches, launch => launch.Kernel.StartsWith(name, StringComparison.Ordinal));
    }

    /// <summary>A buffer with values; of none, no buffer.</summary>
    public static DeviceBuffer Upload(IBackend backend, float[]? values)
    {
        if (values is null) return default;
        DeviceBuffer buffer = backend.Rent(values.Length);
        backend.Upload(values, buffer);
        return buffer;
    }

    /// <summary>A buffer with integers; of none, no buffer.</summary>
    public static DeviceBuffer Upload(IBackend backend, int[]? values)
    {
        if (values is null) return default;
        DeviceBuffer buffer = backend.Rent(values.Length, ElementType.Int32);
        backend.Upload(values, buffer);
        return buffer;
    }

    /// <summary>What a buffer holds.</summary>
    public static float[] Download(IBackend backend, DeviceBuffer buffer)
    {
        float[] values = new float[buffer.Length];
        backend.Download(buffer, values);
        return values;
    }

    /// <summary>Random numbers that bfloat16 can hold, so that a reference sees what the tensor cores see.</summary>
    public static float[] Numbers(int count, int seed, float scale = 1f)
    {
        Random random = new(seed);
        float[] numbers = new float[count];
        for (int i = 0; i < count; i++)
        {
            uint bits = BitConverter.SingleToUInt32Bits(((random.NextSingle() * 2f) - 1f) * scale);
            numbers[i] = BitConverter.UInt32BitsToSingle((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000);
        }

        return numbers;
    }

    /// <summary>The relative error in the Euclidean norm is at most so large.</summary>
    public static void AssertNear(double[] expected, float[] actual, double tolerance, string what)
    {
        Assert.Equal(expected.Length, actual.Length);
        double error = 0, norm = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            error += (expected[i] - actual[i]) * (expected[i] - actual[i]);
            norm += expected[i] * expected[i];
        }

        if (!(Math.Sqrt(error) <= tolerance * Math.Sqrt(norm))) Assert.Fail($"{what}: relative error {Math.Sqrt(error / norm):E2}.");
    }
}
