using System.Globalization;
using MiniVlp.Kernels;
using MiniVlp.Tensors;

namespace MiniVlp.Cli.Commands;

/// <summary>The value of <c>--device</c>.</summary>
/// <param name="Kind">auto, cpu, cuda, opencl or ilgpu-cpu.</param>
/// <param name="Index">Which GPU of its kind.</param>
internal sealed record DeviceChoice(string Kind, int Index)
{
    /// <summary>Reads a choice; null when it is none.</summary>
    public static DeviceChoice? TryParse(string text)
    {
        string[] parts = text.Split(':');
        if (parts is [("auto" or "cpu" or "cuda" or "opencl" or "ilgpu-cpu") and var kind]) return new DeviceChoice(kind, 0);
        return parts is [("cuda" or "opencl") and var gpu, var number] && int.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out int index)
            ? new DeviceChoice(gpu, index)
            : null;
    }

    /// <summary>The device.</summary>
    /// <param name="threads">Threads of the CPU.</param>
    /// <param name="warn">Gets a sentence for each GPU that is passed over.</param>
    /// <exception cref="ToolException">There is no such device, it cannot be opened, or it failed its self-test.</exception>
    public Device Open(int threads, Action<string> warn)
    {
        try
        {
            switch (Kind)
            {
                case "cuda": return Tested(Device.Cuda(Index));
                case "opencl": return Tested(Device.OpenCl(Index));
                case "ilgpu-cpu": return Device.IlgpuCpu();
                case "auto" when Device.FindBest(warn) is var best && best != Device.Cpu: return best;
                default: return Device.CreateCpu(threads);
            }
        }
        catch (PlatformNotSupportedException exception)
        {
            throw new ToolException($"--device {Kind}: {exception.Message}");
        }
    }

    private Device Tested(Device device)
    {
        if (((GpuBackend)device.Backend).SelfTest() is { } failure) throw new ToolException($"--device {Kind}: the device failed its self-test: {failure}. Use --device cpu.");
        return device;
    }
}
