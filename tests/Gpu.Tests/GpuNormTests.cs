using MiniVlp.Kernels;
using MiniVlp.Tensors;
using Xunit;

namespace MiniVlp.Gpu.Tests;

/// <summary>Norms at widths around the limits of what a thread holds in registers, aligned and not, against the CPU.</summary>
public sealed class GpuNormTests
{
    private const int Rows = 5;

    public static TheoryData<string, int> Cases()
    {
        TheoryData<string, int> cases = [];
        foreach (string device in GpuDevices.Names)
            foreach (int width in GpuDevices.IsSlow(device) ? new[] { 4, 68 } : [4, 16, 60, 64, 68, 256, 260, 768, 770, 1024, 1028, 4096, 4100]) cases.Add(device, width);
        return cases;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Results_and_gradients_equal_the_CPU(string deviceName, int width)
    {
        Device device = GpuDevices.Require(deviceName);
        using CpuBackend cpu = new(checkGuards: true);
        foreach (bool isCentered in new[] { true, false })
        {
            foreach (bool isAligned in new[] { true, false })
            {
                float[][] expected = Run(cpu, width, isCentered, isAligned), actual = Run(device.Backend, width, isCentered, isAligned);
                for (int k = 0; k < expected.Length; k++)
                {
                    double limit = 2e-6 * (1 + expected[k].Max(Math.Abs));
                    for (int i = 0; i < expected[k].Length; i++)
                        Assert.True(Math.Abs(expected[k][i] - actual[k][i]) <= limit, $"width {width}, centered {isCentered}, aligned {isAligned}, result {k}, element {i}: {expected[k][i]} and {actual[k][i]}");
                }
            }
        }
    }

    /// <summary>y, statistics, and twice dx (the second time added), dweight and dbias.</summary>
    private static float[][] Run(IBackend backend, int width, bool isCentered, bool isAligned)
    {
        List<DeviceBuffer> rented = [];
        DeviceBuffer x = Make(Rows * width, 1), weight = Make(width, 2), bias = Make(width, 3), dy = Make(Rows * width, 4), statistics = Make(2 * Rows, null);
        DeviceBuffer y = Make(Rows * width, null), dx = Make(Rows * width, null), dweight = Make(width, null), dbias = Make(width, null);
        if (isCentered) backend.LayerNorm(x, weight, bias, 1e-5f, width, y, statistics);
        else backend.RmsNorm(x, weight, 1e-5f, width, y, statistics);
        for (int pass = 0; pass < 2; pass++)
        {
            GradientTarget dxTarget = new(dx, pass == 1), dweightTarget = new(dweight, pass == 1), dbiasTarget = new(dbias, pass == 1);
            if (isCentered) backend.LayerNormBackward(x, weight, statistics, dy, width, dxTarget, dweightTarget, dbiasTarget);
            else backend.RmsNormBackward(x, weight, statistics, dy, width, dxTarget, dweightTarget);
        }

        float[][] results = [.. new[] { y, statistics, dx, dweight, isCentered ? dbias : dweight }.Select(Download)];
        foreach (DeviceBuffer buffer in rented) backend.Return(buffer);
        return results;

        DeviceBuffer Make(int length, int? seed)
        {
            DeviceBuffer memory = backend.Rent(length + 1);
            rented.Add(memory);
            DeviceBuffer buffer = memory.Slice(isAligned ? 0 : 1, length);
            if (seed is { } number)
            {
                Random random = new(number);
                backend.Upload([.. Enumerable.Range(0, length).Select(_ => (random.NextSingle() * 2f) - 0.5f)], buffer);
            }

            return buffer;
        }

        float[] Download(DeviceBuffer buffer)
        {
            float[] values = new float[buffer.Length];
            backend.Download(buffer, values);
            return values;
        }
    }
}
